"""EMAN's ``.box``: one text file for each micrograph, ``x y width height``, no header.

x and y are the box's *corner*, so centre = corner + side / 2; integers; y is the row. EMAN1 allows
a fifth column, which here holds the score. The box is usually larger than the particle, so a
diameter is not read from it.

Source: Ludtke et al., J. Struct. Biol. 128, 82 (1999), and EMAN's ``boxer``.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryofix.errors import CryofixError, explained
from cryofix.formats.columns import to_particles
from cryofix.formats.option_keys import check_option
from cryofix.formats.tables import Format, Particles, Table, write_table

_COLUMNS = ("x", "y", "width", "height", "score")
_NO_SCORE = -3  # EMAN1 writes -3 for single particles, -1 and -2 for the ends of a helix


def read_eman(path: Path) -> Iterator[Table]:
    """Read one file; rows of other than 4 or 5 numbers and helices are a CryofixError."""
    with explained(f"{path} cannot be read as text", "it is no .box", ValueError, OSError):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    rows = list(filter(None, map(str.split, lines)))
    for number, row in enumerate(rows, start=1):
        if len(row) not in (4, 5) or len(row) != len(rows[0]):
            raise CryofixError(
                f"{path}, row {number}: has {len(row)} values, and a .box has x y width height in "
                "every row, or x y width height score in every row"
            )
    columns = dict(zip(_COLUMNS, list(zip(*rows, strict=True)) or [()] * 4, strict=False))
    particles = to_particles(columns, path, box=("width", "height"))
    if particles.score is not None:
        if np.isin(particles.score, (-1, -2)).all():
            raise CryofixError(f"{path} holds ends of helices, not particles: give segments")
        if (particles.score == _NO_SCORE).all():
            particles = replace(particles, score=None)
    yield Table(path.stem, path, particles)


def write_eman(
    path: Path, particles: Particles, box_size_px: int | None = None, with_scores: bool = True
) -> None:
    """Write the boxes of one micrograph.

    ``box_size_px`` is the box's side; None takes each particle's diameter, rounded; without both it
    is a CryofixError. ``with_scores=False`` leaves out the fifth column, unknown to some programs.
    """
    if box_size_px is None:
        boxes = np.rint(particles.sides(None, "box_size_px", path, "EMAN"))
    else:
        check_option(box_size_px, "box_size_px")
        boxes = np.rint(np.full(len(particles), float(box_size_px)))
    corners = [np.rint(each - boxes / 2).astype(int) for each in (particles.x, particles.y)]
    columns = dict(zip(_COLUMNS, [*corners, boxes.astype(int), boxes.astype(int)], strict=False))
    if with_scores and particles.score is not None:
        columns["score"] = np.nan_to_num(particles.score, nan=_NO_SCORE)
    write_table(path, columns, "\t", header=False)


EMAN = Format(
    "eman",
    (".box",),
    read_eman,
    write_eman,
    folders=("**/*.box",),
    alias="box",
    takes_low_scores=False,
    no_files=".box files: give the folder that holds them",
)
