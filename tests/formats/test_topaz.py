"""Topaz's table, in pixels of the downsampled image."""

from pathlib import Path

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles, read_coordinates, write_coordinates

IMAGES = {name: MicrographInfo(Path(f"{name}.mrc"), (400, 700), None) for name in ("a", "0012")}
TABLE = "image_name\tx_coord\ty_coord\tscore\na\t60\t10\t2.5\n0012\t7\t8\t-1\na\t5\t2\t0.5\n"


def test_reads_what_topaz_extract_writes_without_a_flip(tmp_path: Path) -> None:
    path = tmp_path / "picks.txt"
    path.write_text(TABLE)
    found = read_coordinates(path, IMAGES)
    assert found["a"].x.tolist() == [60, 5]
    assert found["a"].y.tolist() == [10, 2]
    assert found["0012"].x.tolist() == [7]
    assert found["a"].score is not None
    assert found["a"].score.tolist() == [2.5, 0.5]


def test_reads_training_tables_without_scores(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("image_name\tx_coord\ty_coord\na\t60\t10\n")
    assert read_coordinates(path, IMAGES)["a"].score is None


def test_downsample_scales_up_on_reading_and_down_on_writing(tmp_path: Path) -> None:
    path = tmp_path / "picks.txt"
    path.write_text(TABLE)
    found = read_coordinates(path, IMAGES, downsample=8)
    assert found["a"].x.tolist() == [480, 40]
    write_coordinates(tmp_path / "b.txt", found, IMAGES, format="topaz", downsample=8)
    assert read_coordinates(tmp_path / "b.txt", IMAGES)["a"].x.tolist() == [60, 5]
    with pytest.raises(CryofixError, match="downsample=0 has to be a number above 0"):
        read_coordinates(path, IMAGES, downsample=0)
    with pytest.raises(CryofixError, match=r"row 1: x = 960 is outside a\.mrc"):
        read_coordinates(path, IMAGES, downsample=16)


def test_the_file_is_topazs_own_layout(tmp_path: Path) -> None:
    one = {"a": Particles(np.array([60.4]), np.array([10.6]), np.array([0.5]))}
    write_coordinates(tmp_path / "b.txt", one, IMAGES, format="topaz")
    assert (
        tmp_path / "b.txt"
    ).read_text() == "image_name\tx_coord\ty_coord\tscore\na\t60\t11\t0.5\n"


def test_scores_stay_beside_a_micrograph_without_particles(tmp_path: Path) -> None:
    two = {
        "a": Particles(np.array([60.0]), np.array([10.0]), np.array([0.5])),
        "b": Particles.empty(),
    }
    write_coordinates(tmp_path / "b.txt", two, {**IMAGES, "b": IMAGES["a"]}, format="topaz")
    assert "a\t60\t10\t0.5" in (tmp_path / "b.txt").read_text()


def test_other_tables_are_errors_with_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("image_name,x_coord,y_coord\na,1,2\n")
    with pytest.raises(CryofixError, match=r"x\.txt lacks the columns image_name"):
        read_coordinates(path, IMAGES, format="topaz")
    path.write_text("")
    with pytest.raises(
        CryofixError, match=r"x\.txt cannot be read \(it is empty\): .*separated by tabs"
    ):
        read_coordinates(path, IMAGES, format="topaz")
    path.write_text(TABLE.replace("10", "ten"))
    with pytest.raises(CryofixError, match=r"x\.txt, row 1: y_coord is 'ten'"):
        read_coordinates(path, IMAGES)
