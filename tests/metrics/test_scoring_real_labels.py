"""Scoring against the labels of real micrographs (EMPIAR-10017), where these are at hand."""

from pathlib import Path

import numpy as np
import pytest

from cryofix.formats import (
    MicrographInfo,
    Particles,
    find_micrographs,
    micrograph_name,
    read_coordinates,
    read_info,
)
from cryofix.metrics.particles import ParticleRecord

DIAMETER = 108.0


@pytest.fixture
def labels(empiar10017: Path) -> list[tuple[Particles, MicrographInfo]]:
    paths = find_micrographs(empiar10017 / "micrographs")
    infos = {micrograph_name(path): read_info(path) for path in paths}
    found = read_coordinates(empiar10017 / "coordinates", infos)
    return [(particles, infos[name]) for name, particles in found.items()]


def test_the_border_that_no_label_reaches_is_the_one_that_is_documented(
    labels: list[tuple[Particles, MicrographInfo]],
) -> None:
    # 131 px counted from the edge of the image, which is half a pixel outside the last centre.
    gaps = [
        (p.x.min(), p.y.min(), info.shape[1] - 1 - p.x.max(), info.shape[0] - 1 - p.y.max())
        for p, info in labels
        if len(p)
    ]
    assert np.min(gaps) == pytest.approx(131, abs=1)


def test_labels_picked_as_they_are_miss_only_those_labelled_twice(
    labels: list[tuple[Particles, MicrographInfo]],
) -> None:
    total = sum(
        (ParticleRecord.from_picks(each, each, diameter=DIAMETER) for each, _ in labels),
        ParticleRecord.empty(),
    )
    assert total.truth == 13169
    assert total.precision(0.5) == 1.0
    # About 200 pairs of labels lie within half a diameter, where picks count as duplicates.
    assert 0.98 < total.recall(0.5) < 0.99


def test_agreement_falls_as_picks_move_away_from_the_labels(
    labels: list[tuple[Particles, MicrographInfo]],
) -> None:
    rng = np.random.default_rng(0)
    particles, _ = labels[0]
    f1 = []
    for spread in (0.0, 10.0, 30.0, 60.0):
        moved = Particles(
            x=particles.x + rng.normal(0, spread, len(particles)),
            y=particles.y + rng.normal(0, spread, len(particles)),
        )
        f1.append(ParticleRecord.from_picks(moved, particles, diameter=DIAMETER).f1(0.5))
    assert f1 == sorted(f1, reverse=True)
    assert f1[0] - f1[-1] > 0.3
