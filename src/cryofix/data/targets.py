"""Particle coordinates -> target and validity maps."""

import numpy as np
from numpy.typing import NDArray

from cryofix.formats import Particles


def discs(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radius_px: float,
    shape: tuple[int, int],
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
    drawn = np.zeros(shape, dtype=bool)
    reach = int(np.ceil(radius_px)) + 1
    near = (x > -reach) & (x < shape[1] + reach) & (y > -reach) & (y < shape[0] + reach)
    if not near.any():
        return drawn
    x, y = x[near], y[near]
    steps = np.arange(-reach, reach + 1)
    rows = np.round(y).astype(int)[:, None] + steps
    columns = np.round(x).astype(int)[:, None] + steps
    distance_squared = ((rows - y[:, None]) ** 2)[:, :, None] + ((columns - x[:, None]) ** 2)[
        :, None, :
    ]
    inside = distance_squared <= radius_px**2
    inside &= ((rows >= 0) & (rows < shape[0]))[:, :, None]
    inside &= ((columns >= 0) & (columns < shape[1]))[:, None, :]
    which, row, column = np.nonzero(inside)
    drawn[rows[which, row], columns[which, column]] = True
    return drawn


def target_maps(
    particles: Particles,
    ignored: Particles,
    radius_px: float,
    ignore_radius_px: float,
    shape: tuple[int, int],
    interior: tuple[float, float, float, float],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what is to be predicted and where it is known.

    Parameters
    ----------
    particles
        Labelled particles, in pixels of the map.
    ignored
        Particles that count for neither side: overlapping, obscured or cut off.
    radius_px
        Radius of the discs that are to be predicted.
    ignore_radius_px
        Radius around an ignored particle in which nothing is known.
    shape
        (rows, columns) of the map.
    interior
        (x0, y0, x1, y1): outside this box nothing is known (detector edge, unlabelled border).

    Returns
    -------
    target
        Boolean map, True inside particles' discs.
    valid
        Boolean map, False where a pixel counts for neither side.
    """
    target = discs(particles.x, particles.y, radius_px, shape)
    valid = ~discs(ignored.x, ignored.y, ignore_radius_px, shape) | target
    x0, y0, x1, y1 = interior
    column, row = np.arange(shape[1]), np.arange(shape[0])
    valid &= ((row >= y0) & (row <= y1))[:, None] & ((column >= x0) & (column <= x1))[None, :]
    return target, valid
