"""Coordinates of many micrographs in one JSON: CryoTransformer's points, and COCO boxes.

Points: ``{"name.jpg": [[x, y], ...]}``. COCO: ``bbox = [x - d/2, y - d/2, d, d]``. Both count y
as CryoPPP's CSV does: the row of the JPEG, or H - row of the MRC.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cryofix.errors import CryofixError, explained, reason
from cryofix.files import write_json
from cryofix.formats.columns import to_particles
from cryofix.formats.tables import AS_DISPLAYED, Entry, Format, Table

_POINT = ("x", "y", "score")
_BOX = ("left", "top", "width", "height", "score")


def read_points(path: Path) -> Iterator[Table]:
    """Yield one table for each key of ``{"name.jpg": [[x, y], ...]}``; [x, y, score] also works.

    Content of another form is a CryofixError that names the key.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise CryofixError(f'{path} is not of the form {{"name.jpg": [[x, y], ...]}}')
    for name, points in content.items():
        if not isinstance(points, list):
            raise CryofixError(f"{path}, key {name}: needs a list of [x, y], got {points!r:.60}")
        widths = {len(each) if isinstance(each, list) else 0 for each in points}
        if widths - {2, 3} or len(widths) > 1:
            raise CryofixError(f"{path}, key {name}: needs a list of [x, y], or of [x, y, score]")
        columns = dict(zip(_POINT, list(zip(*points, strict=True)) or [()] * 2, strict=False))
        yield Table(name, path, to_particles(columns, path))


def write_points(path: Path, entries: Sequence[Entry], with_scores: bool = True) -> list[Path]:
    """Write ``{"name.jpg": [[x, y], ...]}``, or triples where there are scores.

    ``with_scores=False`` writes pairs always, for programs that know no scores.
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
    box = _BOX[2:4]
    for image_id, boxes in rows.items():
        columns = dict(zip(_BOX, list(zip(*boxes, strict=True)) or [()] * 4, strict=False))
        particles = to_particles(columns, path, "left", "top", box, diameter=box)
        yield Table(names[image_id], path, particles)


def write_coco(
    path: Path, entries: Sequence[Entry], diameter_px: float | None = None
) -> list[Path]:
    """Write COCO with one category, ``particle``.

    ``diameter_px`` is the boxes' side for particles without a diameter of their own; without
    either it is a CryofixError.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, entry in enumerate(entries, start=1):
        rows, columns = entry.info.shape
        name = entry.info.path.name
        images.append({"id": image_id, "file_name": name, "height": rows, "width": columns})
        each = entry.particles
        sides = each.sides(diameter_px, "diameter_px", path, "COCO")
        scores = np.full(len(each), np.nan) if each.score is None else each.score
        for x, y, side, score in np.stack([each.x, each.y, sides, scores], axis=1).tolist():
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": 1,
                "bbox": [x - side / 2, y - side / 2, side, side],
                "area": side * side,
                "iscrowd": 0,
            }
            annotations.append(annotation if np.isnan(score) else annotation | {"score": score})
    categories = [{"id": 1, "name": "particle"}]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})
    return [path]


def _load(path: Path) -> Any:
    kinds = ValueError, OSError, RecursionError
    with explained(f"{path} cannot be read as JSON", "correct the file", *kinds):
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_unrepeated)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"the key {name!r:.60} is there twice: join what they hold")
        content[name] = value
    return content


def _is_coco(content: Any) -> bool:
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


COCO = Format(
    "coco",
    (".json",),
    read_coco,
    write_coco,
    from_bottom=AS_DISPLAYED,
    file="coco.json",
    names_only=True,
    sniff=lambda path: _is_coco(_load(path)),
)
POINTS = replace(
    COCO,
    name="json",
    read=read_points,
    write=write_points,
    file="points.json",
    sniff=lambda path: not _is_coco(_load(path)),
)
