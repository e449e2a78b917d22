"""CryoPPP: a folder with one CSV for each micrograph.

``<stem>.csv`` has the columns ``X-Coordinate,Y-Coordinate,Diameter`` first (pixels), then
perhaps angles and CTF values, which are ignored. y is counted from the last row of an MRC
(y = H - row); in the JPEG and PNG copies it is the row. A micrograph without a CSV is
unlabelled, not empty.

Source: Dhakal et al., Scientific Data 10, 392 (2023).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats.names import image_stem
from cryofix.formats.tables import (
    CoordinateFormat,
    Entry,
    Particles,
    Table,
    diameters,
    origin_as_displayed,
)
from cryofix.formats.text_table import plain_name, read_columns
from cryofix.formats.values import numbers, optional_numbers

# Spellings seen in CSVs, without case, spaces, dashes and underscores.
_X = ("xcoordinate", "x", "xcoord", "centerx", "xcenter")
_Y = ("ycoordinate", "y", "ycoord", "centery", "ycenter")
_DIAMETER = ("diameter", "diameterpx")
_SCORE = ("score", "confidence")
_LAYOUT = "it needs a header line X-Coordinate,Y-Coordinate,Diameter and one line for each particle"
_SUBFOLDERS = ("ground_truth/particle_coordinates", "particle_coordinates")


def read_cryoppp(path: Path) -> Iterator[Table]:
    """Yield one table for each CSV in a folder, or for one CSV.

    Raises CryofixError if the folder holds no CSV, or a CSV lacks a column of x and one of y.

    Parameters
    ----------
    path : Path
        A CSV, a folder of them, or a CryoPPP data set's folder (the one above ``ground_truth``).
    """
    for file in [path] if path.is_file() else _files(path):
        yield Table(file.stem, file, _read_csv(file))


def write_cryoppp(
    path: Path, entries: Sequence[Entry], diameter_px: float | None = None
) -> list[Path]:
    """Write ``<stem>.csv`` for each micrograph into the folder ``path``.

    Parameters
    ----------
    path : Path
        The folder.
    entries : sequence of Entry
        In the CSV's y frame.
    diameter_px : float or None
        For particles without a diameter of their own. Without either there is no such column.

    Returns
    -------
    list of Path
        One CSV a micrograph; scores, where there are any, in a column ``Score`` at the end.
    """
    written = []
    for entry in entries:
        columns = {"X-Coordinate": entry.particles.x, "Y-Coordinate": entry.particles.y}
        diameter = diameters(entry.particles, diameter_px)
        if diameter is not None:
            columns["Diameter"] = diameter
        if entry.particles.score is not None:
            columns["Score"] = entry.particles.score
        file = path / f"{image_stem(entry.info.path)}.csv"
        with atomic_write(file) as temporary:
            pd.DataFrame(columns).to_csv(temporary, index=False)
        written.append(file)
    return written


def _files(folder: Path) -> list[Path]:
    for candidate in (folder, *(folder / name for name in _SUBFOLDERS)):
        files = sorted(p for p in candidate.glob("*.csv") if not p.name.startswith("."))
        if files:
            return files
    raise CryofixError(
        f"{folder} holds no CSV files: give the folder with one <micrograph>.csv for each "
        "labelled micrograph"
    )


def _detect(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".csv"
    return any(next((path / sub).glob("*.csv"), None) for sub in ("", *_SUBFOLDERS))


def _read_csv(file: Path) -> Particles:
    header, columns = read_columns(
        file, ",", _X + _Y + _DIAMETER + _SCORE, _LAYOUT, plain=plain_name
    )

    def find(spellings: tuple[str, ...]) -> list[str] | None:
        return next((columns[name] for name in spellings if name in columns), None)

    x, y, diameter, score = map(find, (_X, _Y, _DIAMETER, _SCORE))
    if x is None or y is None:
        raise CryofixError(
            f"{file} has the columns {', '.join(header):.80}: it needs X-Coordinate and "
            "Y-Coordinate"
        )
    return Particles(
        numbers(x, "X-Coordinate", file),
        numbers(y, "Y-Coordinate", file),
        optional_numbers(score, "Score", file),
        optional_numbers(diameter, "Diameter", file, positive=True),
    )


CRYOPPP = CoordinateFormat("cryoppp", _detect, read_cryoppp, write_cryoppp, origin_as_displayed)
