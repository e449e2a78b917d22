"""Labels that are upside down are noticed, on simulated discs and on real micrographs."""

from pathlib import Path

import numpy as np
import pytest

from cryofix.formats import (
    MicrographInfo,
    Particles,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    score_orientations,
    write_mrc,
)

ROWS, COLUMNS, DIAMETER = 600, 900, 40.0


def disc_images(
    folder: Path, count: int, amplitude: float, seed: int = 0
) -> tuple[dict[str, MicrographInfo], dict[str, Particles]]:
    """White noise of 1 with discs of the amplitude, and a gradient that is no particle."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    labels = {}
    for index in range(count):
        x = random.uniform(40, COLUMNS - 40, 20)
        y = random.uniform(40, ROWS - 40, 20)
        image = random.normal(size=(ROWS, COLUMNS)) + 5 * rows / ROWS
        for column, row in zip(x, y, strict=True):
            image += amplitude * (np.hypot(rows - row, columns - column) < DIAMETER / 2)
        image[5, 5] = 1e6  # a hot pixel
        write_mrc(folder / f"m{index}.mrc", image, 1.0)
        labels[f"m{index}"] = Particles(x, y, None, np.full(20, DIAMETER))
    return index_micrographs(find_micrographs(folder)), labels


def upside_down(labels: dict[str, Particles]) -> dict[str, Particles]:
    return {k: Particles(v.x, ROWS - v.y, None, v.diameter_px) for k, v in labels.items()}


@pytest.mark.parametrize("amplitude", [-0.4, 0.4])
def test_dark_and_bright_discs_tell_which_way_up(tmp_path: Path, amplitude: float) -> None:
    micrographs, labels = disc_images(tmp_path, 3, amplitude)
    right = score_orientations(micrographs, labels)
    assert not right.flip_wins
    assert "right way up" in right.message
    assert (right.micrographs, right.particles > 40) == (3, True)
    wrong = score_orientations(micrographs, upside_down(labels))
    assert wrong.flip_wins
    assert "UPSIDE DOWN" in wrong.message
    assert (wrong.as_given, wrong.flipped) == pytest.approx((right.flipped, right.as_given))


def test_noise_alone_says_that_it_does_not_know(tmp_path: Path) -> None:
    micrographs, labels = disc_images(tmp_path, 2, 0.0)
    for these in (labels, upside_down(labels)):
        score = score_orientations(micrographs, these)
        assert not score.flip_wins
        assert "could not be checked" in score.message


def test_without_diameters_one_is_taken_or_given(tmp_path: Path) -> None:
    micrographs, labels = disc_images(tmp_path, 2, -0.5)
    bare = {k: Particles(v.x, ROWS - v.y) for k, v in labels.items()}
    assert score_orientations(micrographs, bare).flip_wins
    assert score_orientations(micrographs, bare, diameter_px=DIAMETER).flip_wins


def test_big_sets_are_thinned_the_same_way_each_time(tmp_path: Path) -> None:
    micrographs, labels = disc_images(tmp_path, 5, -0.5)
    first = score_orientations(micrographs, labels, max_micrographs=2, max_particles=16)
    again = score_orientations(
        micrographs, dict(reversed(labels.items())), max_micrographs=2, max_particles=16
    )
    assert first == again
    assert first.micrographs == 2
    assert first.particles <= 16


def test_empty_or_no_labels_give_no_verdict(tmp_path: Path) -> None:
    micrographs, _ = disc_images(tmp_path, 1, 0.0)
    for labels in ({}, {"m0": Particles.empty()}, {"elsewhere": Particles.empty()}):
        score = score_orientations(micrographs, labels)
        assert not score.flip_wins
        assert "no particles to look at" in score.message


def test_real_labels_are_the_right_way_up(empiar10017: Path) -> None:
    micrographs = index_micrographs(find_micrographs(empiar10017 / "micrographs"))
    labels = read_coordinates(empiar10017 / "coordinates", micrographs)
    score = score_orientations(micrographs, labels, max_micrographs=4, max_particles=400)
    assert "right way up" in score.message
    assert score.as_given > 10 * score.flipped
    flipped = read_coordinates(empiar10017 / "coordinates", micrographs, y_origin="bottom")
    assert score_orientations(micrographs, flipped, max_micrographs=4, max_particles=400).flip_wins
