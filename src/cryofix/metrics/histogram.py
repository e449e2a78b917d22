"""The distribution of a teacher's probabilities: all that the diagnosis needs of the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cryofix.errors import CryofixError
from cryofix.metrics import curves
from cryofix.metrics.bins import (
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
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.rates import (
    BACKGROUND,
    PARTICLE,
    THRESHOLDS,
    UNKNOWN,
    Rates,
    class_rates,
    divide,
    require_one_shape,
)

_CONFIDENCES = (np.arange(500, 1000) / 1000).astype(np.float32)  # edges of `confidence_bins`


@dataclass(frozen=True)
class ProbabilityHistogram:
    """Pixels by true class and bin of p; histograms of parts of a data set add up."""

    counts: IntArray
    """int64, shape (3, BINS): true class (background, particle, unknown), bins of
    `bins.EDGES`."""

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
        probability = np.asarray(probability)
        mask = np.ones(probability.shape, bool) if valid is None else np.asarray(valid, dtype=bool)
        require_one_shape(probability.shape, mask.shape)
        score = curves.checked_scores(probability[mask], "teacher probabilities")
        particle = None
        if truth is not None:
            truth = np.asarray(truth)
            require_one_shape(truth.shape, mask.shape)
            particle = truth[mask] >= 0.5
        counter = Counter()
        counter.add(score, particle)
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

    def table(
        self, thresholds: Sequence[float] = THRESHOLDS, *, prior: float | None = None
    ) -> list[Rates]:
        """Return one row of keep rates for each confidence threshold: symmetric masks, exactly.

        Each has ``threshold``, ``kept``, ``particle_share``, ``particle_keep``,
        ``background_keep``, ``drift`` and ``share_over_prior`` (healthy: 0.3 to 3). If any true
        class is known, also ``true_particle_keep``, ``true_background_keep``,
        ``pseudo_precision`` (of the kept particle labels, how many are right) and
        ``pseudo_recall`` (of the true particle pixels, how many are kept as such).

        Parameters
        ----------
        thresholds
            Confidences in [0.5, 1]; exact for multiples of 0.001, otherwise rounded up to the
            next one. Smaller ones mask nothing, as the confidence is never below 0.5.
        prior
            Share of particle pixels to compare with; None takes the true share where the truth
            is known, and leaves ``share_over_prior`` null where it is not.
        """
        counts = confidence_bins(self.counts)
        total = counts.sum(axis=2)
        background_known = total[BACKGROUND].sum() > 0  # else nothing could be found to be wrong
        rows: list[Rates] = []
        for threshold in thresholds:
            first = np.searchsorted(_CONFIDENCES, np.float32(threshold), side="left")
            kept = counts[:, :, first:].sum(axis=2)
            rates = class_rates(
                total,
                kept,
                particle_share=divide(kept[:, PARTICLE].sum(), kept.sum()),
                pseudo_precision=divide(
                    kept[PARTICLE, PARTICLE], background_known * kept[:UNKNOWN, PARTICLE].sum()
                ),
                pseudo_recall=divide(kept[PARTICLE, PARTICLE], total[PARTICLE].sum()),
                prior=prior,
            )
            rows.append({"threshold": float(threshold), **rates})
        return rows

    def scored(self) -> PixelHistogram:
        """Return the pixels of known truth for scores and calibration, to a bin's width.

        Raises CryofixError if the truth is known nowhere.
        """
        if not self.known:
            raise CryofixError("there are no scores without labels: give truth=FILE")
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


def shift_log_odds(step: float) -> FloatArray:
    """Return the bins' probabilities when all log-odds move by ``step``, shape (BINS,)."""
    return 1 / (1 + np.exp(-np.clip(LOGITS + step, -500, 500)))
