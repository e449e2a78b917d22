"""The way from micrographs without labels to a STAR file, as the benchmark goes it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.one_sitting import compared

from cryofix.formats import (
    MicrographInfo,
    Particles,
    find_micrographs,
    index_micrographs,
    write_coordinates,
)
from disc_finder import draw

DIAMETER, COUNT = 40.0, 12


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder of four micrographs and their coordinates."""
    folder = tmp_path / "data"
    known = {}
    for number in range(4):
        path = folder / "micrographs" / f"m{number}.mrc"
        known[f"m{number}"] = sized(draw(path, diameter=DIAMETER, count=COUNT, seed=number))
    images = index_micrographs(find_micrographs(folder / "micrographs"))
    write_coordinates(folder / "coordinates", known, images, format="cryoppp", y_origin="top")
    return folder


def sized(particles: Particles) -> Particles:
    return Particles(particles.x, particles.y, None, np.full(len(particles), DIAMETER))


def test_picks_of_the_star_files_are_compared_with_known_coordinates(tmp_path: Path) -> None:
    info = MicrographInfo(tmp_path / "m.mrc", (300, 420), None)
    x, y = np.arange(50.0, 401, 50), np.full(8, 100.0)
    known = {"m": sized(Particles(x, y))}
    shift = np.array([0, 0, 0, 0, 0, 0, 25, 25])  # more than half a diameter
    at_the_edge = Particles(np.append(x, 10), np.append(y + shift, 150))
    write_coordinates(tmp_path / "relion", {"m": at_the_edge}, {"m": info}, format="relion")
    said = compared(tmp_path, known, {"m": info})
    assert "9 picks in 1 micrographs; recall 0.750 and precision 0.750 against 8 known" in said


@pytest.mark.slow
def test_the_whole_way_ends_with_a_star_file_and_the_seconds_of_each_part(
    data: Path, tmp_path: Path
) -> None:
    given = ["--clicks", "6", "--picked", "2", "--expected", str(COUNT), "trainer=smoke"]
    given += [
        "steps.burn_in=4",
        "steps.stage=4",
        "steps.validate_every=2",
    ]  # the experiments have more
    command = [sys.executable, "-m", "benchmarks.one_sitting", "--data", str(data)]
    run = subprocess.run(
        [*command, "--output", str(tmp_path / "out"), *given],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for part in ("label", "start", "train", "pick", "total"):
        assert re.search(rf"^{part} +[\d.]+ +[\d.]+$", run.stdout, re.MULTILINE), run.stdout
    assert re.search(r"\d+ picks in 2 micrographs; recall [01]\.\d{3}", run.stdout)
    picked = sorted(path.name for path in (tmp_path / "out" / "picks").rglob("m*_autopick.star"))
    assert set(picked) == {"m2_autopick.star", "m3_autopick.star"}
