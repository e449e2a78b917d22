"""Every writer's files come back through its reader: same places, same scores, same names."""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from cryofix.formats import (
    FORMATS,
    MicrographInfo,
    Particles,
    YOrigin,
    detect_format,
    micrograph_name,
    read_coordinates,
    write_coordinates,
)

ROWS, COLUMNS = 3710, 7420  # nothing about the image or the pattern is symmetric


@dataclass(frozen=True)
class Case:
    """How to write and read one format, and how exactly it keeps a centre and a score."""

    path: str
    tolerance: float = 1e-3
    score_tolerance: float = 1e-6
    write: Mapping[str, Any] = field(default_factory=dict)
    read: Mapping[str, Any] = field(default_factory=dict)
    keeps_empty: bool = True
    keeps_diameter: bool = False
    detected: str | None = None
    y_origin: YOrigin | None = None


CASES = {
    "cryoppp": Case("folder", keeps_diameter=True),
    "relion": Case("folder"),
    "relion_particles": Case(
        "all.star", write={"pixel_size_angstrom": 1.5}, keeps_empty=False, detected="relion"
    ),
    "cryolo": Case("folder", keeps_diameter=True),
    "eman": Case("folder", tolerance=0.5),
    "topaz": Case("all.txt", tolerance=0.5, keeps_empty=False),
    "cryosparc": Case("all.cs", keeps_empty=False, y_origin="bottom", score_tolerance=1e-3),
    "json": Case("all.json"),
    "coco": Case("all.json", keeps_diameter=True),
}


def test_every_format_that_is_written_is_tested_here() -> None:
    assert set(CASES) == {name for name, each in FORMATS.items() if each.write is not None}


def info(path: str) -> MicrographInfo:
    return MicrographInfo(Path(path), (ROWS, COLUMNS), None)


def spread(count: int) -> Particles:
    """An asymmetric pattern that touches the corners, with scores and diameters."""
    steps = np.arange(count)
    x = np.append(np.array([0.0, COLUMNS, 0.125]), 17.3 + steps * 31.7)[:count]
    y = np.append(np.array([0.0, ROWS, 3.875]), 91.25 + steps * 3.9)[:count]
    return Particles(x, y, np.linspace(-7.25, 5.5, count), np.full(count, 108.0))


def round_trip(
    folder: Path,
    name: str,
    particles: Mapping[str, Particles],
    images: Mapping[str, MicrographInfo],
) -> dict[str, Particles]:
    case = CASES[name]
    path = folder / case.path
    written = write_coordinates(
        path, particles, images, format=name, y_origin=case.y_origin, **case.write
    )
    assert all(file.is_file() and path in (file, *file.parents) for file in written)
    return read_coordinates(
        path, images, format=name, y_origin=case.y_origin, allow_empty=case.keeps_empty, **case.read
    )


def assert_same(found: Particles, expected: Particles, case: Case) -> None:
    np.testing.assert_allclose(found.x, expected.x, rtol=0, atol=case.tolerance)
    np.testing.assert_allclose(found.y, expected.y, rtol=0, atol=case.tolerance)
    if expected.score is not None and len(expected):
        assert found.score is not None
        np.testing.assert_allclose(
            found.score, expected.score, rtol=1e-6, atol=case.score_tolerance
        )
    if case.keeps_diameter and len(expected):
        assert found.diameter_px is not None
        np.testing.assert_allclose(found.diameter_px, 108.0, atol=1e-3)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("suffix", [".mrc", ".tif", ".jpg"])
def test_places_and_scores_come_back(tmp_path: Path, name: str, suffix: str) -> None:
    images = {key: info(f"raw/{key}{suffix}") for key in ("a", "b")}
    particles = {"a": spread(7), "b": spread(4)}
    found = round_trip(tmp_path, name, particles, images)
    assert list(found) == ["a", "b"]
    for key in particles:
        assert_same(found[key], particles[key], CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_content_says_which_format_it_is(tmp_path: Path, name: str) -> None:
    round_trip(tmp_path, name, {"a": spread(3)}, {"a": info("a.mrc")})
    assert detect_format(tmp_path / CASES[name].path) == (CASES[name].detected or name)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "path",
    [
        "raw/two words.mrc",
        "raw/v1.5 grid.2.x.mrc.gz",
        "raw/größe_粒子.mrc",
        "raw/012345678901234567890_a_patch_aligned.mrc",
        "raw/0012.mrc",
        "raw/-1e5.mrc",
        "data_set 1/data_a.mrc",
        "data_set/data_a.mrc",
        "_a/_b.mrc",
        "raw/nan.mrc",
        "raw/a,b;c=d[1](2).mrc",
        "raw/a_autopick.mrc",
    ],
)
def test_odd_names_come_back(tmp_path: Path, name: str, path: str) -> None:
    key = micrograph_name(path)
    images = {key: info(path), "other": info("raw/other.mrc")}
    particles = {key: spread(5), "other": spread(3)}
    found = round_trip(tmp_path, name, particles, images)
    assert set(found) == set(images)
    assert_same(found[key], particles[key], CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_no_particles_come_back_as_an_empty_micrograph_where_the_format_can(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    images = {"a": info("a.mrc"), "b": info("b.mrc")}
    scored = Particles(np.empty(0), np.empty(0), np.empty(0), np.empty(0))
    with caplog.at_level(logging.WARNING):
        found = round_trip(tmp_path, name, {"a": spread(3), "b": scored}, images)
    assert len(found["a"]) == 3
    assert ("b" in found) == CASES[name].keeps_empty
    if "b" in found:
        assert len(found["b"]) == 0
    else:
        assert "cannot name the 1 micrographs without particles" in caplog.text


@pytest.mark.parametrize("name", CASES)
def test_particles_without_scores_come_back_without(tmp_path: Path, name: str) -> None:
    bare = Particles(np.array([12.0, 300.0]), np.array([40.0, 2.0]), None, np.full(2, 108.0))
    found = round_trip(tmp_path, name, {"a": bare}, {"a": info("a.mrc")})["a"]
    assert found.score is None
    assert_same(found, bare, CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_duplicates_in_a_file_are_removed(tmp_path: Path, name: str) -> None:
    twice = spread(5).select(np.array([0, 1, 2, 2, 3, 4, 0]))
    found = round_trip(tmp_path, name, {"a": twice}, {"a": info("a.mrc")})["a"]
    assert len(found) == 5


FRACTIONS = hnp.arrays(np.float64, 6, elements=st.floats(0, 1))


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None)
@given(
    across=FRACTIONS, down=FRACTIONS, score=hnp.arrays(np.float64, 6, elements=st.floats(-100, 100))
)
def test_any_places_come_back(
    name: str, across: NDArray[np.float64], down: NDArray[np.float64], score: NDArray[np.float64]
) -> None:
    # One particle in each of six strips, since rounding could make duplicates of neighbours.
    strip = COLUMNS / 6
    x, y = np.arange(6) * strip + across * (strip - 2), down * ROWS
    particles = Particles(x, y, score, np.full(6, 108.0))
    with tempfile.TemporaryDirectory() as folder:
        found = round_trip(Path(folder), name, {"a": particles}, {"a": info("a.mrc")})["a"]
    assert_same(found, particles, CASES[name])


@pytest.mark.parametrize("name", ["cryoppp", "cryolo", "eman", "relion"])
def test_files_in_subfolders_are_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "picks"
    infos = {
        key: MicrographInfo(tmp_path / f"{key}.mrc", (ROWS, COLUMNS), 1.5) for key in ("a", "b")
    }
    picks = Particles(np.array([60.0]), np.array([20.0]), np.array([0.5]), np.array([30.0]))
    write_coordinates(folder, {"a": picks}, infos, format=name)
    write_coordinates(folder / "sub", {"b": picks}, infos, format=name)
    (folder / "autopick.star").unlink(missing_ok=True)  # RELION's index of the first
    (folder / "sub" / "autopick.star").unlink(missing_ok=True)
    assert detect_format(folder) == name
    if name != "cryoppp":
        (folder / "figures").mkdir()
        (folder / "figures" / "scores.csv").write_text("a,b\n1,2\n")
        assert detect_format(tmp_path) == name
    found = read_coordinates(folder, infos)
    assert [each.x.tolist() for each in found.values()] == [[60.0], [60.0]]
