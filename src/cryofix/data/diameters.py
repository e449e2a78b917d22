"""Whether a particle's diameter makes sense in a micrograph and in front of the network."""

import logging
import math
from collections.abc import Mapping

import numpy as np
from scipy.spatial import KDTree

from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles

log = logging.getLogger(__name__)

LARGEST_SCALE = 4.0
"""A file whose pixels had to be enlarged more than this shows the network nothing but blur."""
SAME_PARTICLE = 0.25
"""Labels nearer to each other than this, in diameters, are of one particle."""
TOLERATED_DOUBLES = 0.05
"""Share of such labels that careful labels have: 1 % on EMPIAR-10017."""


def check_diameter(info: MicrographInfo, diameter_px: float, scale: float, keys: str) -> None:
    """Refuse a particle that does not fit into its micrograph, or that the network cannot see.

    Raises CryofixError if the diameter is not above 0, is larger than the image's shorter side, or
    if the file would have to be enlarged more than ``LARGEST_SCALE`` times.

    Parameters
    ----------
    info
        Header of the micrograph.
    diameter_px
        Particle diameter in pixels of the file.
    scale
        Network pixels per pixel of the file.
    keys
        The keys that set the diameter, for the message: ``pixel_size_angstrom or diameter_px``.
    """
    if not (math.isfinite(diameter_px) and diameter_px > 0 and math.isfinite(scale) and scale > 0):
        reason = "which has to be above 0"
    elif diameter_px > min(info.shape):
        reason = "which is wider than the image"
    elif scale > LARGEST_SCALE:
        reason = f"and the network would need the image enlarged {scale:.1f} times"
    else:
        return
    size = info.pixel_size_angstrom
    raise CryofixError(
        f"{info.path}: particles would be {diameter_px:.4g} pixels wide in an image of"
        f" {info.shape[1]} x {info.shape[0]} pixels of"
        f" {'unknown size' if size is None else f'{size:g} Angstrom'}, {reason}: give the right"
        f" {keys}"
    )


def warn_of_doubles(
    coordinates: str, labels: Mapping[str, Particles], diameters_px: Mapping[str, float]
) -> None:
    """Say it when many labels sit on the particle of another one, at most one of which is found."""
    doubles = 0
    for name, its in labels.items():
        places = np.stack([its.x, its.y], axis=1)
        near = KDTree(places).query_pairs(SAME_PARTICLE * diameters_px[name], output_type="ndarray")
        doubles += len(np.unique(near[:, 1]))
    total = sum(map(len, labels.values()))
    if doubles > TOLERATED_DOUBLES * total:
        log.warning(
            "%s: %d of %d labels lie within a quarter of the particle's diameter of "
            "another label, and of several labels of one particle all but one count as "
            "missed: remove the doubles, or check the diameter",
            *(coordinates, doubles, total),
        )
