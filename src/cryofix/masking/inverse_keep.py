"""The policy that wraps another and takes the class imbalance of its mask out again."""

from dataclasses import replace

import torch

from cryofix.masking.checks import require
from cryofix.masking.fixed import Symmetric
from cryofix.masking.policy import MaskingPolicy, PolicyContext, Probs, Selection, Valid
from cryofix.masking.ranks import exact_sums
from cryofix.masking.running import RunningMean


class InverseKeep(MaskingPolicy):
    """Divide another policy's weights by the keep rate of their class.

    Inverse propensity weighting (Horvitz and Thompson 1952): ``w = w_inner * min(1 / k_y, cap)``
    with k the moving average of the share of pixels labelled as each class that the inner policy
    keeps. The balance of what is learnt becomes that of what is predicted, so the drift of the
    inner mask is gone, as far as the cap lets it.

    Parameters
    ----------
    policy
        The inner policy, a mask that keeps or drops; `Symmetric` by default. Targets are its.
    cap
        Largest factor, at least 1; 1 is the inner policy itself.
    decay
        Of the keep rates, see `running.RunningMean`.
    name
        See `MaskingPolicy`.

    Notes
    -----
    Use it to take the drift out of another mask and keep its choice of pixels. A rare class gets
    the share that is predicted back, as far as the cap allows.
    """

    name = "inverse_keep"
    hard_mask = False

    def __init__(
        self,
        policy: MaskingPolicy | None = None,
        cap: float = 10.0,
        decay: float = 0.99,
        name: str | None = None,
    ) -> None:
        policy = Symmetric() if policy is None else policy
        super().__init__(target=policy.target, temperature=policy.temperature, name=name)
        require(
            policy.hard_mask,
            "policy",
            policy.name,
            "its weights are not 0 or 1, so it has no keep rate; choose a mask such as symmetric",
        )
        require(cap >= 1, "cap", cap, "give a number of at least 1, such as 10")
        self.policy = policy
        self.uses_labels, self.uses_background = policy.uses_labels, policy.uses_background
        self.cap = float(cap)
        self.rates = RunningMean(1.0, 1.0, decay=decay)  # of background, of particle

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.policy.observe(prob, valid, context)
        inner = self.policy.select(prob, valid, context)
        kept, particle = inner.weight.float(), inner.labels(prob)
        self.rates.move(*exact_sums((kept, valid & ~particle), (kept, valid & particle)))

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        inner = self.policy.select(prob, valid, context)
        background, particle = (1.0 / self.rates.value.clamp(min=1e-12)).clamp(max=self.cap)
        return replace(
            inner,
            weight=inner.weight.float() * torch.where(inner.labels(prob), particle, background),
            scalars={**inner.scalars, "particle_factor": particle, "background_factor": background},
        )

    def rule(self) -> str:
        inner = f"{self.policy.name} ({self.policy.rule()})"
        if self.cap == 1:
            return f"cap 1 changes nothing about {inner}"
        return (
            f"weighs by 1 / keep rate of the class, at most {self.cap:g}, what is left by {inner}"
        )
