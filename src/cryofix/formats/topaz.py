"""Topaz: one tab-separated file for all micrographs.

``image_name  x_coord  y_coord  [score]``: name without extension, integers, centres, in pixels
of the *downsampled* image; y is the row. A micrograph without particles leaves no trace in it.

Source: Bepler et al., Nature Methods 16, 1153 (2019).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cryofix.formats.columns import check_columns, read_columns, to_particles
from cryofix.formats.names import image_stem
from cryofix.formats.option_keys import check_option
from cryofix.formats.tables import Entry, Format, Particles, Table, split_by_name, write_table

_REQUIRED = ("image_name", "x_coord", "y_coord")
_LAYOUT = "Topaz writes image_name, x_coord, y_coord and score, separated by tabs"


def read_topaz(path: Path, downsample: float = 1) -> list[Table]:
    """Read one file; without one of its columns it is a CryofixError.

    ``downsample`` is by what the images were shrunk before Topaz saw them (``topaz preprocess
    -s``); its coordinates are multiplied by it. It is 1 if Topaz or a converter has already
    scaled them back.
    """
    check_option(downsample, "downsample")
    _, columns = read_columns(path, "\t", (*_REQUIRED, "score"), _LAYOUT)
    check_columns(columns, _REQUIRED, str(path), f": {_LAYOUT}")
    particles = to_particles(columns, path, "x_coord", "y_coord").scaled(downsample)
    return split_by_name(columns["image_name"], particles, path)


def write_topaz(path: Path, entries: Sequence[Entry], downsample: float = 1) -> list[Path]:
    """Write one file; scores are written where all micrographs with particles have them.

    ``downsample`` is by what the images that Topaz will see are shrunk; the rounding to integers
    then costs up to half of it, in pixels at full resolution.
    """
    check_option(downsample, "downsample")
    sizes = [len(entry.particles) for entry in entries]
    each = Particles.joined([entry.particles for entry in entries] or [Particles.empty()])
    columns = {
        "image_name": np.repeat([image_stem(entry.info.path) for entry in entries], sizes),
        "x_coord": np.rint(each.x / downsample).astype(int),
        "y_coord": np.rint(each.y / downsample).astype(int),
    }
    if all(entry.particles.score is not None for entry in entries if len(entry.particles)):
        columns["score"] = np.empty(0) if each.score is None else each.score
    write_table(path, columns, "\t", header=True)
    return [path]


def _sniff(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return {"image_name", "x_coord"} <= set(file.readline(1 << 16).split())


TOPAZ = Format(
    "topaz",
    (".txt", ".tsv", ".tab"),
    read_topaz,
    write_topaz,
    alias="tsv",
    file="topaz.tsv",
    keeps_empty=False,
    names_only=True,
    sniff=_sniff,
)
