"""What a mask keeps of each class, and the drift of the class balance that follows.

Words as in the reference run: the *predicted class* is particle where ``p >= 0.5``; *kept* is
the share of all pixels that the mask keeps; *particle share* the share of particle pixels among
the kept; *particle keep* and *background keep* the kept shares of the pixels predicted as each
class. ``drift = log(particle keep / background keep)`` is, to first order, how far the log-odds
of a student fitted to the kept pixels move in one teacher generation.

A rate without anything to divide by, and the drift where a keep rate is 0 or unknown, is None
(null in JSON); it is never NaN or infinite.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError
from cryofix.metrics.curves import FloatArray, IntArray, checked_scores
from cryofix.metrics.rates import (
    PARTICLE,
    UNKNOWN,
    Rates,
    class_rates,
    divide,
    drift,
    masked,
    valid_pixels,
)

__all__ = ["THRESHOLDS", "ConfidenceHistogram", "Rates", "WeightTally", "drift"]

THRESHOLDS: tuple[float, ...] = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)

CONFIDENCE_EDGES: NDArray[np.float32] = (np.arange(500, 1000) / 1000).astype(np.float32)
"""Left edges of the bins of c = max(p, 1 - p), steps of 0.001; the last includes 1."""
CONFIDENCE_EDGES.flags.writeable = False
CONFIDENCE_BINS: int = len(CONFIDENCE_EDGES)


@dataclass(frozen=True)
class ConfidenceHistogram:
    """Pixels by true class, predicted class and confidence: symmetric masks at any threshold.

    The confidence is counted rather than p, because ``1 - p >= 0.7`` has to be exact for the
    background as ``p >= 0.7`` is for particles.
    """

    counts: IntArray
    """int64, shape (3, 2, 500): true class (background, particle, unknown), predicted class
    (background, particle), bin of ``CONFIDENCE_EDGES``."""

    @classmethod
    def empty(cls) -> "ConfidenceHistogram":
        """Return the histogram of no pixels, the neutral element of ``+``."""
        return cls(np.zeros((3, 2, CONFIDENCE_BINS), np.int64))

    @classmethod
    def from_arrays(
        cls, probability: ArrayLike, truth: ArrayLike | None = None, valid: ArrayLike | None = None
    ) -> "ConfidenceHistogram":
        """Count the pixels of maps of one shape.

        Raises CryofixError if the shapes differ or a valid probability is NaN or outside [0, 1].

        Parameters
        ----------
        probability
            Teacher's particle probability in [0, 1], any shape; compared in float32.
        truth
            Hidden or known target, at or above 0.5 is particle; None if there is none.
        valid
            False where a pixel does not count.
        """
        score, true_class, _ = valid_pixels(probability, truth, valid)
        particle = score >= 0.5
        confidence = np.maximum(score, 1 - score)
        bins = np.searchsorted(CONFIDENCE_EDGES, confidence, side="right") - 1
        index = (true_class * 2 + particle) * CONFIDENCE_BINS + bins
        counts = np.bincount(index, minlength=6 * CONFIDENCE_BINS)
        return cls(counts.reshape(3, 2, CONFIDENCE_BINS).astype(np.int64))

    def __add__(self, other: "ConfidenceHistogram") -> "ConfidenceHistogram":
        return ConfidenceHistogram(self.counts + other.counts)

    def table(
        self, thresholds: Sequence[float] = THRESHOLDS, *, prior: float | None = None
    ) -> list[Rates]:
        """Return one row of keep rates for each confidence threshold.

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
        total = self.counts.sum(axis=2)
        rows: list[Rates] = []
        for threshold in thresholds:
            first = np.searchsorted(CONFIDENCE_EDGES, np.float32(threshold), side="left")
            kept = self.counts[:, :, first:].sum(axis=2)
            rates = class_rates(
                total,
                kept,
                particle_share=divide(kept[:, PARTICLE].sum(), kept.sum()),
                pseudo_precision=divide(kept[PARTICLE, PARTICLE], kept[:UNKNOWN, PARTICLE].sum()),
                pseudo_recall=divide(kept[PARTICLE, PARTICLE], total[PARTICLE].sum()),
                prior=prior,
            )
            rows.append({"threshold": float(threshold), **rates})
        return rows


@dataclass(frozen=True)
class WeightTally:
    """Pixels and weights that a masking policy gave, by true class, predicted class and label.

    Works for any policy: soft weights, weights above 1, labels that differ from the predicted
    class. A keep rate is then a mean weight, which for weights of 0 and 1 is the kept share.
    """

    pixels: IntArray
    """int64, shape (3, 2, 2): true class (background, particle, unknown), predicted class, label
    (target at or above 0.5)."""
    kept: IntArray
    """Those with a weight above 0, same shape."""
    weight: FloatArray
    """Sum of weights, float64, same shape."""
    particle_weight: float
    """Sum of weight times target: the particle mass that the student learns from."""

    @classmethod
    def empty(cls) -> "WeightTally":
        """Return the tally of no pixels, the neutral element of ``+``."""
        none = np.zeros((3, 2, 2), np.int64)
        return cls(none, none, np.zeros((3, 2, 2)), 0.0)

    @classmethod
    def from_arrays(
        cls,
        probability: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike,
        truth: ArrayLike | None = None,
        valid: ArrayLike | None = None,
    ) -> "WeightTally":
        """Add up maps of one shape.

        Raises CryofixError if shapes differ, or a valid value is NaN or out of range.

        Parameters
        ----------
        probability
            Teacher's particle probability in [0, 1].
        target, weight
            The policy's pseudo-labels: target in [0, 1], weight >= 0.
        truth, valid
            As for `ConfidenceHistogram.from_arrays`.
        """
        score, true_class, mask = valid_pixels(probability, truth, valid)
        labels = checked_scores(masked(target, mask), "pseudo-label targets")
        weights = masked(weight, mask).astype(np.float64)
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise CryofixError(
                "a masking policy gave a pixel a weight that is negative, NaN or infinite: "
                "weights are at least 0, and 0 ignores the pixel"
            )
        index = (true_class * 2 + (score >= 0.5)) * 2 + (labels >= 0.5)

        def by_class(values: NDArray[Any]) -> FloatArray:
            # bincount of nothing is of integers, whatever the weights.
            sums = np.bincount(index, weights=values, minlength=12).astype(np.float64)
            return sums.reshape(3, 2, 2)

        return cls(
            by_class(np.ones(len(index))).astype(np.int64),
            by_class(weights > 0).astype(np.int64),
            by_class(weights),
            float(weights @ labels.astype(np.float64)),
        )

    def __add__(self, other: "WeightTally") -> "WeightTally":
        return WeightTally(
            self.pixels + other.pixels,
            self.kept + other.kept,
            self.weight + other.weight,
            self.particle_weight + other.particle_weight,
        )

    def rates(self, *, prior: float | None = None) -> Rates:
        """Return the row of `ConfidenceHistogram.table`, with mean weights for kept shares.

        ``particle_share`` is the share of particle mass (weight times target) in the weight.
        ``pseudo_precision`` is weighted; ``pseudo_recall`` counts pixels with a weight above 0.
        """
        total, weight = self.pixels.sum(axis=2), self.weight.sum(axis=2)
        labelled = self.weight[:UNKNOWN, :, PARTICLE]
        found = self.kept[PARTICLE, :, PARTICLE].sum()
        return class_rates(
            total,
            weight,
            particle_share=divide(self.particle_weight, weight.sum()),
            pseudo_precision=divide(labelled[PARTICLE].sum(), labelled.sum()),
            pseudo_recall=divide(found, total[PARTICLE].sum()),
            prior=prior,
        )
