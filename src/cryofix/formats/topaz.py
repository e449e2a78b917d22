"""Topaz: one tab-separated file for all micrographs.

``image_name  x_coord  y_coord  [score]``: name without extension, integers, centres, in pixels
of the *downsampled* image; no flip. A micrograph without particles leaves no trace in it.

Source: Bepler et al., Nature Methods 16, 1153 (2019).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats.names import image_stem
from cryofix.formats.tables import CoordinateFormat, Entry, Particles, Table, split_by_name
from cryofix.formats.text_table import read_columns
from cryofix.formats.values import check_option, numbers, optional_numbers

_REQUIRED = ("image_name", "x_coord", "y_coord")
_LAYOUT = "Topaz writes image_name, x_coord, y_coord and score, separated by tabs"


def read_topaz(path: Path, downsample: float = 1) -> Iterator[Table]:
    """Yield one table for each micrograph that the file names.

    Raises CryofixError if a column is missing.

    Parameters
    ----------
    path : Path
        The file.
    downsample : float
        By what the images were shrunk before Topaz saw them (``topaz preprocess -s``); its
        coordinates are multiplied by it. 1 if Topaz or a converter has already scaled them back.
    """
    check_option(downsample, "downsample")
    _, columns = read_columns(path, "\t", (*_REQUIRED, "score"), _LAYOUT)
    missing = set(_REQUIRED) - set(columns)
    if missing:
        raise CryofixError(f"{path} lacks the columns {', '.join(sorted(missing))}: {_LAYOUT}")
    particles = Particles(
        numbers(columns["x_coord"], "x_coord", path) * downsample,
        numbers(columns["y_coord"], "y_coord", path) * downsample,
        optional_numbers(columns.get("score"), "score", path),
    )
    yield from split_by_name(columns["image_name"], particles, path)


def write_topaz(path: Path, entries: Sequence[Entry], downsample: float = 1) -> list[Path]:
    """Write one file; scores are written where all micrographs have them.

    Parameters
    ----------
    path : Path
        The file.
    entries : sequence of Entry
        In Topaz's y frame.
    downsample : float
        By what the images that Topaz will see are shrunk; the rounding to integers then costs
        up to half of it, in pixels at full resolution.
    """
    check_option(downsample, "downsample")
    scored = all(entry.particles.score is not None for entry in entries)
    columns: dict[str, list[object]] = {"image_name": [], "x_coord": [], "y_coord": []}
    scores: list[float] = []
    for entry in entries:
        each = entry.particles
        columns["image_name"] += [image_stem(entry.info.path)] * len(each)
        columns["x_coord"] += np.rint(each.x / downsample).astype(int).tolist()
        columns["y_coord"] += np.rint(each.y / downsample).astype(int).tolist()
        if scored and each.score is not None:
            scores += each.score.tolist()
    frame = pd.DataFrame(columns)
    if scored:
        frame["score"] = scores
    with atomic_write(path) as temporary:
        frame.to_csv(temporary, sep="\t", index=False)
    return [path]


def _detect(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() not in (".txt", ".tsv", ".tab"):
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return {"image_name", "x_coord"} <= set(file.readline(1 << 16).split())


TOPAZ = CoordinateFormat("topaz", _detect, read_topaz, write_topaz, keeps_empty=False)
