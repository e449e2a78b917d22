"""Scores of a probability map against a target map, from histograms of constant size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cryofix.errors import CryofixError
from cryofix.metrics import curves
from cryofix.metrics.curves import BINS, EDGES, Counts, Curve, FloatArray, IntArray

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


@dataclass(frozen=True)
class PixelHistogram(Curve):
    """Pixels of one or more micrographs, by true class and probability bin.

    It has the same 80 kB for a tile and for a data set, and histograms add up, so one is kept
    for each micrograph and pooled when scores are asked for.
    """

    counts: IntArray
    """int64, shape (2, ``curves.BINS``); row 0 background, row 1 particle. The edges of the bins
    are ``curves.EDGES``."""
    sums: FloatArray
    """Sum of p in each bin, float64, shape (``curves.BINS``,): makes the calibration error
    exact."""

    @classmethod
    def empty(cls) -> "PixelHistogram":
        """Return the histogram of no pixels, the neutral element of ``+``."""
        return cls(np.zeros((2, BINS), np.int64), np.zeros(BINS))

    @classmethod
    def from_arrays(
        cls, probability: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None
    ) -> "PixelHistogram":
        """Count the pixels of maps of one shape.

        Raises CryofixError if the shapes differ or a valid probability is NaN or outside [0, 1].

        Parameters
        ----------
        probability
            Particle probability in [0, 1], any shape; compared in float32.
        truth
            Target of the same shape; at or above 0.5 is particle. NaN only where not valid.
        valid
            False where a pixel counts for neither side (ignore regions, padding).
        """
        probability, truth = np.asarray(probability), np.asarray(truth)
        mask = np.ones(truth.shape, bool) if valid is None else np.asarray(valid, dtype=bool)
        if not probability.shape == truth.shape == mask.shape:
            raise CryofixError(
                f"probability {probability.shape}, target {truth.shape} and valid {mask.shape} "
                "maps must have one shape: crop or scale them to the same grid first"
            )
        scores = curves.checked_scores(probability[mask], "particle probabilities")
        bins = curves.score_bins(scores)
        particle = truth[mask] >= 0.5
        counts = np.bincount(bins + BINS * particle, minlength=2 * BINS).reshape(2, BINS)
        sums = np.bincount(bins, weights=scores, minlength=BINS)
        return cls(counts.astype(np.int64), sums.astype(np.float64))

    def __add__(self, other: "PixelHistogram") -> "PixelHistogram":
        return PixelHistogram(self.counts + other.counts, self.sums + other.sums)

    @property
    def pixels(self) -> int:
        """Number of pixels counted."""
        return int(self.counts.sum())

    @property
    def truth(self) -> int:
        """Number of true particle pixels."""
        return int(self.counts[1].sum())

    @property
    def prior(self) -> float:
        """Share of particle pixels; 0 without pixels."""
        return self.truth / max(self.pixels, 1)

    @property
    def binned(self) -> Counts:
        """True and false positives in each bin of p, and the true pixels."""
        return Counts(self.counts[1], self.counts[0], self.truth)

    def reliability(self, *, predicted_particles: bool = False) -> Reliability:
        """Return the reliability diagram in 15 bins, of all pixels or of those with p >= 0.5."""
        counted = np.float32(0.5 if predicted_particles else 0.0) <= EDGES
        particles, pixels, claimed = (
            np.add.reduceat(np.where(counted, values, 0), _STARTS)
            for values in (self.counts[1], self.counts.sum(axis=0), self.sums)
        )
        size = np.maximum(pixels, 1)
        return Reliability(pixels, claimed / size, particles / size)

    def calibration_error(self, *, predicted_particles: bool = False) -> float:
        """Return the expected calibration error (15 bins), of all pixels or of p >= 0.5."""
        return self.reliability(predicted_particles=predicted_particles).expected_error
