"""EMAN's ``.box``: one text file for each micrograph, ``x y width height``, no header.

x and y are the box's *corner*, so centre = corner + side / 2; integers; no flip. EMAN1 allows a
fifth column, which here holds the score. The box is usually larger than the particle, so a
diameter is not read from it.

Source: Ludtke et al., J. Struct. Biol. 128, 82 (1999), and EMAN's ``boxer``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cryofix.errors import CryofixError, reason
from cryofix.files import atomic_write
from cryofix.formats.names import image_stem
from cryofix.formats.tables import CoordinateFormat, Entry, Particles, Table, sides
from cryofix.formats.values import check_option, numbers, optional_numbers

_COLUMNS = ("x", "y", "width", "height", "score")
_NO_SCORE = -3  # EMAN1 writes -3 for single particles, -1 and -2 for the ends of a helix


def read_eman(path: Path) -> Iterator[Table]:
    """Yield one table for each ``.box`` in a folder, or for one file.

    Raises CryofixError if there is no such file, or a row has other than 4 or 5 numbers or marks a
    helix.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.box"))
    if not files:
        raise CryofixError(f"{path} holds no .box files: give the folder that holds them")
    for file in files:
        yield Table(file.stem, file, _read_box(file))


def write_eman(
    path: Path, entries: Sequence[Entry], box_size_px: int | None = None, with_scores: bool = True
) -> list[Path]:
    """Write ``<stem>.box`` for each micrograph into the folder ``path``.

    Raises CryofixError if there is neither a box size nor a diameter.

    Parameters
    ----------
    path : Path
        The folder.
    entries : sequence of Entry
        In EMAN's y frame.
    box_size_px : int or None
        The box's side; None takes each particle's diameter, rounded.
    with_scores : bool
        False leaves out the fifth column, for programs that know only four.
    """
    if box_size_px is not None:
        check_option(box_size_px, "box_size_px")
    written = []
    for entry in entries:
        each = entry.particles
        boxes = np.rint(
            sides(each, None, "box_size_px", path, "EMAN")
            if box_size_px is None
            else np.full(len(each), float(box_size_px))
        )
        columns: list[np.ndarray] = [
            np.rint(each.x - boxes / 2).astype(int),
            np.rint(each.y - boxes / 2).astype(int),
            boxes.astype(int),
            boxes.astype(int),
        ]
        if with_scores and each.score is not None:
            columns.append(np.nan_to_num(each.score, nan=_NO_SCORE))
        file = path / f"{image_stem(entry.info.path)}.box"
        with atomic_write(file) as temporary:
            frame = pd.DataFrame(dict(zip(_COLUMNS, columns, strict=False)))
            frame.to_csv(temporary, sep="\t", header=False, index=False)
        written.append(file)
    return written


def _read_box(file: Path) -> Particles:
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise CryofixError(
            f"{file} cannot be read as text ({reason(error)}): it is no .box"
        ) from error
    rows = [line for line in lines if line]
    for number, row in enumerate(rows, start=1):
        if len(row) not in (4, 5) or len(row) != len(rows[0]):
            raise CryofixError(
                f"{file}, row {number}: has {len(row)} values, and a .box has x y width height in "
                "every row, or x y width height score in every row"
            )
    columns = list(zip(*rows, strict=True)) or [()] * 4
    x, y = (numbers(columns[i], _COLUMNS[i], file) for i in (0, 1))
    width, height = (numbers(columns[i], _COLUMNS[i], file, positive=True) for i in (2, 3))
    score = optional_numbers(columns[4], "score", file) if len(columns) > 4 else None
    if score is not None:
        if np.isin(score, (-1, -2)).all():
            raise CryofixError(f"{file} holds ends of helices, not particles: give segments")
        if (score == _NO_SCORE).all():
            score = None
    return Particles(x + width / 2, y + height / 2, score)


def _detect(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".box"
    return next(path.glob("*.box"), None) is not None


EMAN = CoordinateFormat("eman", _detect, read_eman, write_eman)
