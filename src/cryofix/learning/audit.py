"""The audit: what one batch of pseudo-labels teaches of each class, whatever the policy."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cryofix.distributed import gathered
from cryofix.learning.losses import unlabelled_push
from cryofix.masking import PseudoLabels
from cryofix.metrics.curves import IntArray
from cryofix.metrics.device_counts import counted
from cryofix.metrics.rates import PARTICLE, UNKNOWN, Rates, WeightTally, divide

LOG_ODDS_LIMIT = 12.0  # p from 6e-6 to 1 - 6e-6; what lies beyond is counted at the ends
LOG_ODDS_STEPS = 4  # bins for each unit of log-odds
LOG_ODDS_BINS = int(2 * LOG_ODDS_LIMIT * LOG_ODDS_STEPS)


@dataclass(frozen=True)
class Audit:
    """What was found in the batch of all processes."""

    rates: Rates
    """Those of `rates.WeightTally.rates`, and ``mean_p``, ``predicted_positive``
    (share of p >= 0.5), ``disagreement`` (share of pixels to which student and teacher give
    different classes), ``gradient_particle_share`` and ``gradient_background_share``. None where
    there is nothing to divide by."""
    log_odds: IntArray
    """Histogram of log(p / (1 - p)), int64, shape (3, LOG_ODDS_BINS): true class (background,
    particle, unknown), even bins from -LOG_ODDS_LIMIT to LOG_ODDS_LIMIT."""


@torch.no_grad()
def audit(
    batch: Mapping[str, Tensor],
    prob: Tensor,
    pseudo: PseudoLabels,
    logits: Tensor,
    *,
    prior: float,
    normaliser: str,
    loss: str = "bce",
) -> Audit:
    """Measure what the mask keeps of each class, and what that makes of the gradient.

    All processes come to the same numbers, because the guard of each acts on them.

    Parameters
    ----------
    batch
        Unlabelled tiles; ``target`` counts where ``known``.
    prob
        Teacher's p on the weak view, (batch, 1, height, width), float32.
    pseudo
        What the policy made of it.
    logits
        Student's on the strong view, as they entered the loss; same shape.
    prior
        Share of particle pixels.
    normaliser
        Of the unlabelled loss; with ``class`` each class is divided by its own weights.
    loss
        ``bce`` or ``mse``.
    """
    valid = batch["valid"]
    classes = torch.where(batch["known"], (batch["target"] >= 0.5).long() * PARTICLE, UNKNOWN)
    seen = valid & batch["visible"]
    weight = pseudo.weight * seen
    push = weight * unlabelled_push(logits, pseudo.target, loss)
    particle = pseudo.target >= 0.5
    shift = 0.0 if pseudo.student_logit_shift is None else pseudo.student_logit_shift
    sums = torch.stack(
        [
            part.sum(dtype=torch.float64)
            for part in (
                valid,
                prob * valid,
                (prob >= 0.5) & valid,
                ((logits - shift >= 0) != (prob >= 0.5)) & valid,
                push * particle,
                push * ~particle,
                weight * particle,
                weight * ~particle,
            )
        ]
    )
    parts = gathered(
        (
            WeightTally.from_arrays(prob, pseudo.target, pseudo.weight, classes, valid),
            _log_odds(valid, classes, prob),
            sums.cpu().numpy(),
        )
    )
    tallies, histograms, all_sums = zip(*parts, strict=True)
    pixels, total_p, positive, disagreeing, *gradient = np.sum(all_sums, axis=0).tolist()
    pushes, weights = gradient[:2], gradient[2:]
    if normaliser == "class":
        pushes = [divide(*each) or 0.0 for each in zip(pushes, weights, strict=True)]
    rates = sum(tallies, WeightTally.empty()).rates(prior=prior) | {
        "mean_p": divide(total_p, pixels),
        "predicted_positive": divide(positive, pixels),
        "disagreement": divide(disagreeing, pixels),
        "gradient_particle_share": divide(pushes[0], sum(pushes)),
        "gradient_background_share": divide(pushes[1], sum(pushes)),
    }
    return Audit(rates, np.sum(histograms, axis=0))


def _log_odds(valid: Tensor, classes: Tensor, prob: Tensor) -> IntArray:
    """Count pixels by true class and log-odds."""
    # logit's eps keeps 0 and 1 finite; the clamp after it keeps them inside the last bins.
    steps = (torch.logit(prob, eps=1e-7) + LOG_ODDS_LIMIT) * LOG_ODDS_STEPS
    bins = steps.long().clamp(0, LOG_ODDS_BINS - 1)
    counts = counted(classes * LOG_ODDS_BINS + bins, valid, 3 * LOG_ODDS_BINS)
    return counts.reshape(3, LOG_ODDS_BINS).cpu().numpy()
