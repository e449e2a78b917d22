import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.metrics.bins import BINS, CENTRES, CHUNK, EDGES, MIDDLE, Counter, confidence_bins
from cryofix.metrics.histogram import ProbabilityHistogram, shift_log_odds
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.rates import THRESHOLDS
from support import REFERENCE

probabilities = st.floats(0, 1, width=32)


def beside_every_edge() -> NDArray[np.float32]:
    """Give every multiple of 0.001 and its neighbours in float32, as p and as 1 - p."""
    edges = (np.arange(500, 1001) / 1000).astype(np.float32)
    around = [edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(1))]
    confident = np.concatenate(around)
    below = np.float32(1) - confident
    ulps = [np.nextafter(below, np.float32(limit)) for limit in (0, 1)]
    pool: NDArray[np.float32] = np.concatenate([confident, below, *ulps]).astype(np.float32)
    pool = np.clip(pool, 0, 1)
    return pool


def counted(p: NDArray[np.float32], truth: NDArray[np.bool_] | None = None) -> Counter:
    counter = Counter()
    counter.add(p, truth)
    return counter


def searched(p: NDArray[np.float32], truth: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Count pixels by class and confidence with a search, shape (3, 2, 500)."""
    edges = (np.arange(500, 1000) / 1000).astype(np.float32)
    bins = np.searchsorted(edges, np.maximum(p, 1 - p), side="right") - 1
    classes = np.full(len(p), 2) if truth is None else truth.astype(int)
    index = (classes * 2 + (p >= 0.5)) * 500 + bins
    return np.bincount(index, minlength=3000).reshape(3, 2, 500).astype(np.int64)


@pytest.mark.parametrize("with_truth", [False, True])
def test_confidences_are_exact_on_both_sides_of_every_thousandth(with_truth: bool) -> None:
    p = beside_every_edge()
    truth = np.arange(len(p)) % 3 == 0 if with_truth else None
    ours = confidence_bins(counted(p, truth).counts())
    np.testing.assert_array_equal(ours, searched(p, truth))


@settings(deadline=None)
@given(st.lists(st.tuples(probabilities, st.booleans()), max_size=60), st.booleans())
def test_confidences_are_those_of_a_search_for_any_floats(
    pixels: list[tuple[float, bool]], labelled: bool
) -> None:
    p = np.array([pixel[0] for pixel in pixels], np.float32)
    truth = np.array([pixel[1] for pixel in pixels], np.bool_) if labelled else None
    ours = confidence_bins(counted(p, truth).counts())
    np.testing.assert_array_equal(ours, searched(p, truth))


def test_every_bin_holds_its_centre_and_bins_rise_with_p() -> None:
    assert (np.diff(EDGES) > 0).all()
    assert ((EDGES[:-1] < CENTRES) & (EDGES[1:] > CENTRES)).all()
    assert EDGES[MIDDLE] == 0.5
    # Beside 1, float32 is coarser than the outermost bins.
    distinct = CENTRES[1 - CENTRES > 2**-19]
    counts = counted(distinct.astype(np.float32)).counts()[2]
    np.testing.assert_array_equal(counts[: len(distinct)], 1)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pixels_fall_into_the_bins_whose_edges_enclose_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = (1 / (1 + np.exp(-rng.normal(rng.normal(0, 6), 3, 50)))).astype(np.float32)
    counts = counted(p).counts()[2]
    # One unit of float32 beside 1 is what an edge between two floats may be off by.
    low, high = (np.repeat(edge, counts) for edge in (EDGES[:-1], EDGES[1:]))
    ordered = np.sort(p.astype(np.float64))
    assert (ordered >= low - 2**-24).all()
    assert (ordered <= high + 2**-24).all()


def test_chunks_add_up(teacher: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
    p, truth = teacher
    assert len(p) > CHUNK
    whole = counted(p, truth).counts()
    parts = counted(p[:777], truth[:777]).counts() + counted(p[777:], truth[777:]).counts()
    np.testing.assert_array_equal(whole, parts)
    assert whole[1].sum() == truth.sum()


def test_a_chunk_with_nan_or_logits_is_reported_and_not_counted() -> None:
    counter = counted(np.array([0.2, np.nan, 3.0, -1.0, np.inf], np.float32))
    assert (counter.wrong.nan, counter.wrong.outside) == (1, 3)
    assert (counter.wrong.low, counter.wrong.high) == (-1.0, math.inf)
    assert counter.counts().sum() == 0


def test_the_reference_table_is_reproduced_to_the_printed_decimal(
    reference: NDArray[np.float32],
) -> None:
    histogram = ProbabilityHistogram.from_arrays(reference)
    rows = histogram.table([row[0] for row in REFERENCE])
    names = ("kept", "particle_share", "particle_keep", "background_keep")
    printed = [tuple(round(100 * (row[name] or 0), 1) for name in names) for row in rows]
    assert printed == [row[1:] for row in REFERENCE]
    assert rows[2]["drift"] == pytest.approx(math.log(0.242 / 0.829), abs=0.005)


@settings(deadline=None)
@given(st.lists(st.tuples(probabilities, st.booleans()), max_size=60), st.booleans())
def test_the_tables_identities_hold_for_any_input(
    pixels: list[tuple[float, bool]], labelled: bool
) -> None:
    p = np.array([pixel[0] for pixel in pixels], np.float32)
    truth = np.array([pixel[1] for pixel in pixels], np.bool_)
    histogram = ProbabilityHistogram.from_arrays(p, truth if labelled else None)
    assert histogram.pixels == len(p)
    share = histogram.predicted_share()
    assert share == (pytest.approx((p >= 0.5).mean()) if len(p) else None)
    for row in histogram.table(THRESHOLDS):
        parts = [(share or 0.0, row["particle_keep"]), (1 - (share or 0.0), row["background_keep"])]
        kept = sum(weight * rate for weight, rate in parts if rate is not None)
        assert (row["kept"] or 0.0) == pytest.approx(kept)
        if row["particle_share"] is not None:
            taught = (share or 0.0) * (row["particle_keep"] or 0.0)
            assert row["particle_share"] * kept == pytest.approx(taught)
        if row["drift"] is not None and 0 < (row["particle_share"] or 0.0) < 1 and share:
            odds = [part / (1 - part) for part in (row["particle_share"] or 0.0, share)]
            assert row["drift"] == pytest.approx(math.log(odds[0] / odds[1]), abs=1e-9)
        if row.get("pseudo_precision") is not None:
            right = (row["pseudo_precision"] or 0) * (row["particle_share"] or 0) * kept
            assert right == pytest.approx((row["pseudo_recall"] or 0) * truth.mean())


@pytest.mark.parametrize("value", [math.nan, 1.5, -0.1])
def test_a_map_with_values_that_are_no_probabilities_is_refused(value: float) -> None:
    with pytest.raises(CryofixError, match=r"\[0, 1\]"):
        ProbabilityHistogram.from_arrays(np.array([0.5, value], np.float32))


def test_invalid_pixels_do_not_count_and_may_be_nan() -> None:
    p = np.array([0.9, np.nan, 0.1], np.float32)
    histogram = ProbabilityHistogram.from_arrays(p, valid=~np.isnan(p))
    assert histogram.pixels == 2


def test_scores_agree_with_those_of_the_maps(
    teacher: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    exact = PixelHistogram.from_arrays(*teacher)
    ours = ProbabilityHistogram.from_arrays(*teacher).scored()
    assert ours.f1() == exact.f1()
    assert ours.average_precision() == pytest.approx(exact.average_precision(), abs=1e-3)
    assert ours.calibration_error() == pytest.approx(exact.calibration_error(), abs=1e-4)


def test_a_sample_stands_for_the_distribution(
    teacher: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    histogram = ProbabilityHistogram.from_arrays(*teacher)
    p = CENTRES[histogram.sample(10_000)]
    assert (p >= 0.5).mean() == pytest.approx(histogram.predicted_share(), abs=1e-4)
    assert p.mean() == pytest.approx(teacher[0].mean(), abs=1e-4)


def test_quantiles_are_those_of_the_pixels(
    teacher: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    p = teacher[0].astype(np.float64)
    histogram = ProbabilityHistogram.from_arrays(teacher[0])
    for share in (0.01, 0.3, 0.9):
        above = histogram.quantile(share, among=slice(MIDDLE, BINS))
        below = histogram.quantile(share, among=slice(0, MIDDLE))
        assert above == pytest.approx(np.quantile(p[p >= 0.5], share), abs=1e-3)
        assert below == pytest.approx(np.quantile(p[p < 0.5], share), abs=1e-3)
    assert histogram.quantile(0.0, among=slice(MIDDLE, BINS)) == 0.5


def test_log_odds_move_by_the_step() -> None:
    moved = shift_log_odds(-1.5)
    inside = slice(1, -1)
    logits = np.log(moved / (1 - moved))[inside]
    before = np.log(CENTRES / (1 - CENTRES))[inside]
    np.testing.assert_allclose(logits - before, -1.5, atol=1e-4)
