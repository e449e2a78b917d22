"""How far the predicted probabilities are from the shares of particle pixels they claim."""

from dataclasses import dataclass

import numpy as np

from cryofix.metrics.curves import EDGES, FloatArray, IntArray

CALIBRATION_BINS = 15
_STARTS = np.searchsorted(
    EDGES, (np.arange(CALIBRATION_BINS) / CALIBRATION_BINS).astype(np.float32), side="left"
)


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: what was claimed and what was there, for 15 even bins of p."""

    pixels: IntArray
    """Pixels in each bin, shape (15,)."""
    mean_probability: FloatArray
    """Mean p in each bin, 0 where the bin is empty."""
    particle_share: FloatArray
    """Share of true particle pixels in each bin, 0 where the bin is empty."""

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean |claimed - found| over pixels; 0 without pixels.

        Naeini, Cooper and Hauskrecht, AAAI 2015, in the binary form (bins of p, not of
        max(p, 1 - p)), which does not let the many sure background pixels hide behind accuracy.
        """
        gap = np.abs(self.mean_probability - self.particle_share)
        return float((gap * self.pixels).sum() / max(int(self.pixels.sum()), 1))


def reliability(counts: IntArray, sums: FloatArray, *, at_least: float = 0.0) -> Reliability:
    """Return the reliability diagram of a pixel histogram.

    Parameters
    ----------
    counts
        Pixels by true class and score bin, shape (2, bins).
    sums
        Sum of p in each score bin, shape (bins,).
    at_least
        Only pixels with p at or above this count; 0.5 gives the predicted particles.
    """
    counted = np.float32(at_least) <= EDGES
    particles = np.add.reduceat(np.where(counted, counts[1], 0), _STARTS)
    pixels = np.add.reduceat(np.where(counted, counts.sum(axis=0), 0), _STARTS)
    claimed = np.add.reduceat(np.where(counted, sums, 0.0), _STARTS)
    size = np.maximum(pixels, 1)
    return Reliability(pixels, claimed / size, particles / size)
