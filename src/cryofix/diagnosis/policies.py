"""What a masking policy makes of a distribution of probabilities."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cryofix.checking import shown
from cryofix.construct import construct
from cryofix.errors import CryofixError
from cryofix.masking import MaskingPolicy, PolicyContext
from cryofix.metrics.bins import BINS, CENTRES, FloatArray
from cryofix.metrics.histogram import ProbabilityHistogram
from cryofix.metrics.rates import Rates, WeightTally, divide

SIDE = 512  # of the square tile of sampled pixels that stands for all
QUICK_SIDE = 256  # the same where a rate to a percent is enough; still more pixels than bins


def build_policy(config: Any) -> MaskingPolicy:
    """Build the policy of a configuration that may come from anybody's checkpoint.

    Raises CryofixError if ``_target_`` is anything else, which is not called, or a keyword is
    unknown, of another type or out of range.
    """
    policy = construct(config, "mask", kind=MaskingPolicy)
    if not isinstance(policy, MaskingPolicy):
        raise CryofixError(f"mask={shown(config)} describes no mask: choose one with mask=NAME")
    return policy


@dataclass(frozen=True)
class Masked:
    """What a policy does to each bin of a histogram."""

    weight: FloatArray
    target: FloatArray
    """Mean weight, and target, of the pixels of each bin, float64, shape (BINS,)."""
    kept: FloatArray
    """Share of its pixels that have a weight above 0."""
    particle_threshold: float | None
    background_threshold: float | None
    """Lowest p kept as particle and highest kept as background, where the policy says so."""
    student_logit_shift: float
    """What the student's logits get in the loss."""
    tally: WeightTally
    """Weights by true and predicted class."""
    policy: MaskingPolicy
    """In the state that it did it in."""

    def rates(self, prior: float | None) -> Rates:
        """Return the row of the keep-rate table."""
        return self.tally.rates(prior=prior)


def apply_policy(
    policy: MaskingPolicy,
    histogram: ProbabilityHistogram,
    context: PolicyContext,
    probability: FloatArray = CENTRES,
    side: int = SIDE,
) -> Masked:
    """Evaluate a policy on all pixels of a histogram.

    The policy's state is taken from a sample of the distribution at even ranks; then it weighs one
    tile of that sample and a pixel of every bin. So masks by thresholds are exact where these are
    multiples of 0.001 on their own side of 0.5, others to a bin's width; random masks are averaged
    over the pixels of a bin. A rule that looks at a tile gives all pixels what it gives this one.

    Parameters
    ----------
    policy, context
        It is copied, not moved, and what it may know.
    histogram, probability
        The pixels, and p of those of each bin, float64, shape (BINS,); moved from ``CENTRES`` to
        ask about another generation.
    side
        Of the tile; its square is to be well above the number of bins.
    """
    sampled = histogram.sample(side * side - BINS) if histogram.pixels else np.zeros(0, np.int64)
    bins = np.concatenate([sampled, np.resize(np.arange(BINS), side * side - len(sampled))])
    prob = torch.from_numpy(probability[bins].astype(np.float32)).reshape(1, 1, side, side)
    everywhere = torch.ones_like(prob, dtype=torch.bool)
    policy = copy.deepcopy(policy)
    if len(sampled):
        from_sample = torch.arange(side * side).reshape(prob.shape) < len(sampled)
        policy.update(prob, from_sample, context)
    labels = policy(prob, everywhere, context)
    weight, target = (part.double().numpy().ravel() for part in (labels.weight, labels.target))
    pixels = np.bincount(bins, minlength=BINS)
    mean_weight, mean_target, kept = (
        np.bincount(bins, weights=values, minlength=BINS) / pixels
        for values in (weight, target, weight > 0)
    )
    scalars = {key: float(value) for key, value in labels.scalars.items()}
    shift = labels.student_logit_shift
    return Masked(
        mean_weight,
        mean_target,
        kept,
        scalars.get("particle_threshold"),
        scalars.get("background_threshold"),
        0.0 if shift is None else float(shift),
        WeightTally.from_bins(histogram.counts, probability, mean_target, mean_weight, kept),
        policy,
    )


def changed(one: Masked, other: Masked, histogram: ProbabilityHistogram) -> float:
    """Return the share of pixels whose weight or label two policies do not agree on."""
    labels = np.where(one.kept * other.kept > 0, np.abs(one.target - other.target), 0.0)
    differs = np.maximum(np.abs(one.weight - other.weight), labels)
    return divide(histogram.total @ np.minimum(differs, 1.0), histogram.pixels) or 0.0
