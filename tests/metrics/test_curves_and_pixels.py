import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import BinaryAveragePrecision, BinaryCalibrationError

from cryofix.errors import CryofixError
from cryofix.metrics import curves
from cryofix.metrics.pixels import PixelHistogram


def maps(seed: int, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Give float32 probabilities and a target that they partly predict."""
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < 0.1
    logits = rng.normal(np.where(truth, 0.5, -2.0), 1.2)
    return (1 / (1 + np.exp(-logits))).astype(np.float32), truth


@pytest.mark.parametrize("threshold", [0.5, *np.round(np.arange(0.01, 1.0, 0.01), 2)])
def test_counts_at_every_hundredth_are_those_of_a_float32_comparison(threshold: float) -> None:
    probability, truth = maps(0)
    # The values where rounding decides: the threshold itself and its float32 neighbours.
    edge = np.float32(threshold)
    probability[:3] = edge, np.nextafter(edge, np.float32(0)), np.nextafter(edge, np.float32(1))
    predicted = (torch.from_numpy(probability) >= threshold).numpy()
    right, wrong, count = PixelHistogram.from_arrays(probability, truth).counts_at(threshold)
    assert right == (predicted & truth).sum()
    assert wrong == (predicted & ~truth).sum()
    assert count == truth.sum()


def test_precision_recall_and_f1_equal_their_definitions() -> None:
    probability, truth = maps(1)
    histogram = PixelHistogram.from_arrays(probability, truth)
    hits = (truth & (probability >= 0.5)).sum()
    precision, recall = hits / (probability >= 0.5).sum(), hits / truth.sum()
    assert histogram.precision(0.5) == pytest.approx(precision)
    assert histogram.recall(0.5) == pytest.approx(recall)
    assert histogram.f1(0.5) == pytest.approx(2 * precision * recall / (precision + recall))
    assert histogram.prior == pytest.approx(truth.mean())


def test_average_precision_agrees_with_torchmetrics_without_thresholds() -> None:
    for seed in range(5):
        probability, truth = maps(seed)
        exact = BinaryAveragePrecision()(torch.from_numpy(probability), torch.from_numpy(truth))
        ours = PixelHistogram.from_arrays(probability, truth).average_precision()
        assert ours == pytest.approx(float(exact), abs=2e-3)


@pytest.mark.parametrize("shift", [-12.0, 8.0])
def test_the_ranking_of_a_collapsed_or_saturated_network_is_kept(shift: float) -> None:
    # Shifting all logits changes no ranking, so it may not change the average precision.
    rng = np.random.default_rng(3)
    truth = rng.random(4000) < 0.1
    logits = torch.from_numpy(rng.normal(np.where(truth, 0.5, -2.0), 1.2))
    plain = PixelHistogram.from_arrays(torch.sigmoid(logits).numpy(), truth)
    moved = PixelHistogram.from_arrays(torch.sigmoid(logits + shift).numpy(), truth)
    assert moved.average_precision() == pytest.approx(plain.average_precision(), abs=0.02)


def test_best_threshold_beats_a_brute_force_search() -> None:
    probability, truth = maps(4)
    histogram = PixelHistogram.from_arrays(probability, truth)
    chosen = histogram.f1(histogram.best_threshold())
    assert chosen == max(histogram.f1(t) for t in np.arange(0.0, 1.0, 0.001))
    assert chosen > histogram.f1(0.5)


def test_best_threshold_of_equals_is_the_one_nearest_to_a_half() -> None:
    histogram = PixelHistogram.from_arrays(np.array([0.2, 0.9], np.float32), [0, 1])
    assert histogram.best_threshold() == 0.5


def test_calibration_errors_agree_with_torchmetrics() -> None:
    probability, truth = maps(5)
    predictions, targets = torch.from_numpy(probability), torch.from_numpy(truth).int()
    histogram = PixelHistogram.from_arrays(probability, truth)
    reference = BinaryCalibrationError(n_bins=15, norm="l1")
    # torchmetrics' binary form takes p as the confidence and the target as the accuracy.
    assert histogram.calibration_error() == pytest.approx(
        float(reference(predictions, targets)), abs=1e-6
    )
    positive = predictions >= 0.5
    assert histogram.calibration_error(predicted_particles=True) == pytest.approx(
        float(reference(predictions[positive], targets[positive])), abs=1e-6
    )


def test_a_calibrated_map_has_a_small_calibration_error_and_a_warped_one_a_large() -> None:
    rng = np.random.default_rng(6)
    probability = rng.random(200_000).astype(np.float32)
    truth = rng.random(probability.size) < probability
    assert PixelHistogram.from_arrays(probability, truth).calibration_error() < 0.01
    assert PixelHistogram.from_arrays(probability**3, truth).calibration_error() > 0.1


def test_invalid_pixels_count_for_neither_side_even_when_nan() -> None:
    probability, truth = maps(7)
    valid = np.random.default_rng(8).random(probability.size) < 0.5
    expected = PixelHistogram.from_arrays(probability[valid], truth[valid])
    probability[~valid] = np.nan
    got = PixelHistogram.from_arrays(probability, truth, valid)
    assert (got.counts == expected.counts).all()
    assert (got.sums == expected.sums).all()


@given(st.integers(0, 10_000), st.integers(1, 3999))
def test_histograms_of_parts_add_up_to_that_of_the_whole(seed: int, cut: int) -> None:
    probability, truth = maps(seed % 7)
    whole = PixelHistogram.from_arrays(probability, truth)
    parts = PixelHistogram.from_arrays(probability[:cut], truth[:cut]) + (
        PixelHistogram.from_arrays(probability[cut:], truth[cut:])
    )
    assert (whole.counts == parts.counts).all()
    assert whole.calibration_error() == pytest.approx(parts.calibration_error())


@pytest.mark.parametrize(
    ("probability", "truth", "precision", "recall", "f1"),
    [
        ([0.1], [1], 0.0, 0.0, 0.0),  # silent about a particle
        ([0.9], [0], 0.0, 0.0, 0.0),  # sees one where there is none
        ([0.1], [0], 1.0, 1.0, 1.0),  # rightly silent
        ([], [], 1.0, 1.0, 1.0),
    ],
)
def test_zero_divisions_follow_the_documented_convention(
    probability: list[float], truth: list[int], precision: float, recall: float, f1: float
) -> None:
    histogram = PixelHistogram.from_arrays(np.array(probability, np.float32), np.array(truth))
    assert (histogram.precision(), histogram.recall(), histogram.f1()) == (precision, recall, f1)
    assert 0 <= histogram.average_precision() <= 1
    assert histogram.calibration_error() >= 0


@pytest.mark.parametrize("bad", [np.nan, 1.5, -0.1, np.inf])
def test_probabilities_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(CryofixError, match=r"must lie in \[0, 1\]"):
        PixelHistogram.from_arrays(np.array([0.2, bad], np.float32), [0, 1])


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(CryofixError, match="one shape"):
        PixelHistogram.from_arrays(np.zeros((4, 5), np.float32), np.zeros((5, 4)))


def test_precision_recall_curve_holds_the_values_at_each_edge() -> None:
    probability, truth = maps(9)
    histogram = PixelHistogram.from_arrays(probability, truth)
    precision, recall = histogram.precision_recall()
    index = curves.threshold_index(0.7)
    assert precision[index] == histogram.precision(0.7)
    assert recall[index] == histogram.recall(0.7)
    assert (np.diff(recall) <= 0).all()


def test_the_reliability_diagram_has_the_mean_and_share_of_each_bin() -> None:
    probability, truth = maps(10)
    diagram = PixelHistogram.from_arrays(probability, truth).reliability()
    inside = (probability >= np.float32(4 / 15)) & (probability < np.float32(5 / 15))
    assert diagram.pixels[4] == inside.sum()
    assert diagram.mean_probability[4] == pytest.approx(probability[inside].mean(), rel=1e-5)
    assert diagram.particle_share[4] == pytest.approx(truth[inside].mean())
    assert diagram.pixels.sum() == truth.size
