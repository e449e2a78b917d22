"""RELION 3.1 and later: picks (an index STAR and one STAR for each micrograph) and particles.

Picks: ``autopick.star`` has the block ``coordinate_files`` with ``rlnMicrographName`` and
``rlnMicrographCoordinates``; the latter names a STAR with ``rlnCoordinateX``,
``rlnCoordinateY`` and ``rlnAutopickFigureOfMerit``. RELION also finds
``<job>/<subfolders>/<stem>_autopick.star`` by its suffix. Particles: ``data_optics`` and
``data_particles``. y is the row of the MRC. RELION turns TIFFs over when it reads them, so
there y counts from the last row in the file.

Source: RELION's documentation, "Conventions" and "STAR files".
"""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cryofix.errors import CryofixError, check_known
from cryofix.formats.names import image_stem
from cryofix.formats.option_keys import check_option, option_key
from cryofix.formats.relion_read import UNKNOWN, read_relion
from cryofix.formats.star import star_name, write_star
from cryofix.formats.tables import Entry, Format, Particles

_JOB = re.compile(r"^[^/]+/job\d+/")


def write_relion(
    path: Path,
    entries: Sequence[Entry],
    kind: Literal["autopick", "manualpick"] = "autopick",
    project: str | Path = ".",
) -> list[Path]:
    """Write picks as RELION's own jobs do: an index, and one STAR for each micrograph.

    ``path`` is the job's folder, for example ``External/job007``; ``kind`` gives ``<kind>.star``
    and ``<subfolders>/<stem>_<kind>.star``. Names in the index are relative to RELION's
    ``project`` folder, and the micrographs' subfolders in it (less ``<Type>/job<number>/``) are
    kept. Files elsewhere keep their absolute name and get no subfolders. Raises CryofixError if a
    name cannot be held by a STAR file, or two micrographs would share one.
    """
    files, listed = relion_files(path, [entry.info.path for entry in entries], kind, project)
    for entry, file in zip(entries, files, strict=True):
        write_star(file, {"": _picks(entry.particles)})
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

    Arguments and errors are those of `write_relion`.
    """
    check_known(option_key("kind"), kind, ("autopick", "manualpick"))
    root = plain(project)
    names = [star_name(relative_name(micrograph, root)) for micrograph in micrographs]
    files: dict[Path, str] = {}
    for name in names:
        # RELION looks for this micrograph's picks in this folder under the job's.
        folder = "" if Path(name).is_absolute() else Path(_JOB.sub("", name)).parent
        file = path / folder / f"{image_stem(name)}_{kind}.star"
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


def write_relion_particles(
    path: Path,
    entries: Sequence[Entry],
    project: str | Path = ".",
    pixel_size_angstrom: float | None = None,
    voltage_kv: float = 300.0,
    spherical_aberration_mm: float = 2.7,
    amplitude_contrast: float = 0.1,
) -> list[Path]:
    """Write one STAR of particles with RELION 3.1's optics groups, one for each pixel size.

    ``pixel_size_angstrom`` is for micrographs whose file does not say; the voltage and what
    follows is of the microscope, which picks do not know. Raises CryofixError if a pixel size is
    unknown, or a name cannot be held by a STAR file.
    """
    if pixel_size_angstrom is not None:
        check_option(pixel_size_angstrom, "pixel_size_angstrom")
    check_option(voltage_kv, "voltage_kv")
    check_option(spherical_aberration_mm, "spherical_aberration_mm", zero=True)
    check_option(amplitude_contrast, "amplitude_contrast", zero=True)
    root = plain(project)
    groups: dict[float, int] = {}
    tables = []
    for entry in entries:
        pixel_size = entry.info.pixel_size_angstrom or pixel_size_angstrom
        if pixel_size is None:
            raise CryofixError(
                f"{entry.info.path} does not say its pixel size, which RELION's particles need: "
                f"set {option_key('pixel_size_angstrom')}="
            )
        # Headers keep float32, so the same size must not make two groups by its last digit.
        group = groups.setdefault(round(pixel_size, 5), len(groups) + 1)
        name = star_name(relative_name(entry.info.path, root))
        tables.append(_picks(entry.particles).assign(rlnMicrographName=name, rlnOpticsGroup=group))
    optics = pd.DataFrame(
        {
            "rlnOpticsGroupName": [f"opticsGroup{group}" for group in groups.values()],
            "rlnOpticsGroup": list(groups.values()),
            "rlnMicrographPixelSize": list(groups),
            "rlnMicrographOriginalPixelSize": list(groups),
            "rlnVoltage": voltage_kv,
            "rlnSphericalAberration": spherical_aberration_mm,
            "rlnAmplitudeContrast": amplitude_contrast,
        }
    )
    particles = pd.concat(tables, ignore_index=True) if tables else _picks(Particles.empty())
    write_star(path, {"optics": optics, "particles": particles})
    return [path]


def _picks(particles: Particles) -> pd.DataFrame:
    """Return what RELION keeps of each pick."""
    unknown = np.full(len(particles), UNKNOWN)
    score = particles.score
    merit = unknown if score is None else np.nan_to_num(score, nan=UNKNOWN)
    return pd.DataFrame(
        {
            "rlnCoordinateX": particles.x,
            "rlnCoordinateY": particles.y,
            "rlnAutopickFigureOfMerit": merit,
            "rlnClassNumber": unknown,
            "rlnAnglePsi": unknown,
        }
    )


def relative_name(path: Path, root: Path) -> str:
    """Return ``path`` as seen from RELION's project ``root``; absolute if it is elsewhere."""
    path = plain(path)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def plain(path: str | Path) -> Path:
    """Return the absolute path without ``..``; a link keeps its own name."""
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() follows links


RELION = Format(
    "relion",
    (".star",),
    read_relion,
    write_relion,
    folders=("**/*.star",),
    from_bottom=("tiff",),
    last_row=0,
    alias="star",
    takes_low_scores=False,
)
RELION_PARTICLES = replace(
    RELION,
    name="relion_particles",
    write=write_relion_particles,
    alias="particles",
    file="particles.star",
    keeps_empty=False,
)
