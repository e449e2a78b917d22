"""Order statistics, against NumPy's, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cryofix.data.order_statistics import DRAWN, MANY, median, percentiles

VALUES = arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32))


@given(VALUES)
def test_median_is_numpys(values: np.ndarray) -> None:
    found = median(values)
    assert found == np.median(values)
    assert found.dtype == np.float32


@given(VALUES, st.floats(0.0, 100.0))
def test_percentiles_are_numpys(values: np.ndarray, percent: float) -> None:
    expected = np.percentile(values, (percent, 50.0, 100 - percent))
    assert percentiles(values, (percent, 50.0, 100 - percent)) == tuple(map(float, expected))


@pytest.mark.parametrize("count", range(1, 20))
def test_percentiles_of_few_values_are_numpys(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    for tail in (0.05, 25.0):
        percents = (tail, 50.0, 100 - tail)
        assert percentiles(values, percents) == tuple(map(float, np.percentile(values, percents)))


def drawn_to_mislead(count: int) -> np.ndarray:
    """Return values of which those that are looked at first are all among the largest."""
    values = np.random.default_rng(0).normal(size=count).astype(np.float32)
    values[:: count // DRAWN] += 100
    return values


@pytest.mark.parametrize("count", [MANY, MANY + 1, 1_000_003])
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "levels", "constant", "sorted", "trap"])
def test_many_values(kind: str, count: int) -> None:
    random = np.random.default_rng(count)
    values = {
        "normal": random.normal(size=count),
        "heavy tails": random.standard_cauchy(size=count),
        "levels": random.integers(0, 5, size=count),
        "constant": np.ones(count),
        "sorted": np.arange(count),
        "trap": drawn_to_mislead(count),
    }[kind].astype(np.float32)
    percents = (0.0, 0.05, 25.0, 50.0, 99.95, 100.0)
    expected = np.percentile(values, percents)
    assert percentiles(values, percents) == tuple(map(float, expected))
    assert median(values) == np.median(values)


@pytest.mark.parametrize("side", [256, 255])
def test_a_strided_view_is_read_and_not_reordered(side: int) -> None:
    image = np.random.default_rng(0).normal(size=(4 * side, 4 * side)).astype(np.float32)
    before, sample = image.copy(), image[::4, ::4]
    expected = np.percentile(sample, (0.05, 50.0, 99.95))
    assert percentiles(sample, (0.05, 50.0, 99.95)) == tuple(map(float, expected))
    assert median(sample) == np.median(sample)
    assert np.array_equal(image, before)
