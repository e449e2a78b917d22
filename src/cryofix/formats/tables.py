"""What readers and writers of coordinate files exchange, and the record of a format.

A format's module only parses and prints; `cryofix.formats.coordinates` matches names, turns y
over, removes duplicates and checks bounds, once for all formats.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.names import ImageKind, image_stem
from cryofix.formats.option_keys import check_option, option_key

YOrigin = Literal["top", "bottom"]
"""Where a file counts y from: ``top`` is row 0 of the array, ``bottom`` is y = height - row."""


@dataclass(frozen=True)
class Particles:
    """The particles of one micrograph.

    Centres are (x = column, y = row), 0-based, in full-resolution pixels of the array that
    `cryofix.formats.micrograph.read_micrograph` returns; 0 <= x <= columns, 0 <= y <= rows, but
    for particles that the edge cuts, whose centre may lie a little outside.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    """Pixels; shape (n,)."""
    score: NDArray[np.float64] | None = None
    """Shape (n,). Higher is more certain; its range is the picker's. NaN where there is none."""
    diameter_px: NDArray[np.float64] | None = None
    """Shape (n,). Pixels at full resolution. NaN where a particle has none."""

    def __post_init__(self) -> None:
        for key, value in list(vars(self).items()):
            if value is None:
                continue
            array = np.asarray(value, dtype=np.float64)
            if array.shape != (np.size(self.x),):
                raise CryofixError(
                    f"Particles: {key} has shape {array.shape} where x has "
                    f"{np.shape(self.x)}: give one value for each particle"
                )
            object.__setattr__(self, key, array)

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def empty(cls) -> "Particles":
        """Return no particles: a micrograph that was looked at and holds none."""
        return cls(np.empty(0), np.empty(0))

    @classmethod
    def joined(cls, parts: Sequence["Particles"]) -> "Particles":
        """Join particles of one micrograph; what only some parts have is NaN for the others."""

        def column(name: str) -> Any:
            found = [(getattr(each, name), len(each)) for each in parts]
            if all(values is None for values, _ in found):
                return None
            return np.concatenate([np.full(n, np.nan) if v is None else v for v, n in found])

        return cls(*(column(each.name) for each in fields(cls)))

    def select(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Particles":
        """Return the particles at a mask, at indices (in their order) or in a slice."""
        score = None if self.score is None else self.score[which]
        diameter = None if self.diameter_px is None else self.diameter_px[which]
        return Particles(self.x[which], self.y[which], score, diameter)

    def scaled(self, factor: float) -> "Particles":
        """Return them on an image resized by ``factor``: centres and diameters times it."""
        diameter = None if self.diameter_px is None else self.diameter_px * factor
        return Particles(self.x * factor, self.y * factor, self.score, diameter)

    def flipped(self, info: MicrographInfo, last_row: int = 1) -> "Particles":
        """Turn y over, which is its own inverse; ``last_row`` is the y of the image's last row.

        With 1, y = height - row, which keeps 0 <= y <= height.
        """
        return replace(self, y=info.shape[0] - 1 + last_row - self.y)

    def diameters(
        self, given: float | None, option: str = "diameter_px"
    ) -> NDArray[np.float64] | None:
        """Return each particle's diameter in pixels: its own, else ``given``, else None or NaN.

        Raises a CryofixError if ``given`` is no length; ``option`` is its name.
        """
        if given is None:
            return self.diameter_px
        check_option(given, option)
        own = np.full(len(self), np.nan) if self.diameter_px is None else self.diameter_px
        return np.where(np.isnan(own), float(given), own)

    def sides(
        self, given: float | None, option: str, path: Path, program: str
    ) -> NDArray[np.float64]:
        """Return the side of each particle's box in pixels, as `diameters` finds it.

        Raises a CryofixError if a particle has none, naming the option that would give it.
        """
        found = self.diameters(given, option)
        if found is None or np.isnan(found).any():
            raise CryofixError(
                f"{path}: {program} needs the size of its boxes: set {option_key(option)}="
            )
        return found


@dataclass(frozen=True)
class Table:
    """What one file says about one micrograph, in the file's own frame."""

    micrograph: str
    """As the file writes it: with or without folder, extension and numerical prefix."""
    source: Path
    """The file, for messages."""
    particles: Particles
    """Centres (corner formats have added half a box), y not yet turned over."""
    relative: bool = False
    """Whether x and y are fractions of the image's width and height."""
    rows: NDArray[np.intp] | None = None
    """Shape (n,). Each particle's row in the file, from 1, for messages; None counts them."""
    origins: NDArray[np.float64] | None = None
    """Shape (n, 3). How far particles turned out to lie from their coordinates, as refinements note
    it: the x and y to be subtracted in Angstrom, and the micrograph's pixel size in Angstrom; NaN
    where the file does not say them."""

    def row(self, index: int) -> int:
        """Return the row in the file, from 1, of one particle."""
        return index + 1 if self.rows is None else int(self.rows[index])


@dataclass(frozen=True)
class Entry:
    """What a writer gets for one micrograph: the particles are already in the file's y frame."""

    info: MicrographInfo
    particles: Particles


AS_DISPLAYED: tuple[ImageKind, ...] = ("mrc", "tiff")
"""Where formats count from the last row in the file, as CryoPPP does (y = H - row): the PNG and
JPEG copies that are made of its MRCs are already turned over."""


@dataclass(frozen=True)
class Format:
    """One program's way of writing coordinates."""

    name: str
    """What ``format=`` selects."""
    suffixes: tuple[str, ...]
    """How the names of its files end, in small letters; a writer takes the first."""
    read: Callable[..., Iterable[Table]]
    write: Callable[..., Any]
    """``read(path, **options)`` gives the tables of a file, ``write(path, entries, **options)`` the
    files that it wrote. Where there is a file for each micrograph, ``write(path, particles,
    **options)`` writes one of them."""
    folders: tuple[str, ...] = ()
    """Patterns of the files in a folder, of which the first that matches counts; none if there is
    one file for all micrographs."""
    no_files: str = ""
    """What to say of a folder in which no pattern matches; empty if ``read`` takes the folder."""
    from_bottom: tuple[ImageKind, ...] | None = ()
    """Kinds of images whose y counts from the last row in the file; None if the user has to say."""
    last_row: int = 1
    """The y of that row: 1 in CryoPPP (y = height - row), 0 where a program turns images over."""
    alias: str = ""
    """What people call it by its suffix, where that is another word."""
    file: str = ""
    """Name of its one file in a folder of picks; empty where it gets a folder of its name."""
    keeps_empty: bool = True
    """Whether a micrograph without particles leaves a trace in the files."""
    names_only: bool = False
    """Whether it names micrographs without their folder."""
    takes_low_scores: bool = True
    """Whether its readers can raise the threshold, so that it gets picks of low score too."""
    sniff: Callable[[Path], bool] | None = None
    """Whether the content of a file with one of the suffixes is of this format."""

    @property
    def read_options(self) -> list[str]:
        """Names of the reader's options."""
        return list(inspect.signature(self.read).parameters)[1:]

    @property
    def write_options(self) -> list[str]:
        """Names of the writer's options."""
        return list(inspect.signature(self.write).parameters)[2:]

    def detect(self, path: Path, below: bool = False) -> bool:
        """Return whether a file or folder is of this format, judged by suffix and content.

        ``below`` looks into all subfolders too.
        """
        if path.is_file():
            return path.suffix.lower() in self.suffixes and (not self.sniff or self.sniff(path))
        patterns = self.folders if below else [each.removeprefix("**/") for each in self.folders]
        return any(next(path.glob(pattern), None) for pattern in patterns)

    def tables(self, path: Path, options: Mapping[str, Any]) -> list[Table]:
        """Read all tables of a file, or of the files in a folder."""
        files = [path]
        if self.no_files and not path.is_file():
            found = ([p for p in path.glob(each) if p.name[0] != "."] for each in self.folders)
            files = sorted(next(filter(None, found), []))
            if not files:
                raise CryofixError(f"{path} holds no {self.no_files}")
        return [table for file in files for table in self.read(file, **options)]

    def put(self, path: Path, entries: list[Entry], options: Mapping[str, Any]) -> list[Path]:
        """Write a file, or the files of a folder, and return them."""
        if not self.no_files:
            written: list[Path] = self.write(path, entries, **options)
            return written
        files = [path / f"{image_stem(each.info.path)}{self.suffixes[0]}" for each in entries]
        for file, each in zip(files, entries, strict=True):
            self.write(file, each.particles, **options)
        return files


def write_table(path: Path, columns: Mapping[str, Any], separator: str, header: bool) -> None:
    """Write columns of text or numbers atomically, a line for each row."""
    with atomic_write(path) as temporary:
        pd.DataFrame(columns).to_csv(temporary, sep=separator, header=header, index=False)


def split_by_name(
    names: ArrayLike,
    particles: Particles,
    source: Path,
    relative: bool = False,
    origins: NDArray[np.float64] | None = None,
) -> list[Table]:
    """Split a file that lists the particles of many micrographs, in the order of their names.

    ``names`` has shape (n,): each particle's micrograph; the other arguments are as in `Table`.
    """
    codes, unique = pd.factorize(np.asarray(names, dtype=object))
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(codes, minlength=len(unique)))[:-1])
    tables = []
    for name, rows in zip(unique, groups, strict=False):
        its = None if origins is None else origins[rows]
        tables.append(Table(str(name), source, particles.select(rows), relative, rows + 1, its))
    return tables
