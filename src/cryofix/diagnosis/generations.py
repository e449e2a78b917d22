"""Teacher after teacher: where the drift of a mask leads.

The model, to first order (a student fitted to what was kept learns the class balance of what was
kept): each generation all log-odds move by

    step = log-odds(class balance of what is taught) - log-odds(class balance of what is believed)

and the mask is then applied to the moved probabilities. *Taught* is the particle share of the
weight, *believed* the predicted-positive share for hard targets and mean p for soft ones. For a
mask that teaches the predicted class this step is exactly the drift, log(particle keep /
background keep); for one that relabels (quota, alignment) it counts the new labels. A margin that a
policy adds to the student's logits in the loss is taken off again.

It is a first-order model: it knows neither the labelled batch, which pulls the student back, nor
changes of ranking. It says what the mask does by itself.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import logit

from cryofix.diagnosis.policies import QUICK_SIDE, Masked, apply_policy
from cryofix.masking import MaskingPolicy, PolicyContext
from cryofix.metrics.bins import LOGITS, MIDDLE, FloatArray
from cryofix.metrics.histogram import ProbabilityHistogram, shift_log_odds
from cryofix.metrics.rates import PARTICLE, divide

COLLAPSED = 0.10  # recall below this is the collapse
MOST_GENERATIONS = 50
AT_REST = 0.01  # a step smaller than this changes no decision worth mentioning
FLOODED = 0.5  # predicted-positive share; more than half of an image is no particle picture


@dataclass(frozen=True)
class Generation:
    """One teacher."""

    number: int
    """0 is the teacher that is diagnosed."""
    shift: float
    """How far log-odds have moved since."""
    recall: float | None
    """Share with p >= 0.5 of the true particle pixels, or without truth of those predicted at the
    start."""
    predicted_share: float
    """Share of all pixels with p >= 0.5."""
    particle_keep: float | None
    background_keep: float | None
    """What the mask keeps of each predicted class; None without pixels."""
    step: float
    """How far log-odds move to the next teacher; -inf where no particle is taught at all."""


@dataclass(frozen=True)
class Course:
    """What becomes of the teacher."""

    outcome: str
    """``collapses`` (recall below 10 %), ``floods`` (more than half of all pixels predicted as
    particle), ``holds`` (comes to rest or swings) or ``drifts`` (none of it in 50 generations)."""
    generations: list[Generation]
    """From the first to the last."""

    @property
    def until(self) -> int:
        """Number of generations to the outcome."""
        return self.generations[-1].number

    @property
    def grows(self) -> bool:
        """Whether the last step is larger than the first: the feedback of a collapse."""
        return abs(self.generations[-1].step) > abs(self.generations[0].step)

    @property
    def swings(self) -> bool:
        """Whether the last two teachers take turns."""
        return self.outcome == "holds" and abs(self.generations[-1].step) >= AT_REST


def balance_step(masked: Masked, probability: FloatArray, total: FloatArray, soft: bool) -> float:
    """Return how far log-odds move when a student is fitted to what is kept.

    0 where nothing is taught or there is nothing to compare with, -inf where only background is
    taught, inf where only particles are.
    """
    taught = divide(masked.tally.particle_weight, masked.tally.weight.sum())
    believed = divide(total @ (probability if soft else probability >= 0.5), total.sum())
    if taught is None or believed is None:
        return 0.0
    ends = logit(np.clip([taught, believed], 0, 1))
    with np.errstate(invalid="ignore"):  # of two infinities
        step = float(ends[0] - ends[1])
    return 0.0 if math.isnan(step) else step - masked.student_logit_shift


def follow(
    policy: MaskingPolicy, histogram: ProbabilityHistogram, context: PolicyContext
) -> Course:
    """Iterate the model until recall is below 10 %, particles flood the image, or it rests.

    ``histogram`` is that of the first teacher. The state of the mask starts afresh in each
    generation.
    """
    total = histogram.total.astype(np.float64)
    reference = histogram.counts[PARTICLE] if histogram.known else histogram.total.copy()
    if not histogram.known:
        reference[:MIDDLE] = 0
    shift, generations = 0.0, list[Generation]()
    outcome = "drifts"
    for number in range(MOST_GENERATIONS + 1):
        probability = shift_log_odds(shift)
        positive = LOGITS + shift >= 0
        here = context
        if context.labelled_prob is not None:  # the next teacher's p moves there too
            moved = torch.sigmoid(torch.logit(context.labelled_prob) + shift)
            here = replace(context, labelled_prob=moved)
        masked = apply_policy(policy, histogram, here, probability, QUICK_SIDE)
        rates = masked.rates(None)
        step = balance_step(masked, probability, total, policy.target == "soft")
        recall = divide(reference[positive].sum(), reference.sum())
        predicted = divide(total[positive].sum(), total.sum()) or 0.0
        keep = rates["particle_keep"], rates["background_keep"]
        generations.append(Generation(number, shift, recall, predicted, *keep, step))
        if recall is None or recall < COLLAPSED:
            outcome = "collapses"
        elif predicted > FLOODED:
            outcome = "floods"
        elif not _at_rest(generations):
            shift += float(np.clip(step, -100, 100))  # beyond it nothing is predicted any more
            continue
        else:
            outcome = "holds"
            if abs(generations[0].step) < AT_REST:
                del generations[1:]  # which confirmed that the first step leads nowhere
        break
    return Course(outcome, generations)


def _at_rest(generations: list[Generation]) -> bool:
    """Whether nothing moves any more, or two generations take turns.

    Steps that grow, however small, are the feedback at its beginning and no rest.
    """
    now = generations[-1]
    if now.step == 0:
        return True
    if len(generations) < 2:
        return False
    before = generations[-2].step
    if abs(now.step) < AT_REST:
        return now.step * before < 0 or abs(now.step) <= abs(before)
    turns = now.step * before < 0 and len(generations) > 2
    return turns and abs(now.shift - generations[-3].shift) < AT_REST / 2
