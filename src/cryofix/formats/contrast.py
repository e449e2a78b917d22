"""How much particles stand out from what surrounds them in a micrograph."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.special import stdtrit

from cryofix.formats.readings import Reading
from cryofix.formats.tables import Particles

_DISC = 0.35  # radius of the disc, in diameters: inside of most particles, whatever their shape
_RING = (0.6, 0.75)  # inner and outer radius, in diameters: outside of the particle
_CHANCE = 1e-5  # of a contrast, or of a difference of two, that is taken for certain
WORKING_DIAMETER = 16  # pixels; enough to tell disc from ring, and cheap


@dataclass(frozen=True)
class Fit:
    """How much the labels stand out from their surroundings in one reading.

    Attributes
    ----------
    reading : Reading
        How the file was read.
    contrast : float
        |mean| over all particles; one particle's contrast is (mean in the disc - mean in the
        ring) / noise level, which is that of the binned micrograph without background.
    standard_error : float
        Of the contrast; infinite below two particles.
    particles, micrographs : int
        How many were counted: particles whose ring lies in the image, one a diameter's square.
    """

    reading: Reading
    contrast: float
    standard_error: float
    particles: int
    micrographs: int

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
    def certain(self) -> bool:
        """Whether the labels stand out more than chance explains (Student's t)."""
        return self.errors > _certain_errors(self.particles)

    def beats(self, other: "Fit") -> bool:
        """Whether this reading is certain, and the other is not or stands out clearly less."""
        error = math.hypot(self.standard_error, other.standard_error)
        lead = (self.contrast - other.contrast) / error
        return self.certain and (not other.certain or lead > _certain_errors(self.particles))


def _certain_errors(particles: int) -> float:
    """Return how many standard errors are certain, by Student's t of so many particles."""
    return float(stdtrit(particles - 1, 1 - _CHANCE)) if particles > 1 else math.inf


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
