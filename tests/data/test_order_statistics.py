"""Order statistics, against NumPy's, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cryofix.data.order_statistics import median, tails_and_median

VALUES = arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32))


@given(VALUES)
def test_median_is_numpys(values: np.ndarray) -> None:
    found = median(values)
    assert found == np.median(values)
    assert found.dtype == np.float32


@given(VALUES, st.sampled_from([0.05, 1.0, 10.0, 25.0]))
def test_percentiles_are_numpys(values: np.ndarray, tail: float) -> None:
    expected = np.percentile(values, (tail, 50.0, 100 - tail))
    assert tails_and_median(values, tail, 100 - tail) == tuple(map(float, expected))


@pytest.mark.parametrize("count", range(1, 20))
def test_percentiles_of_few_values_are_numpys(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    for tail in (0.05, 25.0):
        expected = np.percentile(values, (tail, 50.0, 100 - tail))
        assert tails_and_median(values, tail, 100 - tail) == tuple(map(float, expected))


@pytest.mark.parametrize("side", [256, 255])
def test_a_strided_view_is_read_and_not_reordered(side: int) -> None:
    image = np.random.default_rng(0).normal(size=(4 * side, 4 * side)).astype(np.float32)
    before, sample = image.copy(), image[::4, ::4]
    expected = np.percentile(sample, (0.05, 50.0, 99.95))
    assert tails_and_median(sample, 0.05, 99.95) == tuple(map(float, expected))
    assert median(sample) == np.median(sample)
    assert np.array_equal(image, before)
