"""Coordinates of many micrographs in one JSON: CryoTransformer's points, and COCO boxes.

Points: ``{"name.jpg": [[x, y], ...]}``. COCO: ``bbox = [x - d/2, y - d/2, d, d]``. Both count y
as CryoPPP's CSV does: the row of the JPEG, or H - row of the MRC.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cryofix.errors import CryofixError, reason
from cryofix.files import write_json
from cryofix.formats.tables import (
    CoordinateFormat,
    Entry,
    Particles,
    Table,
    origin_as_displayed,
    sides,
)
from cryofix.formats.values import numbers, optional_numbers


def read_points(path: Path) -> Iterator[Table]:
    """Yield one table for each key of ``{"name.jpg": [[x, y], ...]}``; [x, y, score] also works.

    Raises CryofixError if the content is of another form, naming the key.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise CryofixError(f'{path} is not of the form {{"name.jpg": [[x, y], ...]}}')
    for name, points in content.items():
        widths = {len(p) if isinstance(p, list) else 0 for p in _as_list(points, path, name)}
        if widths - {2, 3} or len(widths) > 1:
            raise CryofixError(f"{path}, key {name}: needs a list of [x, y], or of [x, y, score]")
        columns = list(zip(*points, strict=True)) or [(), ()]
        x, y = numbers(columns[0], "x", path), numbers(columns[1], "y", path)
        score = optional_numbers(columns[2], "score", path) if len(columns) > 2 else None
        yield Table(name, path, Particles(x, y, score))


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
        columns = [each.x.tolist(), each.y.tolist()]
        if with_scores and each.score is not None:
            columns.append([None if np.isnan(score) else score for score in each.score.tolist()])
        content[entry.info.path.name] = list(map(list, zip(*columns, strict=True)))
    write_json(path, content)
    return [path]


def read_coco(path: Path) -> Iterator[Table]:
    """Yield one table for each image of a COCO file; its boxes' centres and mean side.

    Raises CryofixError if images or annotations lack what is needed, or an annotation's image is
    unknown.
    """
    content = _load(path)
    try:
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        if len(names) < len(content["images"]):
            raise ValueError("two images have the same id")
        rows: dict[Any, list[tuple[Any, ...]]] = {image_id: [] for image_id in names}
        for annotation in content["annotations"]:
            left, top, width, height = annotation["bbox"]
            rows[annotation["image_id"]].append((left, top, width, height, annotation.get("score")))
    except (KeyError, TypeError, ValueError) as error:
        raise CryofixError(
            f"{path} is not COCO ({type(error).__name__}: {reason(error)}): it needs images with "
            "id and file_name, and annotations with image_id and bbox = [left, top, width, height]"
        ) from error
    for image_id, boxes in rows.items():
        columns = list(zip(*boxes, strict=True)) or [()] * 5
        left, top = numbers(columns[0], "left", path), numbers(columns[1], "top", path)
        width = numbers(columns[2], "width", path, positive=True)
        height = numbers(columns[3], "height", path, positive=True)
        score = optional_numbers(columns[4], "score", path) if boxes else None
        particles = Particles(left + width / 2, top + height / 2, score, (width + height) / 2)
        yield Table(names[image_id], path, particles)


def write_coco(
    path: Path, entries: Sequence[Entry], diameter_px: float | None = None
) -> list[Path]:
    """Write COCO with one category, ``particle``.

    Raises CryofixError if there is no diameter.

    Parameters
    ----------
    path : Path
        The file.
    entries : sequence of Entry
        In the CSV's y frame.
    diameter_px : float or None
        The boxes' side, for particles without a diameter of their own.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, entry in enumerate(entries, start=1):
        rows, columns = entry.info.shape
        name = entry.info.path.name
        images.append({"id": image_id, "file_name": name, "height": rows, "width": columns})
        each = entry.particles
        boxes = sides(each, diameter_px, "diameter_px", path, "COCO")
        for index in range(len(each)):
            side = float(boxes[index])
            box = [float(each.x[index]) - side / 2, float(each.y[index]) - side / 2, side, side]
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": 1,
                "bbox": box,
                "area": side * side,
                "iscrowd": 0,
            }
            if each.score is not None and not np.isnan(each.score[index]):
                annotation["score"] = float(each.score[index])
            annotations.append(annotation)
    categories = [{"id": 1, "name": "particle"}]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})
    return [path]


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_unrepeated)
    except (ValueError, OSError, RecursionError) as error:
        raise CryofixError(
            f"{path} cannot be read as JSON ({reason(error)}): correct the file"
        ) from error


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"the key {name!r:.60} is there twice: join what they hold")
        content[name] = value
    return content


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
