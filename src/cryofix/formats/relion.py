"""RELION 3.1 and later: picks (an index STAR and one STAR for each micrograph) and particles.

Picks: ``autopick.star`` has the block ``coordinate_files`` with ``rlnMicrographName`` and
``rlnMicrographCoordinates``; the latter names a STAR with ``rlnCoordinateX``,
``rlnCoordinateY`` and ``rlnAutopickFigureOfMerit``. RELION also finds
``<job>/<subfolders>/<stem>_autopick.star`` by its suffix. Particles: ``data_optics`` and
``data_particles``. y is the row of the MRC. RELION turns TIFFs over when it reads them, so
there y counts from the last row in the file.

Source: RELION's documentation, "Conventions" and "STAR files".
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cryofix.errors import CryofixError
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.names import image_kind, image_stem
from cryofix.formats.option_keys import option_key
from cryofix.formats.relion_picks import UNKNOWN, is_relion, read_relion
from cryofix.formats.star import star_name, write_star
from cryofix.formats.tables import CoordinateFormat, Entry, Particles, YOrigin

_JOB = re.compile(r"^[^/]+/job\d+/")


def write_relion(
    path: Path,
    entries: Sequence[Entry],
    kind: Literal["autopick", "manualpick"] = "autopick",
    project: str | Path = ".",
) -> list[Path]:
    """Write picks as RELION's own jobs do: an index, and one STAR for each micrograph.

    Raises CryofixError if a name cannot be held by a STAR file, or two micrographs would share one.

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

    Raises CryofixError as in `write_relion`.

    Parameters
    ----------
    path, kind, project
        As in `write_relion`.
    micrographs : sequence of Path
        Their files.
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


def pick_columns(particles: Particles) -> pd.DataFrame:
    """Return what RELION keeps of each pick."""
    unknown = np.full(len(particles), UNKNOWN)
    return pd.DataFrame(
        {
            "rlnCoordinateX": particles.x,
            "rlnCoordinateY": particles.y,
            "rlnAutopickFigureOfMerit": unknown
            if particles.score is None
            else np.nan_to_num(particles.score, nan=UNKNOWN),
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


RELION = CoordinateFormat("relion", is_relion, read_relion, write_relion, origin_in_relion)
