"""What a format's reader returns and its writer takes: coordinates in that file's own frame.

A format module only parses; `cryofix.formats.coordinates` matches names, flips y, removes
duplicates and checks bounds, once for all formats.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.names import image_kind

YOrigin = Literal["top", "bottom"]
"""Where a file counts y from: ``top`` is row 0 of the array, ``bottom`` is y = height - row."""


@dataclass(frozen=True)
class Particles:
    """The particles of one micrograph.

    Centres are (x = column, y = row), 0-based, in full-resolution pixels of the array that
    `cryofix.formats.micrograph.read_micrograph` returns; 0 <= x <= columns, 0 <= y <= rows.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Pixels.
    score : ndarray of float64, shape (n,), or None
        Higher is more certain; its range is the picker's.
    diameter_px : ndarray of float64, shape (n,), or None
        Pixels at full resolution.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    score: NDArray[np.float64] | None = None
    diameter_px: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for key in ("x", "y", "score", "diameter_px"):
            value = getattr(self, key)
            if value is None and key in ("score", "diameter_px"):
                continue
            array = np.asarray(value, dtype=np.float64)
            if array.shape != (np.size(self.x),):
                raise CryofixError(
                    f"Particles: {key} has shape {array.shape} where x has {np.shape(self.x)}: "
                    "give one value a particle"
                )
            object.__setattr__(self, key, array)

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def empty(cls) -> "Particles":
        """Return no particles: a micrograph that was looked at and holds none."""
        return cls(np.empty(0), np.empty(0))

    def select(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Particles":
        """Return the particles at a mask, at indices (in their order) or in a slice."""
        return Particles(
            self.x[which],
            self.y[which],
            None if self.score is None else self.score[which],
            None if self.diameter_px is None else self.diameter_px[which],
        )

    def scaled(self, factor: float) -> "Particles":
        """Return them on an image resized by ``factor``: centres and diameters times it."""
        diameter = None if self.diameter_px is None else self.diameter_px * factor
        return Particles(self.x * factor, self.y * factor, self.score, diameter)


@dataclass(frozen=True)
class Table:
    """What one file says about one micrograph, in the file's own frame.

    Attributes
    ----------
    micrograph : str
        As the file writes it: with or without folder, extension and numerical prefix.
    source : Path
        The file, for messages.
    particles : Particles
        Centres (corner formats have added half a box), y not yet flipped.
    relative : bool
        Whether x and y are fractions of the image's width and height.
    rows : ndarray of int, shape (n,), or None
        Each particle's row in the file, from 1, for messages; None counts them.
    """

    micrograph: str
    source: Path
    particles: Particles
    relative: bool = False
    rows: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class Entry:
    """What a writer gets for one micrograph: the particles are already in the file's y frame."""

    info: MicrographInfo
    particles: Particles


def origin_is_top(_info: MicrographInfo) -> YOrigin:
    """Return the y origin of formats that count y from the first row in the file."""
    return "top"


def origin_as_displayed(info: MicrographInfo) -> YOrigin:
    """Return the y origin of formats that count from the top of the picture as CryoPPP does.

    CryoPPP's numbers are heights above the last row of an MRC (y = H - row), while the PNG and
    JPEG copies that are made of its MRCs are already turned over.
    """
    return "top" if image_kind(info.path) in ("png", "jpeg") else "bottom"


@dataclass(frozen=True)
class CoordinateFormat:
    """One program's way of writing coordinates.

    Attributes
    ----------
    name : str
        What ``format=`` selects.
    detect : callable
        Whether a path (file or folder) is of this format; must not raise on other formats.
    read : callable or None
        ``read(path, **options)`` gives tables.
    write : callable or None
        ``write(path, entries, **options)`` gives the files it wrote.
    y_origin : callable or None
        The default for a micrograph; None if the user has to say.
    keeps_empty : bool
        Whether a micrograph without particles leaves a trace in the files.
    """

    name: str
    detect: Callable[[Path], bool]
    read: Callable[..., Iterable[Table]] | None = None
    write: Callable[..., list[Path]] | None = None
    y_origin: Callable[[MicrographInfo], YOrigin] | None = field(default=origin_is_top)
    keeps_empty: bool = True


def numbers(
    values: Sequence[Any] | NDArray[Any] | pd.Series, column: str, source: Path
) -> NDArray[np.float64]:
    """Return one column as float64.

    Raises
    ------
    CryofixError
        If a value is no finite number, naming file, row (from 1) and value.
    """
    raw = pd.Series(values)
    converted = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(converted))
    if bad.size:
        row = int(bad[0])
        raise CryofixError(
            f"{source}, row {row + 1}: {column} is {raw.iloc[row]!r}, not a number: correct the "
            "row or remove it"
        )
    return converted


def diameters(particles: Particles, diameter_px: float | None) -> NDArray[np.float64] | None:
    """Return each particle's diameter in pixels: its own, else ``diameter_px``, else None."""
    if particles.diameter_px is not None:
        return particles.diameter_px
    return None if diameter_px is None else np.full(len(particles), float(diameter_px))


def split_by_name(
    names: ArrayLike, particles: Particles, source: Path, relative: bool = False
) -> list[Table]:
    """Split a file that lists the particles of many micrographs, in the order of their names.

    Parameters
    ----------
    names : array_like of str, shape (n,)
        Each particle's micrograph.
    particles : Particles
        All of them, in the order of the file.
    source, relative
        As in `Table`.
    """
    codes, unique = pd.factorize(np.asarray(names, dtype=object))
    tables = []
    for code, name in enumerate(unique):
        rows = np.flatnonzero(codes == code)
        tables.append(Table(str(name), source, particles.select(rows), relative, rows + 1))
    return tables
