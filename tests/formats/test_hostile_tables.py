"""Coordinate files that are damaged or meant to do harm: one sentence, soon, in little memory."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, read_coordinates

IMAGES = {"a": MicrographInfo(Path("a.mrc"), (400, 700), 1.5)}
FIELDS = [
    ("location/micrograph_path", "S8"),
    ("location/center_x_frac", "<f4"),
    ("location/center_y_frac", "<f4"),
]


def sentence(path: Path) -> str:
    """Return what reading a file is answered with."""
    with pytest.raises(CryofixError) as caught:
        read_coordinates(path, IMAGES, y_origin="top")
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def header(shape: str, descr: object = FIELDS) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), "), "its header is damaged"),
        (npy("(" * 9000), "its header is damaged"),
        (npy(header("(8589934592,)"), bytes(16)), "promises 137438953472 bytes of values"),
        (npy(header("(-1,)"), bytes(16)), "its header is damaged"),
        (npy(header("(2, 1)"), bytes(32)), r"an array of shape \(2, 1\)"),
        (
            npy(header("(1,)", [*FIELDS[:2], ("location/center_y_frac", "<f4", (2,))]), bytes(20)),
            "center_y_frac is .*, not one number",
        ),
        (npy(header("(1,)"), b"\xff.mrc\x00\x00\x00" + bytes(8)), "a path that is no text"),
        (
            npy(
                header("(1,)", [("location/micrograph_path", "<U1"), *FIELDS[1:]]),
                b"\xff" * 4 + bytes(8),
            ),
            "a path that is no text",
        ),
        (
            npy(header("(1,)", [("location/micrograph_path", "<f8"), *FIELDS[1:]]), bytes(16)),
            "path",
        ),
    ],
)
def test_damaged_cs_files_are_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "p.cs"
    path.write_bytes(content)
    with pytest.raises(CryofixError, match=rf"p\.cs.*{message}"):
        read_coordinates(path, IMAGES, y_origin="top")


def test_a_zip_under_another_name_is_no_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.cs", "w") as archive:
        archive.writestr("a", "b")
    assert "is no NumPy array" in sentence(tmp_path / "p.cs")


def star(columns: str, *rows: str) -> str:
    names = "".join(f"_{name} #{i}\n" for i, name in enumerate(columns.split(), start=1))
    return f"data_\n\nloop_\n{names}" + "".join(f"{row}\n" for row in rows) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.star",
            star("rlnCoordinateX rlnCoordinateX rlnCoordinateY", "1 2 3"),
            "has the column rlnCoordinateX twice",
        ),
        (
            "a.star",
            star("rlnMicrographName rlnCoordinateX rlnCoordinateY", "Mikro\xe9.mrc 1 2"),
            "line 7: rlnMicrographName is .* not UTF-8: convert the file, for example with iconv",
        ),
        ("a.star", star("rlnCoordinateX rlnCoordinateY", "1 'a"), "a quote without its partner"),
        ("a.csv", "X-Coordinate,Y-Coordinate,x-coordinate\n1,2,3\n", "xcoordinate twice"),
        ("a.csv", 'X-Coordinate,Y-Coordinate\n1,"2\n', "cannot be read"),
        ("a.csv", "X-Coordinate,Y-Coordinate\n1,\xe9\n", "cannot be read"),
        ("a.tsv", "image_name\tx_coord\tx_coord\ty_coord\na\t1\t2\t3\n", "x_coord twice"),
        ("a.json", '{"a.jpg": [[1, 2]], "a.jpg": [[3, 4]]}', "the key 'a.jpg' is there twice"),
        ("a.json", '{"a.jpg": [[' + "1" * 400 + ", 2]]}", "row 1: x is 1111"),
        ("a.json", '{"a.jpg": [[[1], 2]]}', r"row 1: x is \[1\]"),
        ("a.json", "[" * 100_000, "cannot be read as JSON"),
        ("a.json", '{"a.jpg": [[' + "1" * 5000 + ", 2]]}", "cannot be read as JSON"),
        (
            "a.json",
            json.dumps({"images": [{"id": 1, "file_name": "a"}] * 2, "annotations": []}),
            "two images have the same id",
        ),
    ],
)
def test_damaged_text_is_one_sentence(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CryofixError, match=rf"a\.\w+.*{message}"):
        read_coordinates(path, IMAGES)
    assert "\n" not in sentence(path)


def many_blocks() -> str:
    return "".join(f"data_{i}\n\nloop_\n_rlnX #1\n_rlnY #2\n{i} 2\n\n" for i in range(20_000))


def many_columns() -> str:
    return star(" ".join(f"c{i}" for i in range(20_000)), *[" ".join(["1"] * 20_000)] * 3)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("content", [many_blocks, many_columns])
def test_a_star_of_twenty_thousand_parts_is_answered_soon(
    tmp_path: Path, content: Callable[[], str]
) -> None:
    path = tmp_path / "a.star"
    path.write_text(content())
    assert "has no block with rlnCoordinateX and rlnCoordinateY" in sentence(path)


@pytest.mark.parametrize("rows", ["1,2\n1,2,3,4\n", "1,2\nline\x0bbreak\u2028,2\n"])
def test_a_sentence_has_no_line_break(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"X-Coordinate,Y-Coordinate\n{rows}")
    assert len(sentence(path).splitlines()) == 1


def test_error_texts_have_one_line_whatever_they_are_made_of() -> None:
    assert str(CryofixError("a file\nof two \r\n lines")) == "a file of two lines"
    assert CryofixError("two  blanks").args == ("two  blanks",)


def test_cs_with_one_particle_and_no_dimension_is_read(tmp_path: Path) -> None:
    array = np.zeros((), dtype=FIELDS)
    array["location/micrograph_path"] = b"a.mrc"
    array["location/center_x_frac"] = 0.5
    with (tmp_path / "p.cs").open("wb") as file:
        np.save(file, array)
    found = read_coordinates(tmp_path / "p.cs", IMAGES, y_origin="top")
    assert found["a"].x.tolist() == [350]
