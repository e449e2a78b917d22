"""Reads what RELION picked or extracted; `cryofix.formats.relion` says how its files lie."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryofix.errors import CryofixError
from cryofix.formats.eman import read_eman
from cryofix.formats.option_keys import option_key
from cryofix.formats.relion_origins import COLUMNS as ORIGIN_COLUMNS
from cryofix.formats.relion_origins import read_origins
from cryofix.formats.star import StarTable, read_star
from cryofix.formats.tables import Particles, Table, split_by_name
from cryofix.formats.values import numbers, optional_numbers

_log = logging.getLogger(__name__)

UNKNOWN = -999
"""What RELION writes where there is no figure of merit."""

_SUFFIXES = ("_autopick.star", "_manualpick.star", "_extract.star", "_pick.star")
_INDICES = ("autopick.star", "manualpick.star")
_SUFFIX_NOTE = "coords_suffix_"  # RELION before 3.1 leaves a file of this name beside the picks
_WANTED = (
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnAutopickFigureOfMerit",
    "rlnMicrographName",
    "rlnMicrographCoordinates",
    *ORIGIN_COLUMNS,
)


def read_relion(path: Path, suffix: str | None = None) -> Iterator[Table]:
    """Yield one table for each micrograph.

    Raises CryofixError if a file lacks coordinates, or the index names one that does not exist.

    Parameters
    ----------
    path : Path
        An index, a STAR of particles, a STAR of one micrograph, or a folder (with an index, or
        with STARs ``<stem><suffix>`` at any depth); ``coords_suffix_<suffix>``, which RELION
        writes before 3.1, stands for its folder.
    suffix : str or None
        What follows the micrograph's stem in the names of its STAR; None tries RELION's own.
    """
    suffixes = _SUFFIXES if suffix is None else (suffix,)
    if path.name.startswith(_SUFFIX_NOTE):
        if suffix is None:
            suffixes = (path.name.removeprefix("coords_suffix"),)
        path = path.parent
    if path.is_dir():
        index = next((path / name for name in _INDICES if (path / name).is_file()), None)
        if index is None:
            yield from _read_folder(path, suffixes)
            return
        path = index
    tables = read_star(path, _WANTED)
    lists = [table for table in tables if table.block == "coordinate_files"]
    if lists:
        for each in lists:
            yield from _read_index(path, each.columns)
        return
    yield from _read_picks(path, tables, _stem(path, suffixes))


def _read_folder(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Table]:
    files = sorted(
        p
        for p in folder.rglob("*.star")
        if p.name.endswith(suffixes) and not p.name.startswith(_SUFFIX_NOTE)
    )
    if not files:
        raise CryofixError(
            f"{folder} holds no {' or '.join(_INDICES)} and no STAR that ends in "
            f"{', '.join(suffixes)}: give the file itself, or set {option_key('suffix')}= to what "
            "follows the micrographs' names"
        )
    for file in files:
        yield from _read_picks(file, read_star(file, _WANTED), _stem(file, suffixes))


def _read_index(path: Path, index: Mapping[str, list[str]]) -> Iterator[Table]:
    missing = {"rlnMicrographName", "rlnMicrographCoordinates"} - set(index)
    if missing:
        raise CryofixError(f"{path}: the block coordinate_files lacks {', '.join(sorted(missing))}")
    names, files = index["rlnMicrographName"], index["rlnMicrographCoordinates"]
    for name, listed in zip(names, files, strict=True):
        file = _resolve(listed, path)
        if file.suffix.lower() == ".box":  # RELION imports these too
            found = read_eman(file)
        elif file.suffix.lower() == ".star":
            found = _read_picks(file, read_star(file, _WANTED), name)
        else:
            raise CryofixError(
                f"{path} lists {listed}, and cryofix reads STAR and .box files from an index: "
                "import the picks into RELION in one of these formats"
            )
        for table in found:
            yield replace(table, micrograph=name)


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
    found = [
        table for table in tables if {"rlnCoordinateX", "rlnCoordinateY"} <= set(table.columns)
    ]
    if not found:
        raise CryofixError(
            f"{path} has no block with rlnCoordinateX and rlnCoordinateY: give a STAR of picks or "
            "of particles"
        )
    blocks = list(dict.fromkeys(f"data_{table.block}" for table in found))
    if len(blocks) > 1:
        more = f" and {len(blocks) - 3} more" if len(blocks) > 3 else ""
        shown = ", ".join(blocks[:3]) + more
        _log.warning("%s: read the particles of all its blocks, %s", path, shown)
    for table in found:
        particles = _particles(table.columns, path)
        origins = read_origins(table, tables, path)
        names = table.columns.get("rlnMicrographName")
        if names is not None:
            yield from split_by_name(names, particles, path, origins=origins)
        else:
            yield Table(stem, path, particles, origins=origins)


def _particles(columns: Mapping[str, list[str]], path: Path) -> Particles:
    x = numbers(columns["rlnCoordinateX"], "rlnCoordinateX", path)
    y = numbers(columns["rlnCoordinateY"], "rlnCoordinateY", path)
    name = "rlnAutopickFigureOfMerit"
    score = optional_numbers(columns.get(name), name, path)
    if score is not None:
        score = np.where(score == UNKNOWN, np.nan, score)
        score = None if len(score) and np.isnan(score).all() else score
    return Particles(x, y, score)


def _stem(path: Path, suffixes: tuple[str, ...]) -> str:
    for suffix in suffixes:
        if path.name.endswith(suffix) and path.name != suffix:
            return path.name.removesuffix(suffix)
    return path.stem


def is_relion(path: Path) -> bool:
    """Return whether a file is a STAR, or a folder holds STARs at any depth."""
    if path.is_file():
        return path.suffix.lower() == ".star"
    return next(path.rglob("*.star"), None) is not None
