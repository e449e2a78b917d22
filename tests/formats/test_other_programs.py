"""Topaz and cryosparc-tools, the real ones, read what we write and write what we read."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats import (
    MicrographInfo,
    Particles,
    YOrigin,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    write_coordinates,
    write_mrc,
)

ROWS, COLUMNS, RADIUS, BOX = 300, 500, 8, 32
MRC_HEADER_BYTES = 1024
FIRST = "0012"  # a name that programs take for a number


@dataclass(frozen=True)
class Scene:
    """Two micrographs that are wider than high, with bright discs at known places."""

    folder: Path
    images: Mapping[str, MicrographInfo]
    particles: Mapping[str, Particles]

    def assert_same(self, found: Mapping[str, Particles], tolerance: float) -> None:
        """Compare places, in the order of the files, with those of the discs."""
        assert list(found) == list(self.particles)
        for name, expected in self.particles.items():
            np.testing.assert_allclose(found[name].x, expected.x, atol=tolerance)
            np.testing.assert_allclose(found[name].y, expected.y, atol=tolerance)

    def assert_same_scores(self, found: Mapping[str, Particles]) -> None:
        for name, expected in self.particles.items():
            score = found[name].score
            assert score is not None
            assert expected.score is not None
            np.testing.assert_allclose(score, expected.score, atol=1e-6)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    particles = {}
    for name in (FIRST, "mic"):
        # In the upper part only: no disc lies where its mirror image would be.
        x, y = random.uniform(BOX, COLUMNS - BOX, 12), random.uniform(BOX, ROWS / 2 - BOX, 12)
        image = random.normal(size=(ROWS, COLUMNS))
        for column, row in zip(x, y, strict=True):
            image += 3.0 * (np.hypot(rows - row, columns - column) < RADIUS)
        write_mrc(folder / "raw" / f"{name}.mrc", image, 1.5)
        particles[name] = Particles(x, y, random.uniform(size=12), np.full(12, 2.0 * RADIUS))
    return Scene(folder, index_micrographs(find_micrographs(folder / "raw")), particles)


EVERY_COMMAND = """
import json, sys
from topaz.main import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["topaz", *command]
    main()
"""


@pytest.fixture(scope="module")
def topaz(scene: Scene) -> Path:
    """Write picks for Topaz, run its commands, in one process because it takes long to start."""
    if importlib.util.find_spec("topaz") is None:
        pytest.skip("no Topaz: pip install topaz-em, for Python below 3.13")
    folder, raw = scene.folder / "topaz", scene.folder / "raw"
    origins: dict[str, YOrigin] = {"ours": "top", "flipped": "bottom"}
    for name, y_origin in origins.items():
        table = folder / f"{name}.txt"
        write_coordinates(table, scene.particles, scene.images, format="topaz", y_origin=y_origin)
    boxes = write_coordinates(
        folder / "boxes", scene.particles, scene.images, format="eman", box_size_px=BOX
    )
    write_coordinates(folder / "job", scene.particles, scene.images, format="relion", project=raw)
    (folder / "star").mkdir()
    (folder / "new_boxes").mkdir()
    ours, pick = folder / "ours.txt", f"{FIRST}_autopick.star"
    stack = ("--image-root", raw, "--size", BOX)
    commands = [
        ("convert", ours, "-o", folder / "new.star"),
        ("convert", ours, "--to", "box", "--boxsize", BOX, "-o", folder / "new_boxes"),
        ("convert", *boxes, "-o", folder / "new.txt"),
        ("convert", folder / "job" / pick, "-o", folder / "star" / pick),
        ("particle_stack", ours, *stack, "-o", folder / "ours.mrcs"),
        ("particle_stack", folder / "flipped.txt", *stack, "-o", folder / "flipped.mrcs"),
    ]
    typed = json.dumps([list(map(str, command)) for command in commands])
    program = [sys.executable, "-c", EVERY_COMMAND, typed]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_topaz_converts_our_table_to_a_star_that_we_read(topaz: Path, scene: Scene) -> None:
    found = read_coordinates(topaz / "new.star", scene.images)
    scene.assert_same(found, 0.5)
    scene.assert_same_scores(found)


@pytest.mark.slow
def test_topaz_converts_our_table_to_boxes_that_we_read(topaz: Path, scene: Scene) -> None:
    scene.assert_same(read_coordinates(topaz / "new_boxes", scene.images), 0.5)


@pytest.mark.slow
def test_topaz_reads_our_boxes(topaz: Path, scene: Scene) -> None:
    scene.assert_same(read_coordinates(topaz / "new.txt", scene.images), 0.5)


@pytest.mark.slow
def test_topaz_reads_our_relion_picks(topaz: Path, scene: Scene) -> None:
    found = read_coordinates(topaz / "star", scene.images)
    only = Scene(scene.folder, scene.images, {FIRST: scene.particles[FIRST]})
    only.assert_same(found, 1.0)  # Topaz cuts decimals off
    only.assert_same_scores(found)


@pytest.mark.slow
def test_topaz_cuts_particles_out_only_where_y_is_the_right_way_up(
    topaz: Path, scene: Scene
) -> None:
    for name, right in (("ours", True), ("flipped", False)):
        content = (topaz / f"{name}.mrcs").read_bytes()
        particles = np.frombuffer(content[MRC_HEADER_BYTES:], "<f4").reshape(-1, BOX, BOX)
        assert len(particles) == sum(map(len, scene.particles.values()))
        likeness = np.corrcoef(particles.mean(axis=0).ravel(), disc().ravel())[0, 1]
        assert likeness > 0.8 if right else likeness < 0.3


def disc() -> NDArray[np.float64]:
    """Return what a perfectly centred particle looks like, (BOX, BOX)."""
    offset = np.arange(BOX) - BOX // 2
    return (np.hypot(offset[:, None], offset) < RADIUS).astype(np.float64)


@pytest.fixture
def cs_file(scene: Scene, tmp_path: Path) -> Path:
    path = tmp_path / "ours.cs"
    write_coordinates(path, scene.particles, scene.images, format="cryosparc", y_origin="top")
    return path


def test_cryosparc_tools_reads_our_locations(scene: Scene, cs_file: Path) -> None:
    from cryosparc.dataset import Dataset

    stored = Dataset.load(cs_file)
    assert len(set(stored["uid"])) == len(stored) == 24
    assert set(stored["location/micrograph_shape"].flatten()) == {ROWS, COLUMNS}
    np.testing.assert_allclose(stored["location/min_dist_A"], 1.5 * 2 * RADIUS)
    read = {}
    for name, info in scene.images.items():
        part = stored.query({"location/micrograph_path": str(info.path)})
        # Row 0 of the file is where y starts, and y is a share of the height, not of the width.
        x, y = part["location/center_x_frac"] * COLUMNS, part["location/center_y_frac"] * ROWS
        read[name] = Particles(x, y, part["pick_stats/ncc_score"])
    scene.assert_same(read, 1e-3)
    scene.assert_same_scores(read)


def test_we_read_what_cryosparc_tools_saves(scene: Scene, cs_file: Path) -> None:
    from cryosparc.dataset import Dataset

    again = cs_file.with_name("theirs.cs")
    Dataset.load(cs_file).save(again)
    found = read_coordinates(again, scene.images, y_origin="top")
    scene.assert_same(found, 1e-3)
    scene.assert_same_scores(found)


def test_a_compressed_file_of_cryosparc_tools_is_refused_with_the_remedy(
    scene: Scene, cs_file: Path
) -> None:
    from cryosparc.dataset import CSDAT_FORMAT, Dataset

    again = cs_file.with_name("theirs.cs")
    Dataset.load(cs_file).save(again, format=CSDAT_FORMAT)
    with pytest.raises(CryofixError, match=r"Dataset\.load\(\.\.\.\)\.save"):
        read_coordinates(again, scene.images, y_origin="top")
