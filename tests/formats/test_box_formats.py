"""EMAN's .box and crYOLO's CBOX: corners, sizes, confidences."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile

from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles, read_coordinates, write_coordinates

IMAGES = {"a": MicrographInfo(Path("a.mrc"), (400, 700), None)}
CBOX = """
data_global

_cbox_format_version 1.0

data_cryolo

loop_
_CoordinateX #1
_CoordinateY #2
_CoordinateZ #3
_Width #4
_Height #5
_Depth #6
_EstWidth #7
_EstHeight #8
_Confidence #9
_NumBoxes #10
_Angle #11
500.5 100.0 <NA> 40.0 20.0 <NA> 30.0 34.0 0.75 <NA> <NA>
-10.0 300.0 <NA> 40.0 20.0 <NA> 31.0 31.0 0.10 <NA> <NA>

data_cryolo_include

loop_
_slice_index #1

"""


@pytest.mark.parametrize(
    "text", ["600\t30\t40\t20\n-5\t0\t40\t20\n", " 600  30 40 20 \r\n\n-5 0 40 20"]
)
def test_a_box_is_given_by_its_corner(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.box").write_text(text)
    found = read_coordinates(tmp_path, IMAGES)["a"]
    assert found.x.tolist() == [620, 15]
    assert found.y.tolist() == [40, 10]
    assert found.score is None
    assert found.diameter_px is None
    turned = read_coordinates(tmp_path / "a.box", IMAGES, y_origin="bottom")["a"]
    assert turned.y.tolist() == [360, 390]


def test_emans_fifth_column_is_a_score_or_minus_three(tmp_path: Path) -> None:
    (tmp_path / "a.box").write_text("600 30 40 20 0.5\n5 0 40 20 -3\n")
    score = read_coordinates(tmp_path, IMAGES)["a"].score
    assert score is not None
    assert score.tolist() == [0.5, -3]
    (tmp_path / "a.box").write_text("600 30 40 20 -3\n5 0 40 20 -3\n")
    assert read_coordinates(tmp_path, IMAGES)["a"].score is None
    (tmp_path / "a.box").write_text("600 30 40 20 -1\n5 0 40 20 -2\n")
    with pytest.raises(CryofixError, match=r"a\.box holds ends of helices"):
        read_coordinates(tmp_path, IMAGES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("600 30 40\n", r"a\.box, row 1: has 3 values"),
        ("600 30 40 20\n600 30 40 20 1\n", r"a\.box, row 2: has 5 values"),
        ("600 30 40 20\n600 x 40 20\n", r"a\.box, row 2: y is 'x', not a number"),
        ("690 30 40 20\n", r"a\.box, row 1: x = 710 is outside"),
        ("", r"a\.box lists no particles"),
    ],
)
def test_bad_boxes_are_errors_with_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.box").write_text(text)
    with pytest.raises(CryofixError, match=message):
        read_coordinates(tmp_path, IMAGES)


def test_eman_gets_integers_and_the_size_that_was_asked_for(tmp_path: Path) -> None:
    one = {"a": Particles(np.array([60.4]), np.array([10.0]), np.array([0.5]))}
    write_coordinates(tmp_path, one, IMAGES, format="eman", box_size_px=32)
    assert (tmp_path / "a.box").read_text() == "44\t-6\t32\t32\t0.5\n"
    write_coordinates(tmp_path, one, IMAGES, format="eman", box_size_px=32, with_scores=False)
    assert (tmp_path / "a.box").read_text() == "44\t-6\t32\t32\n"


def test_cbox_reads_corners_estimated_sizes_and_confidences(tmp_path: Path) -> None:
    (tmp_path / "a.cbox").write_text(CBOX)
    found = read_coordinates(tmp_path, IMAGES)["a"]
    assert found.x.tolist() == [520.5, 10]
    assert found.y.tolist() == [110, 310]
    assert found.score is not None
    assert found.score.tolist() == [0.75, 0.1]
    assert found.diameter_px is not None
    assert found.diameter_px.tolist() == [32, 31]


def test_cbox_keeps_all_detections_unless_given_a_threshold(tmp_path: Path) -> None:
    (tmp_path / "a.cbox").write_text(CBOX.replace("500.5", "720.0"))
    with pytest.raises(CryofixError, match=r"a\.cbox, row 1: x = 740"):
        read_coordinates(tmp_path, IMAGES, threshold=0.3)
    (tmp_path / "a.cbox").write_text(CBOX)
    assert read_coordinates(tmp_path, IMAGES, threshold=0.3)["a"].x.tolist() == [520.5]


def test_cbox_rows_are_counted_before_the_threshold(tmp_path: Path) -> None:
    (tmp_path / "a.cbox").write_text(
        CBOX.replace("-10.0 300.0", "-60.0 300.0").replace("0.75", "0.01")
    )
    with pytest.raises(CryofixError, match=r"a\.cbox, row 2: x = -40 is outside"):
        read_coordinates(tmp_path, IMAGES, threshold=0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_global\n\n_cbox_format_version 1.0\n", r"a\.cbox has no block data_cryolo"),
        ("data_cryolo\n\nloop_\n_CoordinateX #1\n5\n", r"a\.cbox lacks the columns CoordinateY"),
    ],
)
def test_other_cboxes_are_errors(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.cbox").write_text(text)
    with pytest.raises(CryofixError, match=message):
        read_coordinates(tmp_path, IMAGES)


def test_cbox_is_written_as_version_1_with_its_three_blocks(tmp_path: Path) -> None:
    one = {"a": Particles(np.array([60.5]), np.array([10.0]), np.array([0.5]))}
    write_coordinates(tmp_path, one, IMAGES, format="cryolo", box_size_px=32)
    blocks: dict[str, Any] = starfile.read(tmp_path / "a.cbox", always_dict=True)
    assert list(blocks) == ["global", "cryolo", "cryolo_include"]
    assert blocks["global"] == {"cbox_format_version": 1.0}
    assert blocks["cryolo"]["CoordinateX"].tolist() == [44.5]
    assert "<NA>" in (tmp_path / "a.cbox").read_text()


@pytest.mark.parametrize("name", ["eman", "cryolo"])
def test_boxes_need_a_size(tmp_path: Path, name: str) -> None:
    one = {"a": Particles(np.array([60.5]), np.array([10.0]))}
    with pytest.raises(CryofixError, match="set box_size_px="):
        write_coordinates(tmp_path, one, IMAGES, format=name)
    with pytest.raises(CryofixError, match=r"holds no \.c?box files"):
        read_coordinates(tmp_path, IMAGES, format=name)
