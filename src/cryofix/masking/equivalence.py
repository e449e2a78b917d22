"""Find out, by trying, which simpler policy another one is on given probabilities.

Many rules that read differently keep the same pixels: entropy percentiles, an adaptive global
threshold or complementary class thresholds are all symmetric masking. Comparing names or formulas
does not show it; comparing what is kept and taught does.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cryofix.masking.fixed import ClassAware, NoMask, SoftWeight, Symmetric
from cryofix.masking.policy import Common, MaskingPolicy, PolicyContext, PseudoLabels
from cryofix.masking.probability import confidence


@dataclass(frozen=True)
class Equivalent:
    """A policy that weighs the same pixels alike and teaches the same on them."""

    policy: MaskingPolicy
    """The equivalent policy."""
    scale: float
    """The weights of the policy asked about, divided by this one's; not 1 where only the balance
    between pixels is the same."""

    def __str__(self) -> str:
        rule = f"{self.policy.name}, which {self.policy.rule()}"
        return rule if self.scale == 1.0 else f"{rule}; weights are {self.scale:.4g} times its"


def find_equivalents(
    policy: MaskingPolicy,
    prob: Float[Tensor, "batch 1 height width"],
    context: PolicyContext,
    candidates: Iterable[MaskingPolicy] | None = None,
    *,
    valid: Bool[Tensor, "batch 1 height width"] | None = None,
) -> list[Equivalent]:
    """Return the candidates that are the same as ``policy`` on these probabilities.

    Parameters
    ----------
    policy
        The policy to ask about, in its current state, which is not moved.
    prob
        p on tiles to compare on; more and more varied pixels make coincidence less likely.
    context
        What the policies may know.
    candidates
        Policies to compare with. By default the simplest that could be: no mask, and symmetric
        masking, class-aware thresholds and soft weights with the roundest parameters that
        separate what ``policy`` keeps from what it drops.
    valid
        False where a pixel does not count; all count by default.

    Returns
    -------
    list of Equivalent
        In the order of the candidates, by default the simplest first. Targets and weights (up to
        one factor) agree on every valid pixel, to 1e-5. A policy that also shifts the student's
        logits is equivalent only to one with the same shift.
    """
    if valid is None:
        valid = torch.ones_like(prob, dtype=torch.bool)
    labels = policy(prob, valid, context)
    if candidates is None:
        alternatives = _simplest(policy, labels, prob.float()[valid], valid)
    else:
        alternatives = ([candidate] for candidate in candidates)
    found: list[Equivalent] = []
    for group in alternatives:
        for candidate in group:
            scale = _scale(labels, candidate(prob, valid, context))
            if scale is not None:
                found.append(Equivalent(candidate, scale))
                break
    return found


def _scale(labels: PseudoLabels, other: PseudoLabels) -> float | None:
    """Return by which factor the first weights are the second, or None if by no single one."""
    kept = labels.weight > 0
    if not torch.equal(kept, other.weight > 0):
        return None
    shifts = [
        0.0 if each.student_logit_shift is None else each.student_logit_shift.item()
        for each in (labels, other)
    ]
    if abs(shifts[0] - shifts[1]) > 1e-5:
        return None
    if not kept.any():
        return 1.0
    if (labels.target - other.target)[kept].abs().max() > 1e-5:
        return None
    ratio = labels.weight[kept].double() / other.weight[kept].double()
    if ratio.max() > ratio.min() * (1.0 + 1e-5):
        return None
    scale = ratio.median().item()
    return 1.0 if abs(scale - 1.0) < 1e-5 else scale


def _simplest(
    policy: MaskingPolicy, labels: PseudoLabels, prob: Tensor, valid: Tensor
) -> Iterator[list[MaskingPolicy]]:
    """Yield the fixed policies that could explain what is kept, each with other parameters."""
    taught = Common(target=policy.target, temperature=policy.temperature)
    weight, particle = labels.weight[valid], labels.target[valid] >= 0.5
    kept = weight > 0
    yield [NoMask(**taught)]
    if not kept.all():
        dropped, background = prob[~kept], prob[kept & ~particle]
        tau = _between(_highest(confidence(dropped)), _lowest(confidence(prob[kept])))
        yield [Symmetric(each, **taught) for each in tau]
        tp = _between(max(_highest(dropped), _highest(background)), _lowest(prob[kept & particle]))
        # p <= tb is 1 - p >= 1 - tb
        rest = _between(_highest(1.0 - dropped), _lowest(1.0 - background))
        yield [ClassAware(a, 1.0 - b, **taught) for a in tp for b in rest if 1.0 - b <= a]
    gamma = _exponent(2.0 * confidence(prob[kept]) - 1.0, weight[kept])
    if gamma is not None:
        yield [SoftWeight(each, **taught) for each in (round(gamma, 3), gamma)]


def _highest(values: Tensor) -> float:
    return values.max().item() if len(values) else 0.0


def _lowest(values: Tensor) -> float:
    return values.min().item() if len(values) else 1.0


def _between(dropped: float, kept: float) -> list[float]:
    """Return thresholds above ``dropped`` and up to ``kept``: the roundest one, and ``kept``."""
    if dropped >= kept:
        return []
    for decimals in range(1, 8):
        # float32's 0.7 lies below 0.7; whether 0.7 still keeps it is for the comparison to say.
        rounded = min(math.floor((kept + 1e-7) * 10**decimals) / 10**decimals, 1.0)
        if rounded > dropped:
            return [rounded, kept]
    return [kept]


def _exponent(distance: Tensor, weight: Tensor) -> float | None:
    """Return the gamma of ``weight = const * distance^gamma`` through the extremes, if positive."""
    positive = distance > 1e-3
    if not positive.any():
        return None
    distance, weight = distance[positive].double().log(), weight[positive].double().log()
    low, high = distance.argmin(), distance.argmax()
    span = (distance[high] - distance[low]).item()
    gamma = (weight[high] - weight[low]).item() / span if span > 0 else 0.0
    return gamma if gamma > 5e-4 else None
