"""The distribution of a teacher's probabilities: all that the diagnosis needs of the pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cryofix.diagnosis.bins import (
    BINS,
    CENTRES,
    EDGES,
    LOGITS,
    MIDDLE,
    Counter,
    FloatArray,
    IntArray,
    confidence_bins,
)
from cryofix.errors import CryofixError
from cryofix.metrics import curves
from cryofix.metrics.keep_rates import ConfidenceHistogram
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.rates import PARTICLE, UNKNOWN, divide, valid_pixels

__all__ = ["CENTRES", "EDGES", "LOGITS", "MIDDLE", "ProbabilityHistogram"]


@dataclass(frozen=True)
class ProbabilityHistogram:
    """Pixels by true class and bin of p; histograms of parts of a data set add up."""

    counts: IntArray
    """int64, shape (3, BINS): true class (background, particle, unknown), bins of
    ``bins.EDGES``."""

    @classmethod
    def empty(cls) -> "ProbabilityHistogram":
        """Return the histogram of no pixels, the neutral element of ``+``."""
        return cls(np.zeros((3, BINS), np.int64))

    @classmethod
    def from_arrays(
        cls, probability: ArrayLike, truth: ArrayLike | None = None, valid: ArrayLike | None = None
    ) -> "ProbabilityHistogram":
        """Count the pixels of maps of one shape.

        Raises CryofixError if the shapes differ or a valid probability is NaN or outside [0, 1].

        Parameters
        ----------
        probability
            Teacher's particle probability in [0, 1], any shape; counted in float32.
        truth
            Hidden or known target, at or above 0.5 is particle; None if there is none.
        valid
            False where a pixel does not count.
        """
        score, true_class, _ = valid_pixels(probability, truth, valid)
        counter = Counter()
        counter.add(score, None if truth is None else true_class == PARTICLE)
        return cls(counter.counts())

    def __add__(self, other: "ProbabilityHistogram") -> "ProbabilityHistogram":
        return ProbabilityHistogram(self.counts + other.counts)

    @property
    def total(self) -> IntArray:
        """Pixels by bin, whatever their true class, shape (BINS,)."""
        total: IntArray = self.counts.sum(axis=0)
        return total

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.counts.sum())

    @property
    def known(self) -> int:
        """Number of pixels whose true class is known."""
        return int(self.counts[:UNKNOWN].sum())

    def prior(self) -> float | None:
        """Return the share of particle pixels where the truth is known; None where it is not."""
        return divide(self.counts[PARTICLE].sum(), self.known)

    def predicted_share(self) -> float | None:
        """Return the share of pixels with p >= 0.5."""
        return divide(self.total[MIDDLE:].sum(), self.pixels)

    def mean(self) -> float | None:
        """Return the mean of p, to a bin's width."""
        return divide(self.total @ CENTRES, self.pixels)

    def confidences(self) -> ConfidenceHistogram:
        """Return the same pixels by confidence: the table of symmetric masks, exactly."""
        return ConfidenceHistogram(confidence_bins(self.counts))

    def scored(self) -> PixelHistogram:
        """Return the pixels of known truth for scores and calibration, to a bin's width.

        Raises CryofixError if the truth is known nowhere.
        """
        if not self.known:
            raise CryofixError("without truth there are no scores: give truth=FILE")
        bins = curves.score_bins(CENTRES.astype(np.float32))
        counts = np.stack(
            [np.bincount(bins, weights=row, minlength=curves.BINS) for row in self.counts[:UNKNOWN]]
        )
        sums = np.bincount(bins, weights=self.counts[:UNKNOWN].sum(axis=0) * CENTRES)
        padded = np.zeros(curves.BINS)
        padded[: len(sums)] = sums
        return PixelHistogram(counts.astype(np.int64), padded)

    def sample(self, size: int) -> IntArray:
        """Return the bins of ``size`` pixels that stand for all: every n-th of the sorted pixels.

        Raises CryofixError if there are no pixels.
        """
        cumulative = np.cumsum(self.total)
        if not self.pixels:
            raise CryofixError("there is no valid pixel to diagnose: check the input")
        ranks = (np.arange(size) + 0.5) / size * cumulative[-1]
        bins: IntArray = np.searchsorted(cumulative, ranks, side="right").astype(np.int64)
        return bins

    def quantile(self, share: float, *, among: slice) -> float:
        """Return the edge below which ``share`` of the pixels in a range of bins lie.

        Inside a bin pixels count as spread evenly over it.
        """
        part = self.total[among].astype(np.float64)
        cumulative = np.cumsum(part)
        wanted = share * cumulative[-1]
        index = min(int(np.searchsorted(cumulative, wanted, side="left")), len(part) - 1)
        inside = (wanted - (cumulative[index] - part[index])) / max(part[index], 1.0)
        edges = EDGES[among.start or 0 :]
        return float(edges[index] + inside * (edges[index + 1] - edges[index]))


def shifted(step: float) -> FloatArray:
    """Return the bins' probabilities when all log-odds move by ``step``, shape (BINS,)."""
    return 1 / (1 + np.exp(-np.clip(LOGITS + step, -500, 500)))
