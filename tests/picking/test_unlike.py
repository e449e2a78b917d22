"""Micrographs that look unlike the rest are named, and ordinary ones are not."""

import numpy as np
import pytest

from cryofix.formats import Particles
from cryofix.picking.unlike import on_one_line, unusual_counts

SHAPE, DIAMETER = (3000, 4000), 120.0


def scattered(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.uniform(0, SHAPE[1], count), random.uniform(0, SHAPE[0], count)


def test_hardly_any_picks_and_far_too_many_are_said() -> None:
    counts = [100, 110, 95, 4, 120, 105, 520, 98]
    notes = unusual_counts(counts)
    assert [bool(note) for note in notes] == [False] * 3 + [True, False, False, True, False]
    assert notes[3] == "hardly any picks: 4, median 102"
    assert notes[6] == "far more picks than the rest: 520, median 102"


@pytest.mark.parametrize("mean", [3, 10, 200])
def test_counts_that_differ_by_chance_are_like_the_rest(mean: int) -> None:
    counts = np.random.default_rng(0).poisson(mean, 500).tolist()
    assert sum(map(bool, unusual_counts(counts))) <= 1
    assert unusual_counts([0, 300]) == ["", ""]  # there is no rest


@pytest.mark.parametrize("degrees", [0, 37, 90, 141])
def test_picks_along_a_line_are_said_at_any_angle(degrees: float) -> None:
    random = np.random.default_rng(1)
    along, across = random.uniform(-1200, 1200, 40), random.normal(0, 40, 40)
    angle = np.radians(degrees)
    x, y = scattered(20, 2)
    x = np.concatenate([x, 2000 + along * np.cos(angle) - across * np.sin(angle)])
    y = np.concatenate([y, 1500 + along * np.sin(angle) + across * np.cos(angle)])
    assert "of the picks lie along one line" in on_one_line(Particles(x, y), SHAPE, DIAMETER)


def test_scattered_picks_lie_on_no_line() -> None:
    for seed in range(200):
        picks = Particles(*scattered(20 + seed % 90, seed))
        assert on_one_line(picks, SHAPE, DIAMETER) == ""
    few = Particles(np.arange(19.0), np.zeros(19))
    assert on_one_line(few, SHAPE, DIAMETER) == ""
