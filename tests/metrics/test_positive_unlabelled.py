"""Scores from labels that leave particles out, against what complete labels say."""

import numpy as np
import pytest

from cryofix.formats import Particles
from cryofix.metrics.particles import MicrographRecord, pooled_particles
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.positive_unlabelled import (
    Expectation,
    completed,
    positive_unlabelled_f1,
    threshold_of,
)

SIDE, RADIUS = 1000, 5.0
DISC = np.pi * RADIUS**2


def places(random: np.random.Generator, count: int) -> Particles:
    """Return particles that are far from each other: on a grid, some of its places."""
    y, x = np.divmod(random.permutation(40 * 40)[:count].astype(np.float64), 40.0)
    return Particles(x=25 * x + 10, y=25 * y + 10)


def record(
    truth: Particles, picks: Particles, share: float | None = None, name: str = "one"
) -> MicrographRecord:
    """Score picks; ``share`` of the labels are known."""
    if share is not None:
        truth = truth.select(np.random.default_rng(1).uniform(size=len(truth)) < share)
    empty = np.zeros((SIDE, SIDE))
    pixels = PixelHistogram.from_arrays(empty, empty)
    return MicrographRecord.measure(name, picks, truth, diameter=10.0, pixels=pixels)


def ranked(
    random: np.random.Generator, particles: int, found: int, wrong: int
) -> tuple[Particles, Particles]:
    """Return particles, and picks of some of them among wrong ones that mostly score less."""
    every = places(random, particles + wrong)
    truth = every.select(np.arange(len(every)) < particles)
    kept = np.r_[np.arange(found), np.arange(particles, particles + wrong)]
    score = np.r_[random.beta(4, 2, found), random.beta(2, 4, wrong)]
    return truth, Particles(x=every.x[kept], y=every.y[kept], score=score)


@pytest.mark.parametrize("seed", range(3))
def test_with_a_third_of_the_labels_the_estimates_are_near_what_all_of_them_say(seed: int) -> None:
    truth, picks = ranked(np.random.default_rng(seed), 600, 500, 400)
    complete, partial = record(truth, picks), record(truth, picks, 0.33)
    expected = Expectation(600 * DISC / SIDE**2, DISC)
    found = expected.scores([partial])
    everything = pooled_particles([complete])
    threshold = threshold_of(everything, 600.0)
    assert everything.f1(threshold) == pytest.approx(everything.recall(threshold), abs=0.002)
    assert found["particle_recall_at_expected"] == pytest.approx(everything.f1(threshold), abs=0.07)
    counts = everything.binned.at_or_above()
    assert found["particle_positive_unlabelled_f1"] == pytest.approx(
        (counts.precision * counts.recall).max(), abs=0.08
    )


def test_a_better_ranking_has_the_higher_scores() -> None:
    truth, picks = ranked(np.random.default_rng(0), 600, 500, 400)
    assert picks.score is not None
    worse = Particles(x=picks.x, y=picks.y, score=1 - picks.score)
    expected = Expectation(600 * DISC / SIDE**2, DISC)
    good, bad = (expected.scores([record(truth, each, 0.1)]) for each in (picks, worse))
    for key in ("particle_recall_at_expected", "particle_positive_unlabelled_f1"):
        assert good[key] > bad[key] + 0.1


def test_a_few_lucky_picks_are_no_high_score() -> None:
    """One pick that is a label has recall 1/20; over one pick, 600 are expected."""
    truth = places(np.random.default_rng(0), 20)
    lucky = Particles(x=truth.x[:1], y=truth.y[:1], score=np.array([0.9]))
    counts = pooled_particles([record(truth, lucky)]).binned
    assert positive_unlabelled_f1(counts, 600.0).max() == pytest.approx(1 / 600)


def test_complete_labels_are_left_as_they_are() -> None:
    truth, picks = ranked(np.random.default_rng(2), 100, 80, 60)
    counts = pooled_particles([record(truth, picks)]).counts_at(0.4)
    np.testing.assert_allclose(completed(counts, 100.0), counts)


def test_the_threshold_gives_as_many_picks_as_expected_over_all_and_not_in_each() -> None:
    truth, picks = ranked(np.random.default_rng(3), 300, 300, 300)
    assert picks.score is not None
    faint = Particles(x=picks.x, y=picks.y, score=picks.score / 4)  # an empty micrograph
    both = [record(truth, picks, 0.1), record(Particles.empty(), faint, name="two")]
    thresholds = Expectation(150 * DISC / SIDE**2, DISC).thresholds(both)
    above = [np.sum(each >= thresholds.particle) for each in (picks.score, picks.score / 4)]
    assert sum(above) == pytest.approx(300, abs=2)
    assert above[0] > 10 * above[1]
    assert thresholds.source == "the expected number of particles"


def test_fewer_picks_than_expected_all_count() -> None:
    truth, picks = ranked(np.random.default_rng(4), 50, 50, 0)
    assert picks.score is not None
    curve = pooled_particles([record(truth, picks)])
    at = threshold_of(curve, 1000.0)
    assert (picks.score >= at).all()
    assert at > picks.score.min() - 0.01
