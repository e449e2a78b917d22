"""Particle coordinates -> target and validity maps."""

import math

import numpy as np
from numpy.typing import NDArray

from cryofix.formats import Particles
from cryofix.metrics.area import Area


def discs(
    x: NDArray[np.float64], y: NDArray[np.float64], radius_px: float, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Draw filled discs.

    Parameters
    ----------
    x, y
        Centres, 0-based (pixel centres are at whole numbers); may lie outside the map.
    radius_px
        A pixel belongs to a disc when its centre is at most this far from the disc's.
    shape
        (rows, columns) of the map.

    Returns
    -------
    Boolean map of ``shape``.
    """
    rows, columns = shape
    reach = math.ceil(radius_px) + 1
    near = (np.abs(x - columns / 2) < columns / 2 + reach) & (
        np.abs(y - rows / 2) < rows / 2 + reach
    )
    if not near.any():
        return np.zeros(shape, dtype=bool)
    x, y = x[near, None], y[near, None]
    steps = np.arange(-reach, reach + 1)
    row, column = np.rint(y).astype(int) + steps, np.rint(x).astype(int) + steps
    distance_squared = ((row - y) ** 2)[:, :, None] + ((column - x) ** 2)[:, None, :]
    # Drawn on a map with a margin for what reaches over the edge, which is then cut off.
    margin = 2 * reach
    drawn = np.zeros((rows + 2 * margin, columns + 2 * margin), dtype=bool)
    place = ((row + margin) * drawn.shape[1])[:, :, None] + (column + margin)[:, None, :]
    drawn.reshape(-1)[place[distance_squared <= radius_px**2]] = True
    return drawn[margin:-margin, margin:-margin]


def target_maps(
    particles: Particles,
    ignored: Particles,
    radius_px: float,
    ignore_radius_px: float,
    box: tuple[int, int, int, int],
    area: Area,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what is to be predicted and where it is known.

    Parameters
    ----------
    particles
        Labelled particles, in pixels of the micrograph.
    ignored
        Particles that count for neither side: overlapping, obscured or cut off.
    radius_px
        Radius of the discs that are to be predicted.
    ignore_radius_px
        Radius around an ignored particle in which nothing is known.
    box
        (row, column, height, width) of the part of the micrograph to be mapped.
    area
        Outside of it nothing is known.

    Returns
    -------
    target
        Boolean map, True inside particles' discs.
    valid
        Boolean map, False where a pixel counts for neither side.
    """
    row, column, height, width = box
    target, unknown = (
        discs(part.x - column, part.y - row, radius, (height, width))
        for part, radius in ((particles, radius_px), (ignored, ignore_radius_px))
    )
    valid = ~unknown | target
    area.leave_out(valid, row, column)
    return target, valid
