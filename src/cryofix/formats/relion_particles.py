"""RELION 3.1's STAR of particles, with optics groups; `cryofix.formats.relion` reads it."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cryofix.errors import CryofixError
from cryofix.formats.option_keys import option_key
from cryofix.formats.relion import origin_in_relion, pick_columns, relative_name
from cryofix.formats.relion_picks import is_relion, read_relion
from cryofix.formats.star import star_name, write_star
from cryofix.formats.tables import CoordinateFormat, Entry, Particles
from cryofix.formats.values import check_option


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

    Raises CryofixError if a pixel size is unknown, or a name cannot be held by a STAR file.

    Parameters
    ----------
    path : Path
        The file. A micrograph without particles leaves no trace in this format.
    entries : sequence of Entry
        In RELION's y frame.
    project : str or Path
        As in `write_relion`.
    pixel_size_angstrom : float or None
        For micrographs whose file does not say.
    voltage_kv, spherical_aberration_mm, amplitude_contrast : float
        The microscope: what RELION needs and picks do not know.
    """
    for option, value in (
        ("pixel_size_angstrom", pixel_size_angstrom),
        ("voltage_kv", voltage_kv),
        ("spherical_aberration_mm", spherical_aberration_mm),
        ("amplitude_contrast", amplitude_contrast),
    ):
        if value is not None:
            check_option(value, option, above=-1e-9)
    root = Path(project).absolute()
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
        table = pick_columns(entry.particles)
        table["rlnMicrographName"] = star_name(relative_name(entry.info.path, root))
        table["rlnOpticsGroup"] = group
        tables.append(table)
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
    particles = pd.concat(tables, ignore_index=True) if tables else pick_columns(Particles.empty())
    write_star(path, {"optics": optics, "particles": particles})
    return [path]


RELION_PARTICLES = CoordinateFormat(
    "relion_particles",
    is_relion,
    read_relion,
    write_relion_particles,
    origin_in_relion,
    keeps_empty=False,
)
