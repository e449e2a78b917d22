"""How large is what was found, compared with what the network was taught to paint."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from cryofix.formats import Particles
from cryofix.metrics.particles import centres

REACH = 4.0
"""Blobs are followed this many disc radii from the pick."""


def relative_sizes(
    probability: NDArray[np.floating], picks: Particles, radius_px: float
) -> NDArray[np.float64]:
    """Measure the blob under each pick.

    The blob is where the probability reaches half of the pick's score; a pixel belongs to the
    nearest pick. Its diameter is that of a disc of the same area. It is returned over that of the
    taught disc, shape (n,): 1 for a particle as in training, 2 for a blob twice as wide, less at an
    edge that cuts it.

    ``probability`` has shape (rows, columns), ``picks`` have scores and lie in pixels of the map,
    and ``radius_px`` is the radius of the discs in the training target.
    """
    count = len(picks)
    if count == 0 or picks.score is None:
        return np.ones(count)
    needed = picks.score / 2
    rows, columns = np.nonzero(probability >= needed.min())
    tree = KDTree(centres(picks))
    pixels = np.stack([columns, rows], axis=1)
    nearest = tree.query(pixels, distance_upper_bound=REACH * radius_px)[1]
    owner = np.asarray(nearest, dtype=np.intp)
    owned = owner < count  # scipy says count where nobody is near
    owner, height = owner[owned], probability[rows[owned], columns[owned]]
    area = np.bincount(owner[height >= needed[owner]], minlength=count)
    return np.asarray(np.sqrt(area / np.pi) / radius_px)
