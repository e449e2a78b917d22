"""Columns of numbers out of files: every value is checked where it is read."""

import csv
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryofix.errors import CryofixError, explained
from cryofix.formats.tables import Particles

_MISSING = ("", "nan", "<na>", "na", "n/a", "null", "none")


def to_particles(
    columns: Mapping[str, Any],
    source: Path,
    x: str = "x",
    y: str = "y",
    box: Sequence[str] = (),
    score: str = "score",
    diameter: Sequence[str] = (),
) -> Particles:
    """Return the particles of a file's columns (name to numbers or their text), in its frame.

    ``x`` and ``y`` name the columns of centres, or with a ``box`` (names of width and height) of
    its corners. The mean of the columns ``diameter`` is the diameter; ``score`` and they may be
    missing, in single rows or as a whole. Raises CryofixError if another is missing or a value is
    not what it should be.
    """
    centre_x, centre_y = (numbers(columns[name], name, source) for name in (x, y))
    if box:
        width, height = (numbers(columns[each], each, source, positive=True) for each in box)
        centre_x, centre_y = centre_x + width / 2, centre_y + height / 2
    found = [optional_numbers(columns.get(each), each, source, positive=True) for each in diameter]
    known = [each for each in found if each is not None]
    mean = np.mean(known, axis=0) if known and len(known) == len(found) else None
    scores = optional_numbers(columns.get(score), score, source)
    return Particles(centre_x, centre_y, scores, mean)


def numbers(
    values: Sequence[Any] | NDArray[Any],
    column: str,
    source: Path,
    *,
    optional: bool = False,
    positive: bool = False,
) -> NDArray[np.float64]:
    """Return a column of numbers, or of their text, as float64.

    Where ``optional``, single values may be missing (empty, null, ``nan``, ``<NA>``): they become
    NaN. Any other that is no finite number, or not above 0 where ``positive``, is a CryofixError
    that names file, row (from 1) and value.
    """
    try:
        raw = pd.Series(values, dtype=None if len(values) else np.float64)
        with np.errstate(all="ignore"):  # a NaN that signals
            converted = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64)
    except (TypeError, ValueError, OverflowError):  # a list among the numbers, or 400 digits
        raw = pd.Series(values, dtype=object)
        converted = np.array([_number(value) for value in values])
    bad = ~np.isfinite(converted)
    if optional:
        bad[bad] = [str(value).strip().lower() not in _MISSING for value in raw[bad]]
    for wrong, what in ((bad, "not a number"), (positive & (converted <= 0), "not above 0")):
        if wrong.any():
            row = int(wrong.argmax())
            raise CryofixError(
                f"{source}, row {row + 1}: {column} is {raw.tolist()[row]!r:.60}, {what}: correct "
                "the row or remove it"
            )
    return converted


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def optional_numbers(
    values: Sequence[Any] | NDArray[Any] | None, column: str, source: Path, positive: bool = False
) -> NDArray[np.float64] | None:
    """Return a column that may be missing, in single rows (NaN) or as a whole (None)."""
    if values is None:
        return None
    converted = numbers(values, column, source, optional=True, positive=positive)
    return None if len(converted) and np.isnan(converted).all() else converted


def check_columns(columns: Collection[str], needed: Collection[str], where: str, end: str) -> None:
    """Raise a CryofixError if a needed column is missing; ``end`` says what to do."""
    if missing := set(needed) - set(columns):
        raise CryofixError(f"{where} lacks the columns {', '.join(sorted(missing))}{end}")


def column_places(header: Sequence[str], wanted: Collection[str], where: str) -> dict[str, int]:
    """Return places of wanted columns in a header; one that is there twice is a CryofixError."""
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        if name in places:
            raise CryofixError(f"{where} has the column {name} twice: remove one of them")
        if name in wanted:
            places[name] = place
    return places


def read_columns(
    path: Path,
    separator: str,
    wanted: Collection[str],
    needs: str,
    plain: Callable[[str], str] = str.strip,
) -> tuple[list[str], dict[str, list[str]]]:
    """Read the wanted columns of a table in UTF-8 text whose first line names them.

    ``needs`` is what the program writes, for messages; ``plain`` turns a name in the file into
    what ``wanted`` calls it. Returns all names as they are in the file, and the values of the
    wanted columns by name; those missing at the end of a row are empty. Raises CryofixError if the
    file is no such text, a row has more values than names, or a wanted column is there twice.
    """
    rows = _rows(path, separator, needs)
    header = next(rows)
    places = column_places(list(map(plain, header)), wanted, str(path))
    columns: dict[str, list[str]] = {name: [] for name in places}
    for row in rows:
        for name, place in places.items():
            columns[name].append(row[place] if place < len(row) else "")
    return header, columns


def _rows(path: Path, separator: str, needs: str) -> Iterator[list[str]]:
    with (
        explained(f"{path} cannot be read", needs, ValueError, OSError, csv.Error),
        path.open(encoding="utf-8-sig", newline="") as file,
    ):
        reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
        width = 0
        for row in filter(any, reader):
            width = width or len(row)
            if any(row[width:]):
                many = f"{len(row)} values under {width} names"
                raise ValueError(f"line {reader.line_num} has {many}")
            yield row
        if not width:
            raise ValueError("it is empty")
