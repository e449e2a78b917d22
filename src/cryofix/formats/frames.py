"""From a file's frame to ours and back: flips, fractions, bounds, duplicates."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.tables import Particles, Table, YOrigin


def to_our_frame(table: Table, info: MicrographInfo, origin: YOrigin) -> Particles:
    """Return a table's particles in pixels of the array, y from its first row.

    Raises
    ------
    CryofixError
        If a centre is outside the image.
    """
    particles = table.particles
    if table.relative:
        rows, columns = info.shape
        particles = Particles(
            particles.x * columns, particles.y * rows, particles.score, particles.diameter_px
        )
    check_inside(particles, info, table.source, table.rows)
    return flipped(particles, info) if origin == "bottom" else particles


def flipped(particles: Particles, info: MicrographInfo) -> Particles:
    """Turn y over: y = height - row, which is its own inverse (and keeps 0 <= y <= height)."""
    return Particles(
        particles.x, info.shape[0] - particles.y, particles.score, particles.diameter_px
    )


def check_inside(
    particles: Particles,
    info: MicrographInfo,
    source: Path,
    file_rows: NDArray[np.intp] | None = None,
) -> None:
    """Refuse centres outside 0 <= x <= columns, 0 <= y <= rows, without any tolerance.

    Raises
    ------
    CryofixError
        Naming file, row (from 1), value, and what may be wrong.
    """
    rows, columns = info.shape
    for axis, values, size in (("x", particles.x, columns), ("y", particles.y, rows)):
        outside = np.flatnonzero(~((values >= 0) & (values <= size)))
        if outside.size:
            first = int(outside[0])
            row = first + 1 if file_rows is None else int(file_rows[first])
            raise CryofixError(
                f"{source}, row {row}: {axis} = {values[first]:g} is outside {info.path.name}, "
                f"which has {columns} columns (x) and {rows} rows (y): these are coordinates of "
                "an image of another size (binned or cropped?), or x and y are exchanged"
            )


def concatenate(tables: list[Particles]) -> Particles:
    """Join several tables of one micrograph; columns that some lack are dropped."""
    if len(tables) == 1:
        return tables[0]
    scores = [each.score for each in tables if each.score is not None]
    diameters = [each.diameter_px for each in tables if each.diameter_px is not None]
    return Particles(
        np.concatenate([each.x for each in tables]),
        np.concatenate([each.y for each in tables]),
        np.concatenate(scores) if len(scores) == len(tables) else None,
        np.concatenate(diameters) if len(diameters) == len(tables) else None,
    )


def without_duplicates(particles: Particles) -> Particles:
    """Keep one of each exact (x, y), the best scored, in the order of the file."""
    order = np.arange(len(particles))
    if particles.score is not None:
        order = np.argsort(-particles.score, kind="stable")
    centres = np.stack([particles.x, particles.y], axis=1)[order]
    _, first = np.unique(centres, axis=0, return_index=True)
    return particles.select(np.sort(order[first]))
