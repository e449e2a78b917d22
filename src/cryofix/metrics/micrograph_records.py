"""What is kept of a scored micrograph, and the thresholds it is read at."""

from dataclasses import dataclass

from numpy.typing import ArrayLike

from cryofix.formats import Particles
from cryofix.metrics.area import Area
from cryofix.metrics.particles import ParticleRecord
from cryofix.metrics.pixels import PixelHistogram

RADIUS_FRACTION = 0.5
STRICT_RADIUS_FRACTION = 0.25


@dataclass(frozen=True)
class Thresholds:
    """Where to cut, chosen on validation micrographs: pixels by p, picks by their score."""

    pixel: float = 0.5
    particle: float = 0.5


@dataclass(frozen=True)
class MicrographRecord:
    """Everything that is kept of one scored micrograph, whatever its size."""

    name: str
    """The micrograph's name, by which two models are paired."""
    pixels: PixelHistogram
    """Its probability map against its target."""
    particles: ParticleRecord
    strict: ParticleRecord
    """Its picks against its labels within d/2, and within d/4."""

    @classmethod
    def measure(
        cls,
        name: str,
        *,
        probability: ArrayLike,
        target: ArrayLike,
        valid: ArrayLike | None,
        picks: Particles,
        truth: Particles,
        diameter: float,
        ignored: Particles | None = None,
        area: Area | None = None,
    ) -> "MicrographRecord":
        """Score one micrograph; every coordinate is in pixels of the probability map.

        Parameters
        ----------
        name
            Name of the micrograph.
        probability, target, valid
            Maps of shape (rows, columns), as for `PixelHistogram.from_arrays`.
        picks, truth, diameter, ignored, area
            As for `ParticleRecord.from_picks`.
        """
        half, quarter = (
            ParticleRecord.from_picks(
                picks,
                truth,
                diameter=diameter,
                radius_fraction=fraction,
                ignored=ignored,
                area=area,
            )
            for fraction in (RADIUS_FRACTION, STRICT_RADIUS_FRACTION)
        )
        return cls(name, PixelHistogram.from_arrays(probability, target, valid), half, quarter)
