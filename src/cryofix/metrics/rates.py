"""What a mask keeps of each class, and the drift of the class balance that follows.

Words as in the reference run: the *predicted class* is particle where ``p >= 0.5``; *kept* is
the share of all pixels that the mask keeps; *particle share* the share of particle pixels among
the kept; *particle keep* and *background keep* the kept shares of the pixels predicted as each
class. ``drift = log(particle keep / background keep)`` is, to first order, how far the log-odds
of a student fitted to the kept pixels move in one teacher generation.

A rate without anything to divide by, and the drift where a keep rate is 0 or unknown, is None
(null in JSON); it is never NaN or infinite.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cryofix.errors import CryofixError
from cryofix.metrics.curves import FloatArray, IntArray, checked_scores
from cryofix.metrics.device_counts import counted, summed

BACKGROUND, PARTICLE, UNKNOWN = 0, 1, 2
"""Rows for the true class; unknown is where no labels are at hand."""

Rates = dict[str, float | None]

THRESHOLDS: tuple[float, ...] = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
"""Confidences of the reference table, and between them."""

NOTHING = 1e-4
"""Stands for a keep rate or share of zero where its logarithm has to be finite."""


def drift(particle_keep: float | None, background_keep: float | None) -> float | None:
    """Return log(particle keep / background keep), or None where a rate is 0 or unknown."""
    if not particle_keep or not background_keep:
        return None
    return math.log(particle_keep / background_keep)


def bounded_drift(particle_keep: float | None, background_keep: float | None) -> float | None:
    """Return the drift with rates of at least NOTHING: what keeps nothing is far out, not unknown.

    None where a class is not predicted at all.
    """
    if particle_keep is None or background_keep is None:
        return None
    return drift(max(particle_keep, NOTHING), max(background_keep, NOTHING))


def class_rates(
    total: IntArray,
    kept: NDArray[Any],
    *,
    particle_share: float | None,
    pseudo_precision: float | None,
    pseudo_recall: float | None,
    prior: float | None,
) -> Rates:
    """Return the rates from pixels and kept weight by (true class, predicted class)."""
    particle_keep = divide(kept[:, PARTICLE].sum(), total[:, PARTICLE].sum())
    background_keep = divide(kept[:, BACKGROUND].sum(), total[:, BACKGROUND].sum())
    known = int(total[:UNKNOWN].sum())
    if prior is None:
        prior = divide(total[PARTICLE].sum(), known)
    rates: Rates = {
        "kept": divide(kept.sum(), total.sum()),
        "particle_share": particle_share,
        "particle_keep": particle_keep,
        "background_keep": background_keep,
        "drift": drift(particle_keep, background_keep),
        "share_over_prior": None if particle_share is None else divide(particle_share, prior),
    }
    if known:
        rates |= {
            "true_particle_keep": divide(kept[PARTICLE].sum(), total[PARTICLE].sum()),
            "true_background_keep": divide(kept[BACKGROUND].sum(), total[BACKGROUND].sum()),
            "pseudo_precision": pseudo_precision,
            "pseudo_recall": pseudo_recall,
        }
    return rates


def divide(part: Any, whole: Any) -> float | None:
    """Return the share of two counts as a plain float; None if there is nothing to divide by."""
    return float(part) / float(whole) if whole else None


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
        probability: ArrayLike | Tensor,
        target: ArrayLike | Tensor,
        weight: ArrayLike | Tensor,
        truth: ArrayLike | Tensor | None = None,
        valid: ArrayLike | Tensor | None = None,
    ) -> "WeightTally":
        """Add up maps of one shape, tensors on their device or arrays.

        Raises CryofixError if shapes differ, or a valid value is NaN or out of range.

        Parameters
        ----------
        probability
            Teacher's particle probability in [0, 1]; compared in float32.
        target, weight
            The policy's pseudo-labels: target in [0, 1], weight >= 0.
        truth
            True class of each pixel: BACKGROUND, PARTICLE or UNKNOWN; None if none is known.
        valid
            False where a pixel does not count.
        """
        prob, label = (torch.as_tensor(part, dtype=torch.float32) for part in (probability, target))
        share = torch.as_tensor(weight)
        mask = torch.ones_like(prob, dtype=torch.bool) if valid is None else torch.as_tensor(valid)
        classes = torch.as_tensor(UNKNOWN) if truth is None else torch.as_tensor(truth).long()
        for part in (label, share, mask, *(() if truth is None else (classes,))):
            require_one_shape(prob.shape, part.shape)
        sound = (prob >= 0) & (prob <= 1) & (label >= 0) & (label <= 1) & (share >= 0)
        if not bool((sound & share.isfinite() | ~mask).all()):
            _refuse(prob[mask], label[mask])
        cell = (classes * 2 + (prob >= 0.5)) * 2 + (label >= 0.5)
        taught = torch.where(mask, share, 0.0).double()
        sums = counted(cell, mask, 12), counted(cell, taught > 0, 12), summed(cell, taught, 12)
        particle_weight = float((taught * torch.where(mask, label, 0.0)).sum())
        pixels, kept, weights = (part.reshape(3, 2, 2).cpu().numpy() for part in sums)
        return cls(pixels, kept, weights, particle_weight)

    @classmethod
    def from_bins(
        cls,
        counts: IntArray,
        probability: FloatArray,
        target: FloatArray,
        weight: FloatArray,
        kept: FloatArray,
    ) -> "WeightTally":
        """Add up the bins of a histogram of p.

        Parameters
        ----------
        counts
            Pixels by true class and bin, shape (3, bins).
        probability, target, weight, kept
            Of each bin p, the mean target and weight, and the share with a weight above 0.
        """
        group = 2 * (probability >= 0.5) + (target >= 0.5)

        def by_class(values: FloatArray) -> FloatArray:
            rows = [np.bincount(group, weights=row * values, minlength=4) for row in counts]
            return np.stack(rows).astype(np.float64).reshape(3, 2, 2)

        return cls(
            by_class(np.ones(len(group))).round().astype(np.int64),
            by_class(kept).round().astype(np.int64),
            by_class(weight),
            float((counts.sum(axis=0) * weight) @ target),
        )

    def __add__(self, other: "WeightTally") -> "WeightTally":
        return WeightTally(
            self.pixels + other.pixels,
            self.kept + other.kept,
            self.weight + other.weight,
            self.particle_weight + other.particle_weight,
        )

    def rates(self, *, prior: float | None = None) -> Rates:
        """Return the row of `ProbabilityHistogram.table`, with mean weights for kept shares.

        ``particle_share`` is the share of particle mass (weight times target) in the weight.
        ``pseudo_precision`` is weighted; ``pseudo_recall`` counts pixels with a weight above 0.
        """
        total, weight = self.pixels.sum(axis=2), self.weight.sum(axis=2)
        labelled = self.weight[:UNKNOWN, :, PARTICLE].sum(axis=1)
        background_known = total[BACKGROUND].sum() > 0  # else nothing could be found to be wrong
        found = self.kept[PARTICLE, :, PARTICLE].sum()
        return class_rates(
            total,
            weight,
            particle_share=divide(self.particle_weight, weight.sum()),
            pseudo_precision=divide(labelled[PARTICLE], background_known * labelled.sum()),
            pseudo_recall=divide(found, total[PARTICLE].sum()),
            prior=prior,
        )


def require_one_shape(first: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Refuse maps of two shapes, which indexing might let pass."""
    if first != other:
        raise CryofixError(
            f"maps of shapes {tuple(first)} and {tuple(other)} cannot be compared pixel by pixel: "
            "scale or crop them to one grid"
        )


def _refuse(prob: Tensor, label: Tensor) -> None:
    """Say which of the valid values are wrong."""
    checked_scores(prob.cpu().numpy(), "teacher probabilities")
    checked_scores(label.cpu().numpy(), "pseudo-label targets")
    raise CryofixError(
        "a masking policy gave a pixel a weight that is negative, NaN or infinite: "
        "weights are at least 0, and 0 ignores the pixel"
    )
