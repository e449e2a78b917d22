"""Coordinates of many micrographs in one JSON: CryoTransformer's points, and COCO boxes.

Points: ``{"name.jpg": [[x, y], ...]}``. COCO: ``bbox = [x - d/2, y - d/2, d, d]``. Both count y
as CryoPPP's CSV does: the row of the JPEG, or H - row of the MRC.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cryofix.errors import CryofixError
from cryofix.files import write_json
from cryofix.formats.tables import (
    CoordinateFormat,
    Entry,
    Particles,
    Table,
    diameters,
    numbers,
    origin_as_displayed,
)


def read_points(path: Path) -> Iterator[Table]:
    """Yield one table for each key of ``{"name.jpg": [[x, y], ...]}``; [x, y, score] also works.

    Raises
    ------
    CryofixError
        If the content is of another form, naming the key.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise CryofixError(f'{path} is not of the form {{"name.jpg": [[x, y], ...]}}')
    for name, points in content.items():
        widths = {len(p) if isinstance(p, list) else 0 for p in _as_list(points, path, name)}
        if widths - {2, 3} or len(widths) > 1:
            raise CryofixError(f"{path}, key {name}: needs a list of [x, y], or of [x, y, score]")
        columns = list(zip(*points, strict=True)) or [(), ()]
        x, y, *score = (
            numbers(values, column, path)
            for values, column in zip(columns, ("x", "y", "score"), strict=False)
        )
        yield Table(name, path, Particles(x, y, *score))


def write_points(path: Path, entries: Sequence[Entry], with_scores: bool = True) -> list[Path]:
    """Write ``{"name.jpg": [[x, y], ...]}``, or triples where there are scores.

    Parameters
    ----------
    path : Path
        The file.
    entries : sequence of Entry
        In the CSV's y frame.
    with_scores : bool
        False writes pairs always, for programs that know no scores.
    """
    content = {}
    for entry in entries:
        each = entry.particles
        columns = [each.x, each.y]
        if with_scores and each.score is not None:
            columns.append(each.score)
        content[entry.info.path.name] = np.stack(columns, axis=1).tolist()
    write_json(path, content)
    return [path]


def read_coco(path: Path) -> Iterator[Table]:
    """Yield one table for each image of a COCO file; its boxes' centres and mean side.

    Raises
    ------
    CryofixError
        If images or annotations lack what is needed, or an annotation's image is unknown.
    """
    content = _load(path)
    try:
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        rows: dict[Any, list[tuple[Any, ...]]] = {image_id: [] for image_id in names}
        for annotation in content["annotations"]:
            left, top, width, height = annotation["bbox"]
            rows[annotation["image_id"]].append((left, top, width, height, annotation.get("score")))
    except (KeyError, TypeError, ValueError) as error:
        raise CryofixError(
            f"{path} is not COCO ({type(error).__name__}: {error}): it needs images with id and "
            "file_name, and annotations with image_id and bbox = [left, top, width, height]"
        ) from error
    for image_id, boxes in rows.items():
        columns = list(zip(*boxes, strict=True)) or [()] * 5
        left, top, width, height = (
            numbers(values, column, path)
            for values, column in zip(columns[:4], ("left", "top", "width", "height"), strict=True)
        )
        scored = bool(boxes) and None not in columns[4]
        score = numbers(columns[4], "score", path) if scored else None
        particles = Particles(left + width / 2, top + height / 2, score, (width + height) / 2)
        yield Table(names[image_id], path, particles)


def write_coco(
    path: Path, entries: Sequence[Entry], diameter_px: float | None = None
) -> list[Path]:
    """Write COCO with one category, ``particle``.

    Parameters
    ----------
    path : Path
        The file.
    entries : sequence of Entry
        In the CSV's y frame.
    diameter_px : float or None
        The boxes' side, for particles without a diameter of their own.

    Raises
    ------
    CryofixError
        If there is no diameter.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, entry in enumerate(entries, start=1):
        rows, columns = entry.info.shape
        name = entry.info.path.name
        images.append({"id": image_id, "file_name": name, "height": rows, "width": columns})
        each = entry.particles
        sides = diameters(each, diameter_px)
        if sides is None:
            raise CryofixError(f"{path}: COCO needs boxes, so set diameter_px=")
        for index in range(len(each)):
            side = float(sides[index])
            box = [float(each.x[index]) - side / 2, float(each.y[index]) - side / 2, side, side]
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": 1,
                "bbox": box,
                "area": side * side,
                "iscrowd": 0,
            }
            if each.score is not None:
                annotation["score"] = float(each.score[index])
            annotations.append(annotation)
    categories = [{"id": 1, "name": "particle"}]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})
    return [path]


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise CryofixError(f"{path} cannot be read as JSON ({error}): correct the file") from error


def _as_list(points: Any, path: Path, name: str) -> list[Any]:
    if not isinstance(points, list):
        raise CryofixError(f"{path}, key {name}: needs a list of [x, y], got {points!r:.60}")
    return points


def _is_json(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".json"


def _is_coco(path: Path) -> bool:
    if not _is_json(path):
        return False
    content = _load(path)
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def _is_points(path: Path) -> bool:
    return _is_json(path) and not _is_coco(path)


POINTS = CoordinateFormat("json", _is_points, read_points, write_points, origin_as_displayed)
COCO = CoordinateFormat("coco", _is_coco, read_coco, write_coco, origin_as_displayed)
