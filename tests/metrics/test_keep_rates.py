import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryofix.errors import CryofixError
from cryofix.metrics.histogram import ProbabilityHistogram
from cryofix.metrics.rates import THRESHOLDS, UNKNOWN, WeightTally, drift
from support import PARTICLE_SHARE, REFERENCE, UNROUNDED


def reference_maps(pixels: int = 400_000) -> np.ndarray:
    """Give probabilities whose keep rates are those of the reference run.

    Between two thresholds of the table lie as many pixels of each class as its keep rates say.
    """
    share = {"particle": PARTICLE_SHARE, "background": 1 - PARTICLE_SHARE}
    column = {"particle": 3, "background": 4}
    parts = []
    for name in share:
        keep = [row[column[name]] / 100 for row in UNROUNDED] + [0.0]
        counts = [round((a - b) * share[name] * pixels) for a, b in pairwise(keep)]
        confidence = np.repeat([row[0] + 0.05 for row in REFERENCE], counts)
        parts.append(confidence if name == "particle" else 1 - confidence)
    return np.concatenate(parts).astype(np.float32)


def test_the_reference_table_is_reproduced_to_the_printed_decimal() -> None:
    histogram = ProbabilityHistogram.from_arrays(reference_maps())
    rows = histogram.table([row[0] for row in REFERENCE])
    names = ("kept", "particle_share", "particle_keep", "background_keep")
    printed = [tuple(round(100 * (row[name] or 0), 1) for name in names) for row in rows]
    assert printed == [row[1:] for row in REFERENCE]
    assert rows[2]["drift"] == pytest.approx(math.log(0.242 / 0.829), abs=0.01)


def random_maps(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = seed % 4
    if kind == 0:
        probability = rng.random(size)
    elif kind == 1:
        probability = 1 / (1 + np.exp(-rng.normal(-3, 3, size)))
    elif kind == 2:
        probability = np.round(rng.random(size), 1)  # many exactly on a threshold
    else:
        probability = np.full(size, rng.choice([0.0, 0.2, 0.5, 1.0]))  # an empty class
    return probability.astype(np.float32), rng.random(size) < 0.3


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.booleans())
def test_the_identities_between_the_rates_hold_for_any_map(
    seed: int, size: int, labelled: bool
) -> None:
    probability, truth = random_maps(seed, size)
    table = ProbabilityHistogram.from_arrays(probability, truth if labelled else None).table()
    share = float((probability >= 0.5).mean()) if size else 0.0
    for row in table:
        parts = [(share, row["particle_keep"]), (1 - share, row["background_keep"])]
        kept = sum(weight * rate for weight, rate in parts if rate is not None)
        assert (row["kept"] or 0.0) == pytest.approx(kept, abs=1e-12)
        if row["particle_share"] is not None:
            particles = share * (row["particle_keep"] or 0.0)
            assert row["particle_share"] * kept == pytest.approx(particles, abs=1e-12)
        if row["drift"] is not None:
            # The drift is the change of the log-odds of the class balance.
            assert row["particle_share"] is not None
            odds = row["particle_share"] / (1 - row["particle_share"])
            assert row["drift"] == pytest.approx(math.log(odds / (share / (1 - share))))
        assert row["drift"] is None or math.isfinite(row["drift"])
    kept_shares = [row["kept"] or 0.0 for row in table]
    assert kept_shares == sorted(kept_shares, reverse=True)
    json.dumps(table, allow_nan=False)


@given(st.integers(0, 2**32 - 1), st.sampled_from(THRESHOLDS))
def test_counts_are_those_of_the_symmetric_mask_in_torch(seed: int, threshold: float) -> None:
    probability, _ = random_maps(seed, 200)
    teacher = torch.from_numpy(probability)
    kept = torch.maximum(teacher, 1 - teacher) >= threshold
    (row,) = ProbabilityHistogram.from_arrays(teacher.numpy()).table([threshold])
    assert row["kept"] == pytest.approx(kept.double().mean().item())


@given(st.integers(0, 2**32 - 1), st.sampled_from(THRESHOLDS), st.booleans())
def test_the_tally_of_a_symmetric_mask_equals_the_histograms_row(
    seed: int, threshold: float, labelled: bool
) -> None:
    probability, truth = random_maps(seed, 150)
    weight = np.maximum(probability, 1 - probability) >= np.float32(threshold)
    known = truth if labelled else None
    (row,) = ProbabilityHistogram.from_arrays(probability, known).table([threshold], prior=0.1)
    rates = WeightTally.from_arrays(probability, probability >= 0.5, weight, known).rates(prior=0.1)
    assert set(rates) == set(row) - {"threshold"}
    for name, rate in rates.items():
        assert rate == pytest.approx(row[name])


def test_rates_by_true_class_are_their_definitions() -> None:
    probability = np.array([0.9, 0.9, 0.6, 0.2, 0.1, 0.45], np.float32)
    truth = np.array([1, 0, 1, 1, 0, 0])
    (row,) = ProbabilityHistogram.from_arrays(probability, truth).table([0.8])
    assert row["true_particle_keep"] == pytest.approx(2 / 3)
    assert row["true_background_keep"] == pytest.approx(2 / 3)
    assert row["pseudo_precision"] == pytest.approx(1 / 2)
    assert row["pseudo_recall"] == pytest.approx(1 / 3)
    assert row["share_over_prior"] == pytest.approx((2 / 4) / (1 / 2))


def test_soft_weights_give_mean_weights_and_the_share_of_particle_mass() -> None:
    probability = np.array([0.8, 0.6, 0.4, 0.1], np.float32)
    target = np.array([1.0, 0.5, 0.25, 0.0])
    weight = np.array([2.0, 0.5, 1.0, 0.0])
    rates = WeightTally.from_arrays(probability, target, weight, [1, 0, 1, 0]).rates(prior=0.5)
    assert rates["kept"] == pytest.approx(3.5 / 4)
    assert rates["particle_keep"] == pytest.approx(2.5 / 2)
    assert rates["background_keep"] == pytest.approx(1.0 / 2)
    assert rates["drift"] == pytest.approx(math.log(2.5))
    assert rates["particle_share"] == pytest.approx(2.5 / 3.5)
    assert rates["share_over_prior"] == pytest.approx(2 * 2.5 / 3.5)
    assert rates["pseudo_precision"] == pytest.approx(2.0 / 2.5)
    assert rates["pseudo_recall"] == pytest.approx(1 / 2)


def test_precision_is_unknown_where_no_background_is_known() -> None:
    """Of partial labels the particles alone are known, and noise would be right always."""
    probability = np.array([0.9, 0.8, 0.2, 0.7], np.float32)
    truth = [1, UNKNOWN, UNKNOWN, 1]
    rates = WeightTally.from_arrays(probability, probability, np.ones(4), truth).rates()
    (row,) = ProbabilityHistogram.from_arrays(probability, np.ones(4)).table([0.5])
    assert rates["pseudo_precision"] is row["pseudo_precision"] is None


def test_labels_may_differ_from_the_predicted_class() -> None:
    # A quota labels the best of an under-confident map as particles below 0.5.
    probability = np.array([0.4, 0.3, 0.1, 0.05], np.float32)
    rates = WeightTally.from_arrays(
        probability, [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0], [1, 0, 0, 0]
    ).rates()
    assert rates["particle_keep"] is None
    assert rates["drift"] is None
    assert rates["particle_share"] == pytest.approx(1 / 3)
    assert rates["pseudo_precision"] == 1.0
    assert rates["pseudo_recall"] == 1.0


@given(st.integers(0, 2**32 - 1), st.integers(0, 100))
def test_tallies_and_histograms_of_parts_add_up(seed: int, cut: int) -> None:
    probability, truth = random_maps(seed, 100)
    rng = np.random.default_rng(seed)
    target, weight = rng.random(100), rng.random(100) * 3
    parts = [slice(None, cut), slice(cut, None)]
    whole = ProbabilityHistogram.from_arrays(probability, truth)
    summed = sum(
        (ProbabilityHistogram.from_arrays(probability[p], truth[p]) for p in parts),
        ProbabilityHistogram.empty(),
    )
    assert (whole.counts == summed.counts).all()
    tally = WeightTally.from_arrays(probability, target, weight, truth).rates()
    tallies = sum(
        (WeightTally.from_arrays(probability[p], target[p], weight[p], truth[p]) for p in parts),
        WeightTally.empty(),
    ).rates()
    assert tallies == pytest.approx(tally)


def test_a_threshold_at_or_below_a_half_is_no_mask() -> None:
    probability, _ = random_maps(1, 500)
    for row in ProbabilityHistogram.from_arrays(probability).table([0.0, 0.3, 0.5]):
        assert row["kept"] == 1.0
        assert row["drift"] == 0.0


def test_a_threshold_above_one_keeps_nothing_and_is_still_json() -> None:
    (row,) = ProbabilityHistogram.from_arrays(np.array([0.9, 0.1], np.float32), [1, 0]).table(
        [1.01]
    )
    assert row["kept"] == 0.0
    assert row["particle_share"] is None
    assert row["drift"] is None
    json.dumps(row, allow_nan=False)


def test_drift_is_unknown_when_a_keep_rate_is_zero_or_unknown() -> None:
    assert drift(0.242, 0.829) == pytest.approx(-1.23, abs=0.005)
    assert drift(0.0, 0.5) is None
    assert drift(0.5, 0.0) is None
    assert drift(None, 0.5) is None


def test_invalid_pixels_count_for_nothing_even_when_nan() -> None:
    probability = np.array([0.9, np.nan, 0.2], np.float32)
    valid = np.array([True, False, True])
    assert ProbabilityHistogram.from_arrays(probability, valid=valid).counts.sum() == 2
    tally = WeightTally.from_arrays(probability, probability, probability, valid=valid)
    assert tally.pixels.sum() == 2


def test_nan_probabilities_are_refused() -> None:
    broken = np.array([0.9, np.nan], np.float32)
    with pytest.raises(CryofixError, match=r"teacher probabilities.*NaN"):
        ProbabilityHistogram.from_arrays(broken)
    with pytest.raises(CryofixError, match=r"pseudo-label targets.*NaN"):
        WeightTally.from_arrays(np.array([0.1, 0.2], np.float32), broken, [1.0, 1.0])


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(CryofixError, match="weight"):
        WeightTally.from_arrays(np.array([0.1], np.float32), [0.0], [bad])


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(CryofixError, match="shapes"):
        ProbabilityHistogram.from_arrays(np.zeros((2, 3), np.float32), np.zeros((3, 2)))
