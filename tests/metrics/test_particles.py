from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryofix.errors import CryofixError
from cryofix.formats import Particles
from cryofix.metrics.area import Area
from cryofix.metrics.matching import match
from cryofix.metrics.particles import ParticleRecord, judged

INNER = Area((5.0, 5.0, 94.0, 94.0))


def particles(xy: object, score: object = None) -> Particles:
    points = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    scores = None if score is None else np.asarray(score, dtype=np.float64)
    return Particles(x=points[:, 0], y=points[:, 1], score=scores)


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(0, 30))
def test_counts_at_each_threshold_equal_matching_only_the_picks_above_it(
    seed: int, picks: int, truth: int
) -> None:
    rng = np.random.default_rng(seed)
    xy, truth_xy = rng.random((picks, 2)) * 12, rng.random((truth, 2)) * 12
    score = np.round(rng.random(picks), 2)
    record = ParticleRecord.from_picks(
        particles(xy, score), particles(truth_xy), diameter=4.0, min_distance=0.0
    )
    for threshold in np.arange(0, 1, 0.05):
        above = xy[score.astype(np.float32) >= np.float32(threshold)]
        hits = len(match(above, truth_xy, 2.0))
        assert record.counts_at(threshold) == (hits, len(above) - hits, truth)


def test_a_displaced_pick_is_wrong_only_below_the_threshold_that_displaces_it() -> None:
    # The surer pick is the farther one: alone it is right, beside the nearer one it is wrong.
    record = ParticleRecord.from_picks(
        particles([[4.0, 0.0], [0.0, 1.0]], [0.9, 0.3]),
        particles([[0.0, 0.0]]),
        diameter=10.0,
        min_distance=0.0,
    )
    assert record.counts_at(0.5) == (1, 0, 1)
    assert record.counts_at(0.2) == (1, 1, 1)


def test_average_precision_is_the_area_of_steps() -> None:
    record = ParticleRecord.from_picks(
        particles([[0, 0], [50, 0], [100, 0]], [0.9, 0.8, 0.7]),
        particles([[0, 0], [100, 0], [200, 0]]),
        diameter=10.0,
    )
    # Right at rank 1 (precision 1) and 3 (2/3); the third particle is never found.
    assert record.average_precision() == pytest.approx((1 + 2 / 3) / 3)


def test_average_precision_agrees_with_torchmetrics_when_nothing_competes() -> None:
    from torchmetrics.classification import BinaryAveragePrecision

    rng = np.random.default_rng(0)
    centres = np.stack([np.arange(300) * 20.0, np.zeros(300)], axis=1)
    real = rng.random(300) < 0.4
    score = np.clip(rng.normal(0.4 + 0.2 * real, 0.15), 0, 1)
    record = ParticleRecord.from_picks(
        particles(centres, score), particles(centres[real]), diameter=10.0
    )
    exact = BinaryAveragePrecision()(torch.from_numpy(score), torch.from_numpy(real))
    assert record.average_precision() == pytest.approx(float(exact), abs=2e-3)


def test_a_micrograph_without_picks_counts_all_its_particles_as_missed() -> None:
    found = ParticleRecord.from_picks(particles([[5, 5]], [0.9]), particles([[5, 5]]), diameter=4.0)
    silent = ParticleRecord.from_picks(
        particles([], []), particles([[1, 1], [9, 9], [20, 20]]), diameter=4.0
    )
    assert (found + silent).recall(0.5) == 0.25
    assert (found + silent).precision(0.5) == 1.0
    assert silent.f1(0.5) == 0.0


def test_duplicates_are_removed_before_scoring() -> None:
    record = ParticleRecord.from_picks(
        particles([[5, 5], [6, 5], [5, 6]], [0.5, 0.9, 0.7]), particles([[5, 5]]), diameter=10.0
    )
    assert record.counts_at(0.0) == (1, 0, 1)


def test_a_pick_near_an_ignored_particle_counts_for_neither_side() -> None:
    picks = particles([[0, 0], [30, 0], [60, 0]], [0.9, 0.8, 0.7])
    record = ParticleRecord.from_picks(
        picks, particles([[0, 0]]), diameter=10.0, ignored=particles([[33, 0]])
    )
    assert record.counts_at(0.0) == (1, 1, 1)


def test_a_pick_that_finds_a_particle_counts_although_an_ignored_one_is_near() -> None:
    record = ParticleRecord.from_picks(
        particles([[0, 0]], [0.9]), particles([[1, 0]]), diameter=10.0, ignored=particles([[0, 0]])
    )
    assert record.counts_at(0.5) == (1, 0, 1)


def test_the_border_is_excluded_for_picks_and_truth_alike() -> None:
    picks = particles([[2, 50], [97, 50], [50, 50], [50, 98.5]], [0.9, 0.9, 0.9, 0.9])
    truth = particles([[2, 50], [50, 50], [50, 1]])
    record = ParticleRecord.from_picks(picks, truth, diameter=8.0, area=INNER)
    assert record.counts_at(0.5) == (1, 0, 1)


def test_a_pair_astride_the_border_line_is_not_punished_on_either_side() -> None:
    inside, outside = [50.0, 5.5], [50.0, 4.5]

    def record(pick: list[float], particle: list[float]) -> ParticleRecord:
        return ParticleRecord.from_picks(
            particles([pick], [0.9]), particles([particle]), diameter=8.0, area=INNER
        )

    assert record(outside, inside).counts_at(0.5) == (1, 0, 1)
    assert record(inside, outside).counts_at(0.5) == (0, 0, 0)


def test_the_border_uses_rows_for_y_and_columns_for_x() -> None:
    record = ParticleRecord.from_picks(
        particles([[150, 50]], [0.9]),
        particles([[150, 50]]),
        diameter=8.0,
        area=Area((10.0, 10.0, 189.0, 89.0)),
    )
    assert record.counts_at(0.5) == (1, 0, 1)


@pytest.mark.parametrize("bad", [np.nan, 3.0, -1.0])
def test_scores_outside_the_unit_interval_are_refused(bad: float) -> None:
    with pytest.raises(CryofixError, match="scores of picks"):
        ParticleRecord.from_picks(particles([[1, 1]], [bad]), particles([[1, 1]]), diameter=4.0)


def test_picks_without_scores_count_at_every_threshold() -> None:
    record = ParticleRecord.from_picks(
        particles([[0, 0], [50, 0]]), particles([[0, 0]]), diameter=10.0
    )
    assert record.counts_at(0.99) == record.counts_at(0.0) == (1, 1, 1)


def test_nothing_is_nan_when_there_are_neither_picks_nor_particles() -> None:
    nothing = ParticleRecord.from_picks(particles([]), particles([]), diameter=10.0)
    assert (nothing.precision(0.5), nothing.recall(0.5), nothing.f1(0.5)) == (1.0, 1.0, 1.0)
    assert nothing.average_precision() == 0.0
    assert nothing.best_threshold() == 0.5


def test_the_precision_recall_curve_follows_the_counts() -> None:
    record = ParticleRecord.from_picks(
        particles([[0, 0], [50, 0]], [0.9, 0.4]), particles([[0, 0], [99, 0]]), diameter=10.0
    )
    precision, recall = record.precision_recall()
    assert precision[0] == record.precision(0.0) == 0.5
    assert recall[0] == record.recall(0.0) == 0.5


@given(st.integers(0, 99))
def test_what_is_drawn_of_picks_has_the_counts_of_the_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    picks, truth, ignored = (particles(rng.uniform(0, 100, (n, 2))) for n in (12, 15, 4))
    area = Area((15.0, 15.0, 85.0, 85.0))
    where: Any = {"diameter": 20.0, "ignored": ignored, "area": area}
    drawn = {name: len(xy) for name, xy in judged(picks, truth, **where).items()}
    # Nothing is a duplicate, because both are given as they are.
    record = ParticleRecord.from_picks(picks, truth, min_distance=0.0, **where)
    assert drawn["found"] == record.matched.sum()
    assert drawn["extra"] == record.unmatched.sum()
    assert drawn["missed"] == record.truth - record.matched.sum()


def test_particles_at_the_edge_are_drawn_as_not_scored() -> None:
    drawn = judged(
        particles([[2, 50], [50, 50], [98, 50]]),
        particles([[2, 51], [50, 51], [50, 80]]),
        diameter=10.0,
        ignored=particles([[30, 30]]),
        area=Area((5.0, 5.0, 95.0, 95.0)),
    )
    assert {name: xy.tolist() for name, xy in drawn.items()} == {
        "found": [[50, 50]],
        "extra": [],
        "missed": [[50, 80]],
        "not scored": [[30, 30], [2, 51], [98, 50]],
    }
