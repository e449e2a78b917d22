"""Geometry and dropout of tiles, by albumentations.

Only here: albumentations 2.0.8 repeats its random stream in every worker and epoch, and its
intensity transforms clip to [0, 1]. So each call is seeded by the caller, and intensity is done in
:mod:`cryofix.data.intensity`. It draws what is to be done, and OpenCV and NumPy do it: on a small
tile the library's own calls spend twice as long on checks as on pixels.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the network otherwise

import albumentations as A  # noqa: N812 - its documented alias
import cv2

from cryofix.errors import CryofixError, check_ranges

# (whether transposed, then the steps along rows and columns) of e, r90, r180, r270, v, hvt, h, t:
# the quarter turns and flips of albumentations.D4 in its order.
D4 = (
    *((0, 1, 1), (1, -1, 1), (0, -1, -1), (1, 1, -1)),
    *((0, -1, 1), (1, -1, -1), (0, 1, -1), (1, 1, 1)),
)
EDGE = cv2.BORDER_REFLECT_101  # what is moved in from outside a tile

cv2.setNumThreads(0)  # threads of its own in every loader worker only get in each other's way


@dataclass(frozen=True)
class Geometry:
    """Random flips, quarter turns, and small rotations and changes of scale."""

    rotate_degrees: float = 15.0
    """Largest rotation, beyond the quarter turns, either way."""
    scale: float = 0.1
    """Largest relative change of size, either way."""
    probability: float = 0.5
    """Share of tiles that get the small rotation and change of scale."""

    def __post_init__(self) -> None:
        check_ranges(
            self, "augment.geometry.", rotate_degrees=(0, 180), scale=(0, 0.9), probability=(0, 1)
        )

    def build(self) -> A.Affine:
        """Return the draw of a rotation and scale, which follows that of one of D4."""
        return A.Affine(
            rotate=(-self.rotate_degrees, self.rotate_degrees),
            scale=(1 - self.scale, 1 + self.scale),
            border_mode=EDGE,
            p=self.probability,
        )


@dataclass(frozen=True)
class Cutout:
    """Square holes in the strong view, of sides relative to the tile's."""

    holes: int = 3
    """Most holes of a tile; from 0 up are drawn."""
    side_min: float = 0.05
    side_max: float = 0.15
    """Smallest and largest side of a hole, as a share of the tile's, below 1: albumentations takes
    1 for a pixel."""

    def __post_init__(self) -> None:
        key = "augment.cutout."
        check_ranges(self, key, holes=(0, 1000), side_min=(0, 0.99), side_max=(0, 0.99))
        if self.side_min > self.side_max:
            raise CryofixError(
                f"{key}side_min={self.side_min} is above {key}side_max={self.side_max}:"
                " give the smaller one first"
            )

    def build(self) -> A.CoarseDropout | None:
        """Return the transform that punches the holes, or None when there are none."""
        if self.holes == 0:
            return None
        side = (self.side_min, self.side_max)
        return A.CoarseDropout(
            num_holes_range=(1, self.holes),
            hole_height_range=side,
            hole_width_range=side,
            fill=0,
            p=self.holes / (self.holes + 1),
        )


def warp(
    affine: A.Affine,
    seed: int,
    image: NDArray[np.float32],
    target: NDArray[np.bool_],
    valid: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Apply one random geometry to an image and to its maps alike.

    Parameters
    ----------
    affine
        Of :meth:`Geometry.build`.
    seed
        All that the draw depends on.
    image
        (rows, columns), any grey values.
    target, valid
        Maps of the same shape, moved without interpolation.
    """
    affine.set_random_seed(seed)
    transposed, *steps = D4[affine.random_generator.integers(len(D4))]
    maps = target.view(np.uint8) + 2 * valid.view(np.uint8)  # two bits move faster than two maps
    parts: list[Any] = [
        np.ascontiguousarray((part.T if transposed else part)[:: steps[0], :: steps[1]])
        for part in (image, maps)
    ]
    if affine.should_apply():
        matrix = affine.get_params_dependent_on_data({"shape": parts[0].shape}, {})["matrix"][:2]
        parts = [
            cv2.warpAffine(part, matrix, part.shape[::-1], flags=how, borderMode=EDGE)
            for part, how in zip(parts, (cv2.INTER_LINEAR, cv2.INTER_NEAREST), strict=True)
        ]
    image, maps = parts
    return image, (maps & 1).view(np.bool_), maps >= 2


def punch(
    transform: A.CoarseDropout | None, seed: int, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return a map of ``shape`` that is False in the holes drawn with ``seed``."""
    whole = np.ones(shape, dtype=bool)
    if transform is not None:
        transform.set_random_seed(seed)
        if transform.should_apply():
            drawn = transform.get_params_dependent_on_data({"shape": shape}, {})
            for left, top, right, bottom in drawn["holes"]:
                whole[top:bottom, left:right] = False
    return whole
