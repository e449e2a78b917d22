"""One JSON for many micrographs: points and COCO."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import (
    MicrographInfo,
    Particles,
    detect_format,
    read_coordinates,
    write_coordinates,
)

JPEG = {name: MicrographInfo(Path(f"{name}.jpg"), (40, 70), None) for name in ("a", "b.c")}
MRC = {name: MicrographInfo(Path(f"{name}.mrc"), (40, 70), None) for name in ("a", "b.c")}
PARTICLES = {
    "a": Particles(np.array([60.25, 5.0]), np.array([10.0, 2.0]), np.array([0.5, -3.0])),
    "b.c": Particles(np.array([1.0]), np.array([39.0]), np.array([0.125])),
}


def dump(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_reads_the_reference_runs_points_in_the_images_frame(tmp_path: Path) -> None:
    path = dump(tmp_path / "c.json", {"a.jpg": [[60, 10], [5, 2]], "b.c.jpg": [[1, 39]]})
    found = read_coordinates(path, JPEG)
    assert found["a"].x.tolist() == [60, 5]
    assert found["a"].y.tolist() == [10, 2]
    assert found["b.c"].y.tolist() == [39]
    assert found["a"].score is None
    assert read_coordinates(path, MRC)["a"].y.tolist() == [30, 38]


def test_points_keep_scores_unless_told_not_to(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write_coordinates(path, PARTICLES, JPEG, format="json")
    assert json.loads(path.read_text())["a.jpg"] == [[60.25, 10.0, 0.5], [5.0, 2.0, -3.0]]
    write_coordinates(path, PARTICLES, JPEG, format="json", with_scores=False)
    assert json.loads(path.read_text())["b.c.jpg"] == [[1.0, 39.0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], r'c\.json is not of the form \{"name\.jpg"'),
        ({"a.jpg": 3}, r"c\.json, key a\.jpg: needs a list of \[x, y\], got 3"),
        ({"a.jpg": [3, 4]}, r"c\.json, key a\.jpg: needs a list of \[x, y\]"),
        ({"a.jpg": [[1, 2], [1]]}, r"c\.json, key a\.jpg: needs a list"),
        ({"a.jpg": [[1, 2], [1, "left"]]}, r"c\.json, row 2: y is 'left'"),
        ({"a.jpg": [[1, None]]}, r"c\.json, row 1: y is None"),
        ({"a.jpg": []}, r"c\.json lists no particles for a\.jpg"),
        ({}, r"c\.json holds no coordinates"),
    ],
)
def test_other_json_is_an_error_with_file_and_key(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = dump(tmp_path / "c.json", content)
    with pytest.raises(CryofixError, match=message):
        read_coordinates(path, JPEG)


def test_broken_json_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"a.jpg": [[1,')
    with pytest.raises(CryofixError, match=r"c\.json cannot be read as JSON"):
        read_coordinates(tmp_path / "c.json", JPEG)


def test_coco_boxes_are_corners_of_the_given_diameter(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write_coordinates(path, PARTICLES, JPEG, format="coco", diameter_px=8)
    content = json.loads(path.read_text())
    assert content["annotations"][0]["bbox"] == [56.25, 6.0, 8.0, 8.0]
    assert content["images"][0] == {"id": 1, "file_name": "a.jpg", "height": 40, "width": 70}
    assert [each["id"] for each in content["annotations"]] == [1, 2, 3]
    assert detect_format(path) == "coco"
    with pytest.raises(CryofixError, match="set diameter_px="):
        write_coordinates(path, PARTICLES, JPEG, format="coco")


def test_coco_reads_images_without_annotations_as_empty(tmp_path: Path) -> None:
    path = dump(
        tmp_path / "c.json", {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": []}
    )
    with pytest.raises(CryofixError, match=r"c\.json lists no particles for a\.jpg"):
        read_coordinates(path, JPEG)
    assert len(read_coordinates(path, JPEG, allow_empty=True)["a"]) == 0


@pytest.mark.parametrize(
    "content",
    [
        {"images": [{"id": 7}], "annotations": []},
        {"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]},
        {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [1, 2]}]},
        {"images": 3, "annotations": 4},
    ],
)
def test_damaged_coco_is_an_error_with_its_name(tmp_path: Path, content: Any) -> None:
    path = dump(tmp_path / "c.json", content)
    with pytest.raises(CryofixError, match=r"c\.json is not COCO"):
        read_coordinates(path, JPEG)
