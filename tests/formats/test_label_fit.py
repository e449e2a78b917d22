"""Labels that do not lie on particles are noticed, on simulated discs and real micrographs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.formats import (
    MicrographInfo,
    Particles,
    check_labels,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    write_mrc,
)
from cryofix.formats.option_keys import CommandKeys

ROWS, COLUMNS, DIAMETER = 600, 900, 40.0


def disc_images(
    folder: Path, count: int, amplitude: float, seed: int = 0, side: int = COLUMNS
) -> tuple[dict[str, MicrographInfo], dict[str, Particles]]:
    """White noise of 1 with discs of the amplitude, and a gradient that is no particle."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:ROWS, :side]
    labels = {}
    for index in range(count):
        x = random.uniform(40, side - 40, 20)
        y = random.uniform(40, ROWS - 40, 20)
        image = random.normal(size=(ROWS, side)) + 5 * rows / ROWS
        for column, row in zip(x, y, strict=True):
            image += amplitude * (np.hypot(rows - row, columns - column) < DIAMETER / 2)
        image[5, 5] = 1e6  # a hot pixel
        write_mrc(folder / f"m{index}.mrc", image, 1.0)
        labels[f"m{index}"] = Particles(x, y, None, np.full(20, DIAMETER))
    return index_micrographs(find_micrographs(folder)), labels


Change = Callable[[Particles], Particles]
"""What somebody did to labels, in the frame of a file of which y counts from the top."""


def changed(labels: dict[str, Particles], change: Change) -> dict[str, Particles]:
    return {name: change(its) for name, its in labels.items()}


def exchanged(its: Particles) -> Particles:
    return Particles(its.y, its.x, None, its.diameter_px)


def mirrored(its: Particles) -> Particles:
    return Particles(ROWS - its.x, its.y, None, its.diameter_px)


def turned(its: Particles) -> Particles:
    return Particles(its.x, ROWS - its.y, None, its.diameter_px)


def halved(its: Particles) -> Particles:
    return its.scaled(0.5)


def halved_with_full_diameters(its: Particles) -> Particles:
    return Particles(its.x / 2, its.y / 2, None, its.diameter_px)


def eighth_upside_down(its: Particles) -> Particles:
    return turned(its).scaled(1 / 8)


@pytest.mark.parametrize("amplitude", [-0.4, 0.4])
def test_dark_and_bright_discs_confirm_their_labels(tmp_path: Path, amplitude: float) -> None:
    micrographs, labels = disc_images(tmp_path, 3, amplitude)
    fit = check_labels(micrographs, labels)
    assert fit.confirmed
    assert fit.as_given.contrast > 0.3
    assert (fit.as_given.micrographs, fit.as_given.particles > 40) == (3, True)
    assert "the labels lie on particles: contrast" in fit.message()


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (turned, "if you set data.y_origin=bottom ("),
        (mirrored, "if you count x from the other side (width - x) ("),
        (exchanged, "if you exchange x and y in the file ("),
        (halved, "if you multiply the file's x and y by 2 (they are in pixels of images"),
        (
            halved_with_full_diameters,
            "if you multiply the file's x and y by 2 (they are in pixels of images",
        ),
        (
            eighth_upside_down,
            "if you multiply the file's x and y by 8 (they are in pixels of images",
        ),
    ],
)
def test_labels_of_another_frame_are_named_with_the_remedy(
    tmp_path: Path, change: Change, remedy: str
) -> None:
    micrographs, labels = disc_images(tmp_path, 3, -0.6, side=ROWS)
    right = check_labels(micrographs, labels)
    wrong = check_labels(micrographs, changed(labels, change))
    assert wrong.better is not None
    assert not wrong.confirmed
    assert wrong.better.contrast == pytest.approx(right.as_given.contrast, rel=0.15)
    assert wrong.as_given.contrast < 0.3 * wrong.better.contrast
    message = wrong.message(CommandKeys("data.read.", "data."))
    assert remedy in message
    assert ("UPSIDE DOWN" in message) == (change is turned)
    assert f"{wrong.better.contrast:.3f}" in message
    if change is eighth_upside_down:
        assert "and set data.y_origin=bottom (" in message


def test_readings_are_those_of_a_file_that_counts_y_from_the_bottom(tmp_path: Path) -> None:
    micrographs, labels = disc_images(tmp_path, 3, -0.6, side=ROWS)
    for change, remedy in (
        (turned, "set y_origin=top"),
        (exchanged, "exchange x and y"),
        (halved, "by 2 (they are in pixels of images"),
    ):
        wrong = changed(changed(changed(labels, turned), change), turned)
        fit = check_labels(micrographs, wrong, y_origin="bottom")
        assert remedy in fit.message()


def test_noise_alone_says_that_it_does_not_know(tmp_path: Path) -> None:
    micrographs, labels = disc_images(tmp_path, 2, 0.0)
    for these in (labels, changed(labels, turned)):
        fit = check_labels(micrographs, these)
        assert (fit.confirmed, fit.better) == (False, None)
        assert "COULD NOT BE CHECKED" in fit.message()
        assert f"is {fit.as_given.contrast:.3f} +- 0." in fit.message()


def test_more_micrographs_are_looked_at_where_four_leave_doubts(tmp_path: Path) -> None:
    micrographs, labels = disc_images(tmp_path, 14, -0.6)
    fit = check_labels(micrographs, {name: its.select(slice(1)) for name, its in labels.items()})
    assert fit.confirmed
    assert (fit.as_given.micrographs, 10 <= fit.as_given.particles <= 14) == (14, True)


def test_without_diameters_one_is_taken_or_given(tmp_path: Path) -> None:
    micrographs, labels = disc_images(tmp_path, 2, -0.5)
    bare = {k: Particles(v.x, ROWS - v.y) for k, v in labels.items()}
    given = dict.fromkeys(labels, DIAMETER)
    for fit in (
        check_labels(micrographs, bare),
        check_labels(micrographs, bare, diameters_px=given),
    ):
        assert "set y_origin=bottom" in fit.message()


def test_big_sets_are_thinned_the_same_way_each_time(tmp_path: Path) -> None:
    micrographs, labels = disc_images(tmp_path, 6, -0.5)
    first = check_labels(micrographs, labels)
    assert first == check_labels(micrographs, dict(reversed(labels.items())))
    assert first.as_given.micrographs == 4


def test_empty_or_no_labels_give_no_verdict(tmp_path: Path) -> None:
    micrographs, _ = disc_images(tmp_path, 1, 0.0)
    for labels in ({}, {"m0": Particles.empty()}, {"elsewhere": Particles.empty()}):
        fit = check_labels(micrographs, labels)
        assert (fit.confirmed, fit.better) == (False, None)
        assert "since none of them can be looked at" in fit.message()


def test_real_labels_lie_on_particles_and_no_longer_when_exchanged(empiar10017: Path) -> None:
    micrographs = index_micrographs(find_micrographs(empiar10017 / "micrographs")[:4])
    labels = read_coordinates(empiar10017 / "coordinates", micrographs)
    right = check_labels(micrographs, labels)
    assert right.confirmed
    assert right.as_given.contrast == pytest.approx(0.8, abs=0.1)
    wrong = check_labels(micrographs, changed(labels, exchanged))
    assert wrong.better is not None
    assert wrong.better.contrast == pytest.approx(right.as_given.contrast, rel=0.05)
    assert wrong.as_given.contrast < 0.1
    assert "exchange x and y" in wrong.message()
    flipped = read_coordinates(empiar10017 / "coordinates", micrographs, y_origin="bottom")
    assert "set y_origin=top" in check_labels(micrographs, flipped, y_origin="bottom").message()


def test_a_real_mrc_confirms_picks_of_another_program(mrc_sample: Path) -> None:
    micrographs = index_micrographs([mrc_sample])
    listed = json.loads((mrc_sample.parent / "topaz_picks_ds.json").read_text())
    picks = Particles(
        np.array([each["x_ds"] for each in listed]), np.array([each["y_ds"] for each in listed])
    )
    fit = check_labels(micrographs, dict.fromkeys(micrographs, picks))
    assert fit.confirmed, fit.message()


@pytest.mark.parametrize("snr", [0.2, 0.02, 0.004])
def test_simulated_labels_are_never_doubted(tmp_path: Path, snr: float) -> None:
    config = SimulatorConfig(micrographs=6, snr_min=snr, snr_max=snr, seed=2)
    write_dataset(config, tmp_path, workers=1)
    micrographs = index_micrographs(find_micrographs(tmp_path / "micrographs"))
    labels = read_coordinates(tmp_path / "ground_truth" / "particle_coordinates", micrographs)
    fit = check_labels(micrographs, labels, y_origin="bottom")
    assert fit.better is None, fit.message()
    assert fit.confirmed == (snr > 0.004)
