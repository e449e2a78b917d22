"""One micrograph's file in, its particles at full resolution out."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import nn

from cryofix.data.preprocess import Preprocessing, cropped_shape, preprocess
from cryofix.data.scaling import KnownDiameter
from cryofix.errors import CryofixError, explained
from cryofix.formats import MicrographInfo, Particles, read_info, read_micrograph
from cryofix.learning.metadata import averages_views
from cryofix.learning.sliding import predict_map
from cryofix.metrics.peaks import find_peaks
from cryofix.picking.sizes import relative_sizes

WHOLE_PX = 2048 * 2048
"""Larger maps are predicted in tiles, which bounds the memory whatever the micrograph."""
TILE_PX, MARGIN_PX = 1024, 256


@dataclass(frozen=True)
class Recipe:
    """How micrographs are shown to a network, and how its maps become picks."""

    particle_px: float
    """Particle diameter in network pixels, as in training."""
    radius_px: float
    """Radius of the discs that the network was taught to paint, network pixels."""
    preprocessing: Preprocessing
    """As in training."""
    diameter_angstrom: float | None = None
    diameter_px: float | None = None
    """Particle diameter; pixels are those of the file. Where the pixel size is known Angstrom
    count, so that a model trained at one magnification picks at another."""
    fixed_px: bool = False
    """The user gave ``diameter_px``: it counts whatever a file says of its pixel size."""
    pixel_size_angstrom: float | None = None
    """Overrides what the files say."""
    min_distance: float = 0.5
    """Of two picks, in particle diameters."""
    border_px: float = 0.0
    """Picks closer than this to an edge are dropped, in pixels of the file."""
    floor: float = 0.05
    """Picks that score lower are not even kept."""
    average_views: bool = False
    """Average maps over the eight flips and quarter turns."""
    sizes: bool = False
    """Measure the relative size of what was found, for a size filter."""

    def __post_init__(self) -> None:
        for key in ("diameter_angstrom", "diameter_px", "pixel_size_angstrom", "min_distance"):
            value = getattr(self, key)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise CryofixError(f"{key}={value} must be above 0 and finite")
        if not 0 <= self.border_px < math.inf:
            raise CryofixError(f"border_px={self.border_px} must be finite and not negative")
        if not 0 <= self.floor < 1:
            raise CryofixError(f"keep_above={self.floor} must lie in [0, 1)")

    @classmethod
    def as_trained(
        cls,
        metadata: Mapping[str, Any],
        *,
        diameter_angstrom: float | None = None,
        diameter_px: float | None = None,
        average_views: bool | None = None,
        **settings: Any,
    ) -> "Recipe":
        """Take from a checkpoint how its network wants to be shown micrographs.

        ``metadata`` are those of :class:`~cryofix.learning.checkpoint.Picker`; a diameter that is
        given overrides theirs, and so does ``average_views``. ``settings`` are the attributes that
        do not follow from training.
        Raises CryofixError if the diameter is said twice, or a setting is out of its range.
        """
        trained, particle_px = metadata["config"]["data"], float(metadata["particle_px"])
        if diameter_angstrom is not None and diameter_px is not None:
            raise CryofixError(
                f"diameter_angstrom={diameter_angstrom} and diameter_px={diameter_px} say the"
                " particle's size twice: keep one"
            )
        fixed_px = diameter_px is not None
        if diameter_angstrom is None and diameter_px is None:
            diameter_angstrom, diameter_px = (
                None if metadata[key] is None else float(metadata[key])
                for key in ("diameter_angstrom", "diameter_px")
            )
        return cls(
            particle_px=particle_px,
            radius_px=trained["radius_fraction"] * particle_px / 2,
            preprocessing=Preprocessing(trained["highpass_diameters"], trained["clip_sigma"]),
            diameter_angstrom=diameter_angstrom,
            diameter_px=diameter_px,
            fixed_px=fixed_px,
            average_views=averages_views(metadata, average_views),
            **settings,
        )

    def info(self, path: Path) -> MicrographInfo:
        """Read a micrograph's header; ``pixel_size_angstrom`` wins over what it says."""
        info = read_info(path)
        if self.pixel_size_angstrom is None:
            return info
        return MicrographInfo(info.path, info.shape, self.pixel_size_angstrom)

    def diameter_in(self, info: MicrographInfo) -> float:
        """Return the particle diameter in pixels of a file.

        Raises CryofixError when it is only known in Angstrom and the pixel size is not, or makes no
        sense.
        """
        angstrom = None if self.fixed_px else self.diameter_angstrom
        known = KnownDiameter(angstrom, self.diameter_px)
        return known.in_pixels(info, self.particle_px)


@dataclass(frozen=True)
class Picked:
    """What was found in one micrograph."""

    info: MicrographInfo
    """Its header."""
    particles: Particles
    """Down to the recipe's floor, best first, at full resolution, with score and diameter."""
    sizes: NDArray[np.float64] | None
    """Size of what was found relative to a particle, (n,); None if not asked for."""
    small: NDArray[np.float32]
    """What the network saw, (rows, columns)."""
    scale_xy: tuple[float, float]
    """Pixels of ``small`` per pixel of the file, along (x, y)."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each stage: read, crop, network, peaks."""


def pick_micrograph(
    network: nn.Module, path: Path, recipe: Recipe, device: torch.device | None = None
) -> Picked:
    """Find the particles of one micrograph, of any size.

    ``network`` gives one logit for each pixel; ``device`` is where it is, and None asks it.

    Raises CryofixError for files that cannot be read, hold nothing but one value, or do not say
    their scale.
    """
    times = {"": time.perf_counter()}  # at the end of each stage
    info = recipe.info(path)
    diameter = recipe.diameter_in(info)
    image = read_micrograph(path).data
    times["read"] = time.perf_counter()
    shape = cropped_shape(info.shape, recipe.particle_px / diameter)
    with (
        explained(f"{path} cannot be normalised", "remove or replace the file", ValueError),
        # Fourier transforms use as many threads as the network, and give the same bits.
        scipy.fft.set_workers(torch.get_num_threads()),
    ):
        small = preprocess(image, shape, recipe.particle_px, recipe.preprocessing)
    del image  # the largest thing there is
    # Training and scoring read float16 from the cache; the same rounding gives the same scores.
    small = torch.from_numpy(small).half().float().numpy()  # ten times faster than NumPy
    times["crop"] = time.perf_counter()
    probability = _predict(network, small, recipe.average_views, device)
    times["network"] = time.perf_counter()
    (rows, columns), scale_xy = info.shape, (shape[1] / info.shape[1], shape[0] / info.shape[0])
    found = find_peaks(
        probability,
        radius_px=recipe.radius_px,
        min_distance_px=recipe.min_distance * recipe.particle_px,
        min_score=recipe.floor,
    )
    sizes = relative_sizes(probability, found, recipe.radius_px) if recipe.sizes else None
    # A peak in the last row of a coarse map may lie beyond the last row of the file.
    x = np.clip(found.x / scale_xy[0], 0, columns - 1)
    y = np.clip(found.y / scale_xy[1], 0, rows - 1)
    gap = np.minimum(np.minimum(x, columns - 1 - x), np.minimum(y, rows - 1 - y))
    inside = gap >= recipe.border_px
    particles = Particles(x, y, found.score, np.full(len(found), diameter))
    times["peaks"] = time.perf_counter()
    return Picked(
        info=info,
        particles=particles.select(inside),
        sizes=None if sizes is None else sizes[inside],
        small=small,
        scale_xy=scale_xy,
        seconds={stage: end - start for (_, start), (stage, end) in pairwise(times.items())},
    )


def _predict(
    network: nn.Module, small: NDArray[np.float32], average_views: bool, device: torch.device | None
) -> NDArray[np.float32]:
    """Predict the whole map, in tiles where it would not fit."""
    tiles: dict[str, Any] = {"tile": TILE_PX, "margin": MARGIN_PX, "batch": 1}
    common: dict[str, Any] = {"device": device, "average_views": average_views}
    if small.size > WHOLE_PX:
        return predict_map(network, small, **common, **tiles)
    try:
        return predict_map(network, small, **common)
    except torch.OutOfMemoryError:
        return predict_map(network, small, **common, **tiles)
