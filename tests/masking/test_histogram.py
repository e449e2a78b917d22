"""The histogram of p: its bins, its quantiles, its moving average."""

import operator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cryofix.errors import CryofixError
from cryofix.masking.running_histogram import BINS, Histogram, bin_edges, bin_index


def filled(prob: Tensor, **keywords: float) -> Histogram:
    histogram = Histogram(**keywords)
    histogram.move(prob, torch.ones_like(prob, dtype=torch.bool))
    return histogram


@given(st.lists(st.floats(0.0, 1.0, width=32), min_size=2, max_size=50))
def test_a_probability_lies_in_its_bin_and_bins_rise_with_it(values: list[float]) -> None:
    prob = torch.tensor(sorted(values))
    index, edges = bin_index(prob), bin_edges()
    assert (index.diff() >= 0).all()
    assert ((edges[index] <= prob) & (prob <= edges[index + 1])).all()


def test_edges_rise_from_0_to_1_and_every_bin_is_narrow() -> None:
    edges = bin_edges().double()
    assert len(edges) == BINS + 1
    assert edges[0] == 0
    assert edges[-1] == 1
    width = edges.diff()
    assert (width >= 0).all()
    # narrow beside the distance from the nearer end, but for the outermost bin of either end
    nearer = torch.minimum(edges[1:], 1 - edges[:-1])
    assert (width <= nearer / 256 + 2**-24)[1:-1].all()


@pytest.mark.parametrize("value", [0.0, 1e-45, 2**-40, 0.25, 0.49999997, 0.5, 0.50000006, 1.0])
def test_every_single_value_is_its_own_quantile(value: float) -> None:
    histogram = filled(torch.full((7,), value))
    for cut in (histogram.lowest(0.5), histogram.highest(0.5)):
        assert cut.value.item() == pytest.approx(value, rel=4e-3, abs=1e-11)
    assert cut.fraction.item() == 0.5


@given(st.integers(0, 10**6), st.floats(-10.0, 10.0), st.floats(0.1, 6.0), st.floats(0.002, 0.998))
@settings(max_examples=50, deadline=None)
def test_quantiles_are_those_of_the_sorted_values(
    seed: int, centre: float, scale: float, share: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    prob = torch.sigmoid(centre + scale * torch.randn(20_000, generator=generator))
    histogram = filled(prob)
    for cut, reached in (
        (histogram.lowest(share), operator.le),
        (histogram.highest(share), operator.ge),
    ):
        # Interpolation can be off by what its one bin holds; near 1, where float32 is as coarse
        # as the bins, an edge is rounded and what lies on it may count with the next bin.
        near = histogram.counts[max(int(cut.bin) - 1, 0) : int(cut.bin) + 2]
        slack = near.sum().item() / len(prob) + 1e-6
        assert reached(prob, cut.value).double().mean().item() == pytest.approx(share, abs=slack)
        if prob.max() < 0.99 and scale > 1:
            assert slack < 0.02


def test_small_shares_at_the_top_are_exact() -> None:
    prob = torch.linspace(0.0, 1.0, 2_000_001)
    histogram = filled(prob)
    for share in (1e-5, 1e-3, 0.04):
        assert histogram.highest(share).value.item() == pytest.approx(1 - share, abs=3e-7)
        assert histogram.lowest(share).value.item() == pytest.approx(share, rel=5e-3)
        assert histogram.share_below(1 - share).item() == pytest.approx(1 - share, abs=1e-6)


def test_before_the_first_batch_p_is_uniform() -> None:
    histogram = Histogram()
    for share in (0.0, 0.01, 0.3, 0.5, 0.9, 1.0):
        assert histogram.lowest(share).value.item() == pytest.approx(share, abs=1e-6)
        assert histogram.highest(share).value.item() == pytest.approx(1 - share, abs=1e-6)
        assert histogram.share_below(share).item() == pytest.approx(share, abs=1e-6)


def test_shares_outside_0_to_1_are_the_ends() -> None:
    histogram = filled(torch.tensor([0.2, 0.4]))
    assert histogram.lowest(1.5).value == histogram.lowest(1.0).value
    assert histogram.highest(-0.5).value.item() == 1.0


def test_the_average_is_plain_and_then_exponential() -> None:
    histogram, batches = Histogram(decay=0.75), [1, 3, 5, 7, 9, 11]
    expected = 0.0
    for step, count in enumerate(batches):
        histogram.move(torch.full((count,), 0.3), torch.ones(count, dtype=torch.bool))
        decay = min(step / (step + 1), 0.75)
        expected = decay * expected + (1 - decay) * count
    assert histogram.counts.sum().item() == pytest.approx(expected)
    assert histogram.updates == len(batches)
    assert histogram.lowest(0.5).value.item() == pytest.approx(0.3, rel=4e-3)


def test_invalid_pixels_are_not_counted() -> None:
    prob, valid = torch.tensor([0.1, 0.9, 0.9]), torch.tensor([True, False, False])
    histogram = Histogram()
    histogram.move(prob, valid)
    assert histogram.counts.sum() == 1
    assert histogram.share_below(0.5) == 1


def test_decay_is_checked() -> None:
    with pytest.raises(CryofixError, match=r"mask\.decay is 1\.0"):
        Histogram(decay=1.0)


def test_checkpoints_hold_the_counts_and_not_the_edges() -> None:
    assert set(Histogram().state_dict()) == {"counts", "updates"}
