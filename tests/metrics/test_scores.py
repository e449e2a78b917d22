import json
from typing import Any

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import Particles
from cryofix.metrics.particles import MicrographRecord, Thresholds, pooled_particles, pooled_pixels
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.scores import choose_thresholds, paired_gain, summarise_scores

SIZE, DIAMETER = 120, 12.0


def micrograph(name: str, seed: int, skill: float = 2.0, picks: bool = True) -> MicrographRecord:
    """Give the record of a micrograph with discs, seen with more or less skill."""
    rng = np.random.default_rng(seed)
    grid = np.arange(10.0, SIZE, 20)
    xy = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)[rng.permutation(36)[:12]]
    rows, columns = np.indices((SIZE, SIZE))
    distance = np.hypot(columns[..., None] - xy[:, 0], rows[..., None] - xy[:, 1]).min(axis=-1)
    target = distance <= DIAMETER / 2
    logits = rng.normal(np.where(target, skill / 2, -skill / 2) - 0.5, 1.0)
    found = xy + rng.normal(0, 6 / (1 + skill), xy.shape)
    stray = rng.random((6, 2)) * SIZE
    centres = np.concatenate([found, stray]) if picks else np.empty((0, 2))
    score = np.clip(rng.normal(np.repeat([0.7, 0.4], [12, 6]), 0.15), 0, 1)[: len(centres)]
    return MicrographRecord.measure(
        name,
        Particles(x=centres[:, 0], y=centres[:, 1], score=score),
        Particles(x=xy[:, 0], y=xy[:, 1]),
        diameter=DIAMETER,
        pixels=PixelHistogram.from_arrays((1 / (1 + np.exp(-logits))).astype(np.float32), target),
    )


def split(skill: float = 2.0, first_seed: int = 0) -> list[MicrographRecord]:
    return [micrograph(f"m{i}", first_seed + i, skill) for i in range(6)]


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def test_the_summary_has_every_key_of_the_result_schema() -> None:
    scores = summarise_scores(split(), Thresholds(0.4, 0.5))
    assert set(scores) == {"pixel", "particle", "per_micrograph"}
    assert {
        "precision", "recall", "f1", "threshold", "f1_at_validation_threshold",
        "average_precision", "ece",
    } <= set(scores["pixel"])  # fmt: skip
    assert {
        "precision", "recall", "f1", "threshold", "average_precision", "radius_fraction",
    } <= set(scores["particle"])  # fmt: skip
    assert [row["name"] for row in scores["per_micrograph"]] == [f"m{i}" for i in range(6)]


def test_everything_in_the_summary_is_plain_json_without_nan() -> None:
    for records in (split(), split()[:1], [micrograph("silent", 0, picks=False)]):
        scores = summarise_scores(records, choose_thresholds(records))
        json.dumps(scores, allow_nan=False)
        assert {type(leaf) for leaf in leaves(scores)} <= {float, int, str, type(None)}


def test_pixel_scores_are_at_a_half_and_particle_scores_at_the_validation_threshold() -> None:
    records = split()
    scores = summarise_scores(records, Thresholds(pixel=0.3, particle=0.6))
    pixels, particles = pooled_pixels(records), pooled_particles(records)
    assert scores["pixel"]["f1"] == pixels.f1(0.5)
    assert scores["pixel"]["f1_at_validation_threshold"] == pixels.f1(0.3)
    assert scores["pixel"]["threshold"] == 0.3
    assert scores["particle"]["f1"] == particles.f1(0.6)
    assert scores["particle"]["threshold"] == 0.6
    assert scores["particle"]["radius_fraction"] == 0.5
    assert scores["particle"]["strict"]["radius_fraction"] == 0.25
    assert scores["particle"]["strict"]["f1"] < scores["particle"]["f1"]


def test_micro_pools_counts_and_macro_averages_micrographs() -> None:
    records = [micrograph("good", 1, 4.0), micrograph("poor", 2, 0.5)]
    scores = summarise_scores(records, Thresholds())
    rows = scores["per_micrograph"]
    macro = scores["particle"]["macro"]
    assert macro["f1"] == pytest.approx(np.mean([row["particle_f1"] for row in rows]))
    assert macro["recall"] == pytest.approx(np.mean([row["particle_recall"] for row in rows]))
    matched = sum(row["matched"] for row in rows)
    assert scores["particle"]["precision"] == matched / sum(row["picks"] for row in rows)
    assert scores["particle"]["recall"] == matched / sum(row["truth"] for row in rows)
    assert scores["pixel"]["macro"]["f1"] == pytest.approx(
        np.mean([row["pixel_f1"] for row in rows])
    )


def test_a_micrograph_without_picks_stays_in_every_denominator() -> None:
    found, silent = micrograph("found", 1, 4.0), micrograph("silent", 2, picks=False)
    alone, both = (
        summarise_scores(records, Thresholds())["particle"]
        for records in ([found], [found, silent])
    )
    assert both["recall"] == pytest.approx(alone["recall"] / 2)
    assert both["macro"]["f1"] == pytest.approx(alone["macro"]["f1"] / 2)


def test_every_value_lies_within_its_interval() -> None:
    scores = summarise_scores(split(), Thresholds(0.4, 0.5))
    for part in ("pixel", "particle"):
        for name, (low, high) in scores[part]["ci95"].items():
            assert low <= scores[part][name] <= high
            assert low < high


@pytest.mark.parametrize(("n", "said"), [(1, "1 micrograph,"), (2, "2 micrographs,")])
def test_one_or_two_micrographs_have_no_interval_and_say_why(n: int, said: str) -> None:
    scores = summarise_scores(split()[:n], Thresholds())
    assert scores["pixel"]["ci95"]["f1"] is None
    assert scores["particle"]["macro"]["ci95"]["f1"] is None
    for part in ("pixel", "particle"):
        assert scores[part]["ci95_reason"] == f"{said} too few for an interval"
    assert "ci95_reason" not in summarise_scores(split(), Thresholds())["particle"]


def test_thresholds_are_the_best_of_validation() -> None:
    validation = split(first_seed=50)
    thresholds = choose_thresholds(validation)
    chosen = summarise_scores(validation, thresholds)
    for threshold in np.arange(0.05, 1.0, 0.05):
        other = summarise_scores(validation, Thresholds(threshold, threshold))
        assert other["particle"]["f1"] <= chosen["particle"]["f1"]
        assert (
            other["pixel"]["f1_at_validation_threshold"]
            <= chosen["pixel"]["f1_at_validation_threshold"]
        )


def test_the_gain_is_fixmatch_minus_control_with_an_interval() -> None:
    control, fixmatch = split(1.0), split(3.0)
    before, after = Thresholds(0.4, 0.5), Thresholds(0.3, 0.45)
    gain = paired_gain(control, fixmatch[::-1], before, after)
    first, second = summarise_scores(control, before), summarise_scores(fixmatch, after)
    for name, part, key in (
        ("pixel_f1", "pixel", "f1"),
        ("pixel_f1_at_validation_threshold", "pixel", "f1_at_validation_threshold"),
        ("average_precision", "pixel", "average_precision"),
        ("particle_f1", "particle", "f1"),
        ("particle_average_precision", "particle", "average_precision"),
    ):
        assert gain[name]["value"] == pytest.approx(second[part][key] - first[part][key])
        low, high = gain[name]["ci95"]
        assert low <= gain[name]["value"] <= high
    assert gain["pixel_f1"]["ci95"][0] > 0
    json.dumps(gain, allow_nan=False)


def test_a_model_gains_nothing_over_itself() -> None:
    records = split()
    for gain in paired_gain(records, records, Thresholds(), Thresholds()).values():
        assert gain == {"value": 0.0, "ci95": [0.0, 0.0]}


@pytest.mark.parametrize("names", [["m0"], ["m0", "m2"], ["m0", "m0"], []])
def test_a_gain_over_other_micrographs_is_refused(names: list[str]) -> None:
    control = [micrograph("m0", 0), micrograph("m1", 1)]
    fixmatch = [micrograph(name, 0) for name in names]
    with pytest.raises(CryofixError, match="same micrographs"):
        paired_gain(control, fixmatch, Thresholds(), Thresholds())


def test_no_micrographs_at_all_is_an_error_and_not_a_score() -> None:
    with pytest.raises(CryofixError, match="no labelled micrograph"):
        summarise_scores([], Thresholds())
    with pytest.raises(CryofixError, match="no labelled micrograph"):
        choose_thresholds([])
