"""Reads what RELION picked or extracted; `cryofix.formats.relion` says how its files lie."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.columns import numbers, to_particles
from cryofix.formats.eman import read_eman
from cryofix.formats.option_keys import option_key
from cryofix.formats.star import StarTable, read_star
from cryofix.formats.tables import Table, split_by_name

_log = logging.getLogger(__name__)

UNKNOWN = -999
"""What RELION writes where there is no figure of merit."""

_SUFFIXES = ("_autopick.star", "_manualpick.star", "_extract.star", "_pick.star")
_INDICES = ("autopick.star", "manualpick.star")
_SUFFIX_NOTE = "coords_suffix_"  # RELION before 3.1 leaves a file of this name beside the picks
_X, _Y, _SCORE = "rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit"
_NAME, _FILE = "rlnMicrographName", "rlnMicrographCoordinates"
_GROUP, _PIXEL_SIZE = "rlnOpticsGroup", "rlnMicrographPixelSize"
_ORIGIN_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
_ORIGIN_PIXELS = ("rlnOriginX", "rlnOriginY")
_MICROSCOPE = ("rlnDetectorPixelSize", "rlnMagnification")
_ORIGINS = (*_ORIGIN_ANGSTROM, *_ORIGIN_PIXELS, *_MICROSCOPE)
_WANTED = (_X, _Y, _SCORE, _NAME, _FILE, _GROUP, _PIXEL_SIZE, *_ORIGINS)


def read_relion(path: Path, suffix: str | None = None) -> Iterator[Table]:
    """Yield one table for each micrograph.

    ``path`` is an index, a STAR of particles or of one micrograph, or a folder (with an index, or
    with STARs ``<stem><suffix>`` at any depth, for which None tries RELION's own suffixes);
    ``coords_suffix_<suffix>``, which RELION writes before 3.1, stands for its folder. Raises
    CryofixError if a file lacks coordinates, or the index names one that does not exist.
    """
    suffixes = _SUFFIXES if suffix is None else (suffix,)
    if path.name.startswith(_SUFFIX_NOTE):
        if suffix is None:
            suffixes = (path.name.removeprefix("coords_suffix"),)
        path = path.parent
    if path.is_dir():
        index = next((path / name for name in _INDICES if (path / name).is_file()), None)
        if index is None:
            for file in _files(path, suffixes):
                yield from _read_picks(file, read_star(file, _WANTED), _stem(file, suffixes))
            return
        path = index
    tables = read_star(path, _WANTED)
    lists = [table for table in tables if table.block == "coordinate_files"]
    for each in lists:
        yield from _read_index(path, each.columns)
    if not lists:
        yield from _read_picks(path, tables, _stem(path, suffixes))


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    files = [each for each in folder.rglob("*.star") if each.name.endswith(suffixes)]
    files = sorted(each for each in files if not each.name.startswith(_SUFFIX_NOTE))
    if not files:
        raise CryofixError(
            f"{folder} holds no {' or '.join(_INDICES)} and no STAR that ends in "
            f"{', '.join(suffixes)}: give the file itself, or set {option_key('suffix')}= to what "
            "follows the micrographs' names"
        )
    return files


def _stem(path: Path, suffixes: tuple[str, ...]) -> str:
    found = (each for each in suffixes if path.name.endswith(each) and path.name != each)
    return path.name.removesuffix(next(found, path.suffix))


def _read_index(path: Path, index: Mapping[str, list[str]]) -> Iterator[Table]:
    if missing := {_NAME, _FILE} - set(index):
        raise CryofixError(f"{path}: the block coordinate_files lacks {', '.join(sorted(missing))}")
    for name, listed in zip(index[_NAME], index[_FILE], strict=True):
        file = _resolve(listed, path)
        kind = file.suffix.lower()
        if kind not in (".box", ".star"):  # RELION imports both
            raise CryofixError(
                f"{path} lists {listed}, and cryofix reads STAR and .box files from an index: "
                "import the picks into RELION in one of these formats"
            )
        picks = (
            read_eman(file) if kind == ".box" else _read_picks(file, read_star(file, _WANTED), name)
        )
        yield from (replace(table, micrograph=name) for table in picks)


def _resolve(listed: str, index: Path) -> Path:
    """Find a file that is named relative to the project, which is some folder above the index."""
    folders = [Path(), *index.absolute().parents]  # joining an absolute name keeps that name
    with suppress(OSError):  # a name that no file can have
        for folder in folders:
            if (folder / listed).is_file():
                return folder / listed
    raise CryofixError(
        f"{index} lists {listed:.200}, which is neither in the current folder nor in any above the "
        "index: copy it too, or remove the line if that micrograph is unlabelled"
    )


def _read_picks(path: Path, tables: Sequence[StarTable], stem: str) -> Iterator[Table]:
    """Yield the particles of all tables that hold any; ``stem`` is the micrograph's name."""
    found = [table for table in tables if {_X, _Y} <= set(table.columns)]
    if not found:
        raise CryofixError(
            f"{path} has no block with {_X} and {_Y}: give a STAR of picks or of particles"
        )
    blocks = list(dict.fromkeys(f"data_{table.block}" for table in found))
    if len(blocks) > 1:
        more = f" and {len(blocks) - 3} more" if len(blocks) > 3 else ""
        shown = ", ".join(blocks[:3]) + more
        _log.warning("%s: read the particles of all its blocks, %s", path, shown)
    for table in found:
        particles = to_particles(table.columns, path, _X, _Y, score=_SCORE)
        if particles.score is not None and len(particles):
            score = np.where(particles.score == UNKNOWN, np.nan, particles.score)
            particles = replace(particles, score=None if np.isnan(score).all() else score)
        origins = _origins(table.columns, tables, path)
        names = table.columns.get(_NAME)
        if names is not None:
            yield from split_by_name(names, particles, path, origins=origins)
        else:
            yield Table(stem, path, particles, origins=origins)


def _origins(
    columns: Mapping[str, list[str]], tables: Sequence[StarTable], path: Path
) -> NDArray[np.float64] | None:
    """Return how far refined particles lie from their coordinates, as `Table.origins`.

    A particle's true centre in its micrograph is the coordinate minus the origin. RELION 3.1
    gives origins in Angstrom; before that they are pixels of the particle's image, whose size
    follows from ``rlnDetectorPixelSize`` (micrometres) and ``rlnMagnification``. None stands for
    no origins, or 0 for all.
    """
    choices = (_ORIGIN_ANGSTROM, _ORIGIN_PIXELS)
    names = next((each for each in choices if set(each) <= set(columns)), None)
    if names is None:
        return None
    x, y = (np.nan_to_num(numbers(columns[name], name, path, optional=True)) for name in names)
    if not (x.any() or y.any()):
        return None
    if names == _ORIGIN_PIXELS:
        size = np.full(len(x), np.nan)
        if set(_MICROSCOPE) <= set(columns):
            micrometres, magnification = (
                numbers(columns[name], name, path, positive=True) for name in _MICROSCOPE
            )
            size = micrometres * 1e4 / magnification
        x, y = (np.where(each == 0, 0, each * size) for each in (x, y))
    sizes: dict[str, float] = {}
    for optics in tables:
        if {_GROUP, _PIXEL_SIZE} <= set(optics.columns):
            values = numbers(optics.columns[_PIXEL_SIZE], _PIXEL_SIZE, path, positive=True)
            sizes.update(zip(optics.columns[_GROUP], values.tolist(), strict=True))
    groups = columns.get(_GROUP, [""] * len(x))
    return np.stack([x, y, [sizes.get(group, np.nan) for group in groups]], axis=1)
