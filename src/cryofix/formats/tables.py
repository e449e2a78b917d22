"""What a format's reader returns and its writer takes: coordinates in that file's own frame.

A format module only parses; `cryofix.formats.coordinates` matches names, flips y, removes
duplicates and checks bounds, once for all formats.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.names import image_kind
from cryofix.formats.option_keys import option_key
from cryofix.formats.values import check_option

YOrigin = Literal["top", "bottom"]
"""Where a file counts y from: ``top`` is row 0 of the array, ``bottom`` is y = height - row."""


@dataclass(frozen=True)
class Particles:
    """The particles of one micrograph.

    Centres are (x = column, y = row), 0-based, in full-resolution pixels of the array that
    `cryofix.formats.micrograph.read_micrograph` returns; 0 <= x <= columns, 0 <= y <= rows, but
    for particles that the edge cuts, whose centre may lie a little outside.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Pixels.
    score : ndarray of float64, shape (n,), or None
        Higher is more certain; its range is the picker's. NaN where a particle has none.
    diameter_px : ndarray of float64, shape (n,), or None
        Pixels at full resolution. NaN where a particle has none.
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
class Origins:
    """How far particles turned out to lie from their coordinates, as refinements note it.

    Attributes
    ----------
    x_angstrom, y_angstrom : ndarray of float64, shape (n,)
        To be subtracted from the coordinates, Angstrom; NaN where the file does not say enough.
    pixel_size_angstrom : ndarray of float64, shape (n,)
        Of the micrograph, as the file says it; NaN where it does not.
    """

    x_angstrom: NDArray[np.float64]
    y_angstrom: NDArray[np.float64]
    pixel_size_angstrom: NDArray[np.float64]

    def select(self, which: NDArray[np.intp]) -> "Origins":
        """Return those at the indices."""
        return Origins(
            self.x_angstrom[which], self.y_angstrom[which], self.pixel_size_angstrom[which]
        )


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
    origins : Origins or None
        What is still to be subtracted from x and y.
    """

    micrograph: str
    source: Path
    particles: Particles
    relative: bool = False
    rows: NDArray[np.intp] | None = None
    origins: Origins | None = None


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


def diameters(
    particles: Particles, given: float | None, option: str = "diameter_px"
) -> NDArray[np.float64] | None:
    """Return each particle's diameter in pixels: its own, else ``given``, else None or NaN.

    Raises CryofixError if ``given`` is no length; ``option`` is its name.
    """
    if given is not None:
        check_option(given, option)
    own = particles.diameter_px
    if own is None:
        return None if given is None else np.full(len(particles), float(given))
    return own if given is None else np.where(np.isnan(own), given, own)


def sides(
    particles: Particles, given: float | None, option: str, path: Path, program: str
) -> NDArray[np.float64]:
    """Return the side of each particle's box in pixels, as `diameters` finds it.

    Raises CryofixError if one has none, naming the option that would give it.
    """
    found = diameters(particles, given, option)
    if found is None or np.isnan(found).any():
        raise CryofixError(
            f"{path}: {program} needs the size of its boxes: set {option_key(option)}="
        )
    return found


def split_by_name(
    names: ArrayLike,
    particles: Particles,
    source: Path,
    relative: bool = False,
    origins: Origins | None = None,
) -> list[Table]:
    """Split a file that lists the particles of many micrographs, in the order of their names.

    Parameters
    ----------
    names : array_like of str, shape (n,)
        Each particle's micrograph.
    particles : Particles
        All of them, in the order of the file.
    source, relative, origins
        As in `Table`.
    """
    codes, unique = pd.factorize(np.asarray(names, dtype=object))
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(codes, minlength=len(unique)))[:-1])
    return [
        Table(
            str(name),
            source,
            particles.select(rows),
            relative,
            rows + 1,
            None if origins is None else origins.select(rows),
        )
        for name, rows in zip(unique, groups, strict=False)
    ]
