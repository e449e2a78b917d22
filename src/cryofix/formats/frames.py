"""From a file's frame to ours and back: fractions, origins, bounds, sizes, duplicates."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.option_keys import option_key
from cryofix.formats.tables import Particles, Table, YOrigin

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
    duplicates: int = 0
    """Particles that were removed because another has the same centre."""

    def sentences(self) -> list[str]:
        """Return a sentence for each that happened."""
        possible = (
            (self.duplicates, f"removed {self.duplicates} exact duplicates"),
            (
                self.cut,
                f"kept {self.cut} particles whose centre is outside the image by up to "
                f"{self.furthest_px:.1f} pixels, less than half a particle: the edge cuts them",
            ),
            (self.dropped, f"left out {self.dropped} particles outside of their image"),
            (
                self.unmoved,
                f"could not apply the origins of {self.unmoved} particles, because the file and "
                "the micrographs do not say the pixel size: their centres may be off by some "
                "pixels",
            ),
        )
        return [sentence for count, sentence in possible if count]


def to_our_frame(
    table: Table,
    info: MicrographInfo,
    origin: YOrigin,
    outside: Outside,
    remarks: Remarks,
    last_row: int = 1,
) -> Particles:
    """Return a table's particles in pixels of the array, y from its first row.

    ``last_row`` is the y of the file's last row where y counts from there. Raises CryofixError as
    `check_inside`, or if a diameter is no length in the image.
    """
    particles = table.particles
    rows, columns = info.shape
    if table.relative:
        particles = replace(particles, x=particles.x * columns, y=particles.y * rows)
    if table.origins is not None:
        particles = _moved(particles, table.origins, info, remarks)
    if particles.diameter_px is not None:
        wrong = (particles.diameter_px <= 0) | (particles.diameter_px > max(info.shape))
        if wrong.any():
            first = int(wrong.argmax())
            raise CryofixError(
                f"{table.source}, row {table.row(first)}: a diameter of "
                f"{particles.diameter_px[first]:g} pixels is not possible in "
                f"{info.path.name}, which has {columns} x {rows} pixels: correct the "
                "file"
            )
    distance, far = _beyond(particles, info)
    if outside == "drop":
        remarks.dropped += int(far.sum())
        particles, distance = particles.select(~far), distance[~far]
    else:
        _refuse(particles, info, far, table)
    remarks.cut += int((distance > _ROUNDING).sum())
    remarks.furthest_px = max(remarks.furthest_px, float(distance.max(initial=0)))
    return particles.flipped(info, last_row) if origin == "bottom" else particles


def check_inside(particles: Particles, info: MicrographInfo, source: Path) -> None:
    """Refuse centres outside 0 <= x <= columns, 0 <= y <= rows by more than half a particle.

    Where no diameter is known, 1 % of the image's longer side stands for its half. The
    CryofixError names file, row (from 1), value, and what may be wrong.
    """
    _refuse(particles, info, _beyond(particles, info)[1], Table("", source, particles))


def _beyond(
    particles: Particles, info: MicrographInfo
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how far centres are outside the image along x or y, and where that is too far."""
    rows, columns = info.shape
    x, y = particles.x, particles.y
    distance = np.maximum.reduce([-x, x - columns, -y, y - rows, np.zeros(len(x))])
    reach = np.full(len(x), _REACH * max(info.shape))
    if particles.diameter_px is not None:
        reach = np.where(np.isnan(particles.diameter_px), reach, particles.diameter_px / 2)
    return distance, distance > reach


def _refuse(
    particles: Particles, info: MicrographInfo, far: NDArray[np.bool_], table: Table
) -> None:
    rows, columns = info.shape
    if far.any():
        first = int(far.argmax())
        x, y = particles.x[first], particles.y[first]
        axis, value = ("y", y) if 0 <= x <= columns else ("x", x)
        raise CryofixError(
            f"{table.source}, row {table.row(first)}: {axis} = {value:g} is outside "
            f"{info.path.name}, which has {columns} columns (x) and {rows} rows (y); of its "
            f"{len(far)} particles {int(far.sum())} are outside: these are coordinates of an image "
            "of another size (binned or cropped?), or x and y are exchanged; "
            f"{option_key('outside')}=drop leaves them out"
        )


def _moved(
    particles: Particles, origins: NDArray[np.float64], info: MicrographInfo, remarks: Remarks
) -> Particles:
    """Subtract origins: what is left to do of the shift that centred the particles."""
    shift, size = origins[:, :2], origins[:, 2:]
    shift_px = shift / np.where(np.isnan(size), info.pixel_size_angstrom or np.nan, size)
    known = np.isfinite(shift_px[:, 0] + shift_px[:, 1])
    remarks.unmoved += int((~known & np.any(shift != 0, axis=1)).sum())
    x, y = np.where(known[:, None], shift_px, 0).T
    return replace(particles, x=particles.x - x, y=particles.y - y)


def without_duplicates(particles: Particles) -> Particles:
    """Keep one of each exact (x, y), the best scored, in the order of the file."""
    order = np.arange(len(particles))
    if particles.score is not None:
        order = np.argsort(-particles.score, kind="stable")
    centres = np.stack([particles.x, particles.y], axis=1)[order]
    _, first = np.unique(centres, axis=0, return_index=True)
    return particles.select(np.sort(order[first]))
