"""How much particles stand out from their surroundings, in one way to read a label file's x, y."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.special import stdtrit

from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.option_keys import CommandKeys
from cryofix.formats.tables import Particles, YOrigin

_DISC = 0.35  # radius of the disc, in diameters: inside of most particles, whatever their shape
_RING = (0.6, 0.75)  # inner and outer radius, in diameters: outside of the particle
_CHANCE = 1e-5  # of a contrast, or of a difference of two, that is taken for certain
_SCALES = (2.0, 4.0, 8.0, 1 / 2, 1 / 4, 1 / 8)  # what images are usually binned by
WORKING_DIAMETER = 16  # pixels; enough to tell disc from ring, and cheap


@dataclass(frozen=True)
class Reading:
    """One way to read the x and y of a label file."""

    exchanged: bool = False
    mirrored: bool = False
    turned: bool = False
    """Whether x and y are exchanged, and whether the result's x counts from the other side, and its
    y."""
    scale: float = 1.0
    """What x and y are multiplied by."""
    diameter_too: bool = False
    """Whether the diameter is multiplied too."""

    def apply(self, particles: Particles, info: MicrographInfo, origin: YOrigin) -> Particles:
        """Return what the file would mean so read, given what it means as it stands."""
        file = particles.flipped(info) if origin == "bottom" else particles
        x, y = (file.y, file.x) if self.exchanged else (file.x, file.y)
        x, y = x * self.scale, y * self.scale
        read = Particles(info.shape[1] - x if self.mirrored else x, y)
        return read.flipped(info) if self.turned != (origin == "bottom") else read

    def width_factor(self) -> float:
        """Return what the diameter is multiplied by."""
        return self.scale if self.diameter_too else 1.0

    def remedies(self, keys: CommandKeys, origin: YOrigin) -> list[str]:
        """Return what to do so that the labels are read in this way."""
        factor = f"{self.scale:g}" if self.scale >= 1 else f"1/{1 / self.scale:g}"
        other = "top" if origin == "bottom" else "bottom"
        possible = (
            (self.exchanged, "exchange x and y in the file"),
            (
                self.scale != 1,
                f"multiply the file's x and y by {factor} (they are in pixels of images of"
                f" another binning; for Topaz {keys('downsample')} does that)",
            ),
            (self.mirrored, "count x from the other side (width - x)"),
            (self.turned, f"set {keys('y_origin')}={other}"),
        )
        return [sentence for applies, sentence in possible if applies]


TURNS = [Reading(*each) for each in itertools.product((False, True), repeat=3)]
"""Readings of the right scale; the first is the file as given."""
BINNED = [
    Reading(turned=turned, scale=scale, diameter_too=diameter_too)
    for diameter_too, scale, turned in itertools.product((False, True), _SCALES, (False, True))
]


@dataclass(frozen=True)
class Fit:
    """How much the labels stand out from their surroundings in one reading."""

    reading: Reading
    """How the file was read."""
    contrast: float
    """|mean| over all particles; one particle's contrast is (mean in the disc - mean in the ring) /
    noise level, which is that of the binned micrograph without background."""
    standard_error: float
    """Of the contrast; infinite below two particles."""
    particles: int
    micrographs: int
    """How many were counted: particles whose ring lies in the image, one a diameter's square."""

    @classmethod
    def of(cls, reading: Reading, contrasts: Sequence[NDArray[np.float64]]) -> "Fit":
        """Average over particles; those whose ring leaves the image are NaN and do not count."""
        found = np.concatenate([np.empty(0), *(each[np.isfinite(each)] for each in contrasts)])
        count = len(found)
        if count < 2:
            return cls(reading, 0.0, math.inf, count, len(contrasts))
        error = max(float(found.std(ddof=1)) / math.sqrt(count), 1e-12)
        return cls(reading, float(abs(found.mean())), error, count, len(contrasts))

    @property
    def errors(self) -> float:
        """The contrast in standard errors."""
        return self.contrast / self.standard_error

    @property
    def certain_errors(self) -> float:
        """How many standard errors are certain, by Student's t of so many particles."""
        if self.particles < 2:
            return math.inf
        return float(stdtrit(self.particles - 1, 1 - _CHANCE))

    @property
    def certain(self) -> bool:
        """Whether the labels stand out more than chance explains."""
        return self.errors > self.certain_errors

    def beats(self, other: "Fit") -> bool:
        """Whether this reading is certain, and the other is not or stands out clearly less."""
        error = math.hypot(self.standard_error, other.standard_error)
        lead = (self.contrast - other.contrast) / error
        return self.certain and (not other.certain or lead > self.certain_errors)


def shrunk(data: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of ``factor`` pixels, take off the slow background, scale to noise levels.

    Gold and hot pixels are cut at five noise levels, or a few of them would decide for all.
    """
    rows, columns = (size // factor * factor for size in data.shape)
    lines = data[:rows, :columns].reshape(rows // factor, factor, columns).mean(axis=1)
    image = lines.reshape(rows // factor, columns // factor, factor).mean(axis=2)
    image = image - uniform_filter(image, size=4 * WORKING_DIAMETER, mode="reflect")
    noise = 1.4826 * float(np.median(np.abs(image - np.median(image))))
    return np.asarray(np.clip(image / max(noise, 1e-12), -5, 5), dtype=np.float32)


def contrasts(
    image: NDArray[np.float32], particles: Particles, diameter_px: float, factor: int
) -> NDArray[np.float64]:
    """Return disc minus ring for each particle; NaN where the ring leaves the image."""
    diameter = diameter_px / factor
    reach = int(np.ceil(_RING[1] * diameter))
    offset = np.arange(-reach, reach + 1)
    distance = np.hypot(offset[:, None], offset[None, :]) / diameter
    kernel = np.zeros_like(distance)
    disc = distance <= _DISC
    ring = (distance >= _RING[0]) & (distance <= _RING[1])
    kernel[disc] = 1 / disc.sum()
    kernel[ring] = -1 / ring.sum()
    # Of several in one square of a diameter one is enough: they would see the same pixels.
    square = np.stack([particles.y, particles.x]) // diameter_px
    particles = particles.select(np.unique(square, axis=1, return_index=True)[1])
    rows = np.floor(particles.y / factor).astype(int)
    columns = np.floor(particles.x / factor).astype(int)
    found = np.full(len(particles), np.nan)
    height, width = image.shape
    for index, (row, column) in enumerate(zip(rows, columns, strict=True)):
        if reach <= row < height - reach and reach <= column < width - reach:
            patch = image[row - reach : row + reach + 1, column - reach : column + reach + 1]
            found[index] = float((patch * kernel).sum())
    return found
