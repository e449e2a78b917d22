"""RELION 3.1 and later: picks (an index STAR and one STAR for each micrograph) and particles.

Picks: ``autopick.star`` has the block ``coordinate_files`` with ``rlnMicrographName`` and
``rlnMicrographCoordinates``; the latter names a STAR with ``rlnCoordinateX``,
``rlnCoordinateY`` and ``rlnAutopickFigureOfMerit``. RELION also finds
``<job>/<subfolders>/<stem>_autopick.star`` by its suffix. Particles: ``data_optics`` and
``data_particles``. y is the row of the MRC. RELION turns TIFFs over when it reads them, so
there y counts from the last row in the file.

Source: RELION's documentation, "Conventions" and "STAR files".
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cryofix.errors import CryofixError
from cryofix.formats.eman import read_eman
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.names import image_kind, image_stem
from cryofix.formats.option_keys import option_key
from cryofix.formats.relion_origins import COLUMNS as ORIGIN_COLUMNS
from cryofix.formats.relion_origins import read_origins
from cryofix.formats.star import StarTable, read_star, star_name, write_star
from cryofix.formats.tables import (
    CoordinateFormat,
    Entry,
    Particles,
    Table,
    YOrigin,
    split_by_name,
)
from cryofix.formats.values import numbers, optional_numbers

_log = logging.getLogger(__name__)

_SUFFIXES = ("_autopick.star", "_manualpick.star", "_extract.star", "_pick.star")
_INDICES = ("autopick.star", "manualpick.star")
_UNKNOWN = -999  # what RELION writes where there is no figure of merit
_SUFFIX_NOTE = "coords_suffix_"  # RELION before 3.1 leaves a file of this name beside the picks
_WANTED = (
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnAutopickFigureOfMerit",
    "rlnMicrographName",
    "rlnMicrographCoordinates",
    *ORIGIN_COLUMNS,
)
_JOB = re.compile(r"^[^/]+/job\d+/")


def read_relion(path: Path, suffix: str | None = None) -> Iterator[Table]:
    """Yield one table for each micrograph.

    Parameters
    ----------
    path : Path
        An index, a STAR of particles, a STAR of one micrograph, or a folder (with an index, or
        with STARs ``<stem><suffix>`` at any depth); ``coords_suffix_<suffix>``, which RELION
        writes before 3.1, stands for its folder.
    suffix : str or None
        What follows the micrograph's stem in the names of its STAR; None tries RELION's own.

    Raises
    ------
    CryofixError
        If a file lacks coordinates, or the index names one that does not exist.
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


def write_relion(
    path: Path,
    entries: Sequence[Entry],
    kind: Literal["autopick", "manualpick"] = "autopick",
    project: str | Path = ".",
) -> list[Path]:
    """Write picks as RELION's own jobs do: an index, and one STAR for each micrograph.

    Parameters
    ----------
    path : Path
        The job's folder, for example ``External/job007``.
    entries : sequence of Entry
        In RELION's y frame. An empty micrograph gets a STAR without rows.
    kind : {"autopick", "manualpick"}
        Gives ``<kind>.star`` and ``<subfolders>/<stem>_<kind>.star``.
    project : str or Path
        RELION's project folder: names in the index are relative to it, and the micrographs'
        subfolders in it (less ``<Type>/job<number>/``) are kept. Files elsewhere keep their
        absolute name and get no subfolders.

    Raises
    ------
    CryofixError
        If a name cannot be held by a STAR file, or two micrographs would share one.
    """
    files, listed = relion_files(path, [entry.info.path for entry in entries], kind, project)
    for entry, file in zip(entries, files, strict=True):
        write_star(file, {"": pick_columns(entry.particles)})
    index = path / f"{kind}.star"
    write_star(index, {"coordinate_files": listed})
    return [index, *files]


def relion_files(
    path: Path,
    micrographs: Sequence[Path],
    kind: Literal["autopick", "manualpick"] = "autopick",
    project: str | Path = ".",
) -> tuple[list[Path], pd.DataFrame]:
    """Return the STAR of each micrograph and the content of the index, before anything is written.

    Parameters
    ----------
    path, kind, project
        As in `write_relion`.
    micrographs : sequence of Path
        Their files.

    Raises
    ------
    CryofixError
        As in `write_relion`.
    """
    if kind not in ("autopick", "manualpick"):
        raise CryofixError(
            f"{option_key('kind')}={kind} is not known: choose autopick or manualpick"
        )
    root = Path(project).absolute()
    names = [star_name(relative_name(micrograph, root)) for micrograph in micrographs]
    files: dict[Path, str] = {}
    for name in names:
        file = path / _subfolder(name) / f"{image_stem(name)}_{kind}.star"
        if file in files:
            raise CryofixError(
                f"{files[file]} and {name} would both have their picks in {file}: set"
                f" {option_key('project')}= to their common root, or write them into two folders"
            )
        files[file] = name
    columns = {
        "rlnMicrographName": names,
        "rlnMicrographCoordinates": [star_name(relative_name(file, root)) for file in files],
    }
    return list(files), pd.DataFrame(columns)


def origin_in_relion(info: MicrographInfo) -> YOrigin:
    """Return ``bottom`` for TIFFs, which RELION turns over on reading, else ``top``."""
    return "bottom" if image_kind(info.path) == "tiff" else "top"


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
        _log.warning("%s: read the particles of all its blocks, %s", path, ", ".join(blocks))
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
        score = np.where(score == _UNKNOWN, np.nan, score)
        score = None if len(score) and np.isnan(score).all() else score
    return Particles(x, y, score)


def pick_columns(particles: Particles) -> pd.DataFrame:
    """Return what RELION keeps of each pick."""
    unknown = np.full(len(particles), _UNKNOWN)
    return pd.DataFrame(
        {
            "rlnCoordinateX": particles.x,
            "rlnCoordinateY": particles.y,
            "rlnAutopickFigureOfMerit": unknown
            if particles.score is None
            else np.nan_to_num(particles.score, nan=_UNKNOWN),
            "rlnClassNumber": unknown,
            "rlnAnglePsi": unknown,
        }
    )


def relative_name(path: Path, root: Path) -> str:
    """Return ``path`` as seen from RELION's project ``root``; absolute if it is elsewhere."""
    path = path.absolute()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _subfolder(name: str) -> Path:
    """Return the folder under the job's that RELION looks for this micrograph's picks in."""
    return Path() if Path(name).is_absolute() else Path(_JOB.sub("", name)).parent


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


RELION = CoordinateFormat("relion", is_relion, read_relion, write_relion, origin_in_relion)
