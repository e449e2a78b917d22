"""From a file's frame to ours and back: flips, fractions, origins, bounds, sizes, duplicates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.option_keys import option_key
from cryofix.formats.tables import Origins, Particles, Table, YOrigin

Outside = Literal["error", "drop"]
"""What happens to centres further outside their image than half a particle."""

_ROUNDING = 1e-3  # pixels by which writing and reading may move a centre
_REACH = 0.01  # of the longer side, for particles of unknown diameter: about half of one


@dataclass
class Remarks:
    """What is to be said once about all tables of a file."""

    cut: int = 0
    furthest_px: float = 0.0
    """Particles whose centre is a little outside the image, and the largest distance."""
    dropped: int = 0
    """Particles further outside, which were left out."""
    unmoved: int = 0
    """Particles whose origin could not be applied."""

    def sentences(self) -> list[str]:
        """Return a sentence for each that happened."""
        said = []
        if self.cut:
            said.append(
                f"kept {self.cut} particles whose centre is outside the image by up to "
                f"{self.furthest_px:.1f} pixels, less than half a particle: the edge cuts them"
            )
        if self.dropped:
            said.append(f"left out {self.dropped} particles outside of their image")
        if self.unmoved:
            said.append(
                f"could not apply the origins of {self.unmoved} particles, because the file and "
                "the micrographs do not say the pixel size: their centres may be off by some pixels"
            )
        return said


def to_our_frame(
    table: Table, info: MicrographInfo, origin: YOrigin, outside: Outside, remarks: Remarks
) -> Particles:
    """Return a table's particles in pixels of the array, y from its first row.

    Raises CryofixError if a centre is far outside the image, or a diameter is no length in it.
    """
    particles = table.particles
    if table.relative:
        rows, columns = info.shape
        particles = Particles(
            particles.x * columns, particles.y * rows, particles.score, particles.diameter_px
        )
    if table.origins is not None:
        particles = _moved(particles, table.origins, info, remarks)
    _check_diameters(particles, info, table)
    distance, reach = _beyond(particles, info)
    far = distance > reach
    if far.any() and outside == "drop":
        remarks.dropped += int(far.sum())
        particles, distance = particles.select(~far), distance[~far]
    elif far.any():
        _refuse(particles, info, table.source, far, table.rows)
    remarks.cut += int((distance > _ROUNDING).sum())
    remarks.furthest_px = max(remarks.furthest_px, float(distance.max(initial=0)))
    return flipped(particles, info) if origin == "bottom" else particles


def flipped(particles: Particles, info: MicrographInfo) -> Particles:
    """Turn y over: y = height - row, which is its own inverse (and keeps 0 <= y <= height)."""
    return Particles(
        particles.x, info.shape[0] - particles.y, particles.score, particles.diameter_px
    )


def check_inside(particles: Particles, info: MicrographInfo, source: Path) -> None:
    """Refuse centres outside 0 <= x <= columns, 0 <= y <= rows by more than half a particle.

    Where no diameter is known, 1 % of the image's longer side stands for its half.

    Raises CryofixError naming file, row (from 1), value, and what may be wrong.
    """
    distance, reach = _beyond(particles, info)
    if (distance > reach).any():
        _refuse(particles, info, source, distance > reach, None)


def _beyond(
    particles: Particles, info: MicrographInfo
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far centres are outside the image along x or y, and how far they may be."""
    rows, columns = info.shape
    x, y = particles.x, particles.y
    distance = np.maximum.reduce([-x, x - columns, -y, y - rows, np.zeros(len(x))])
    reach = np.full(len(x), _REACH * max(info.shape))
    if particles.diameter_px is not None:
        reach = np.where(np.isnan(particles.diameter_px), reach, particles.diameter_px / 2)
    return distance, reach


def _refuse(
    particles: Particles,
    info: MicrographInfo,
    source: Path,
    far: NDArray[np.bool_],
    file_rows: NDArray[np.intp] | None,
) -> None:
    rows, columns = info.shape
    first = int(np.flatnonzero(far)[0])
    x, y = particles.x[first], particles.y[first]
    axis, value = ("y", y) if 0 <= x <= columns else ("x", x)
    row = first + 1 if file_rows is None else int(file_rows[first])
    raise CryofixError(
        f"{source}, row {row}: {axis} = {value:g} is outside {info.path.name}, which has {columns} "
        f"columns (x) and {rows} rows (y); of its {len(far)} particles {int(far.sum())} are "
        "outside: these are coordinates of an image of another size (binned or cropped?), or x and "
        f"y are exchanged; {option_key('outside')}=drop leaves them out"
    )


def _moved(
    particles: Particles, origins: Origins, info: MicrographInfo, remarks: Remarks
) -> Particles:
    """Subtract origins: what is left to do of the shift that centred the particles."""
    size = origins.pixel_size_angstrom
    size = np.where(np.isnan(size), info.pixel_size_angstrom or np.nan, size)
    x, y = origins.x_angstrom / size, origins.y_angstrom / size
    known = np.isfinite(x + y)
    remarks.unmoved += int((~known & ((origins.x_angstrom != 0) | (origins.y_angstrom != 0))).sum())
    return Particles(
        particles.x - np.where(known, x, 0),
        particles.y - np.where(known, y, 0),
        particles.score,
        particles.diameter_px,
    )


def _check_diameters(particles: Particles, info: MicrographInfo, table: Table) -> None:
    if particles.diameter_px is None:
        return
    wrong = (particles.diameter_px <= 0) | (particles.diameter_px > max(info.shape))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        row = first + 1 if table.rows is None else int(table.rows[first])
        raise CryofixError(
            f"{table.source}, row {row}: a diameter of {particles.diameter_px[first]:g} pixels is "
            f"none of a particle in {info.path.name}, which has {info.shape[1]} x {info.shape[0]} "
            "pixels: correct the file"
        )


def concatenate(tables: list[Particles]) -> Particles:
    """Join several tables of one micrograph; what only some have is NaN for the others."""
    if len(tables) == 1:
        return tables[0]

    def joined(columns: list[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
        if all(column is None for column in columns):
            return None
        filled = [
            np.full(len(each), np.nan) if column is None else column
            for column, each in zip(columns, tables, strict=True)
        ]
        return np.concatenate(filled)

    return Particles(
        np.concatenate([each.x for each in tables]),
        np.concatenate([each.y for each in tables]),
        joined([each.score for each in tables]),
        joined([each.diameter_px for each in tables]),
    )


def without_duplicates(particles: Particles) -> Particles:
    """Keep one of each exact (x, y), the best scored, in the order of the file."""
    order = np.arange(len(particles))
    if particles.score is not None:
        order = np.argsort(-particles.score, kind="stable")
    centres = np.stack([particles.x, particles.y], axis=1)[order]
    _, first = np.unique(centres, axis=0, return_index=True)
    return particles.select(np.sort(order[first]))
