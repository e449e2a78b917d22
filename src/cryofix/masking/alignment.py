"""Policies that move the teacher's log-odds, by prior or by mean prediction, and then threshold."""

import math
from typing import Unpack

import torch

from cryofix.masking.checks import require, require_threshold
from cryofix.masking.policy import (
    LABELS_EVERY,
    Common,
    MaskingPolicy,
    PolicyContext,
    Probs,
    Selection,
    Valid,
)
from cryofix.masking.probability import confidence, log_odds, scalar, shifted
from cryofix.masking.ranks import exact_sums
from cryofix.masking.running import RunningMean


class AdaMatch(MaskingPolicy):
    """Align to the model's own mean on labelled data, then threshold relative to it.

    AdaMatch, Berthelot et al. 2022: ``p~ = normalise(p * E_labelled[p] / E[p])``,
    which for two classes adds ``logit(E_labelled[p]) - logit(E[p])`` to the log-odds, and
    ``w = [max(p~, 1 - p~) >= tau * E_labelled[c]]``, ``t = [p~ >= 0.5]``. All three means are of
    the teacher, over tiles placed without regard to particles, so that they differ where the
    micrographs do. They are moving averages, for a few tiles are no sample. Until labelled
    tiles were seen the prior stands for ``E_labelled[p]`` and 1 for ``E_labelled[c]``.

    Parameters
    ----------
    threshold
        tau, relative to the mean confidence on labelled data.
    decay
        Of the moving averages in a step, see `running.RunningMean`.

    Notes
    -----
    Use it where labelled and unlabelled micrographs differ in their share of particles. A rare
    class is aligned with the labelled mean and then meets one threshold for both classes, which can
    still starve it.
    """

    name = "adamatch"
    uses_labels = True

    def __init__(
        self, threshold: float = 0.9, decay: float = 0.999, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        self.threshold = require_threshold("threshold", threshold)
        self.unlabelled = RunningMean(0.5, decay=decay)  # E[p]
        # E_labelled[p], E_labelled[c], moved more rarely
        self.labelled = RunningMean(0.5, 1.0, decay=decay**LABELS_EVERY)

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.unlabelled.move(*exact_sums((prob, valid)))
        if context.labelled_prob is not None:
            known = context.known()
            seen = torch.where(known, context.labelled_prob.detach().float(), 0.5)
            self.labelled.move(*exact_sums((seen, known), (confidence(seen), known)))

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        mean_labelled = torch.where(
            self.labelled.updates[0] > 0, self.labelled.value[0], context.prior
        )
        shift = log_odds(mean_labelled) - log_odds(self.unlabelled.value[0])
        tau = self.threshold * self.labelled.value[1]
        return _symmetric_after(prob, shift, tau)

    def rule(self) -> str:
        kept = (
            "shifts log-odds so that mean p is that on labelled tiles, then keeps "
            f"max(p, 1-p) >= {self.threshold:g} x the mean confidence there"
        )
        return f"{kept}, which is at most 0.5: no mask" if self.threshold <= 0.5 else kept


class Debiased(MaskingPolicy):
    """Take out the teacher's bias towards its favourite class, and teach the student a margin.

    DebiasPL, Wang et al. 2022: ``z~ = z - lambda * log(q / (1 - q))`` with q the
    moving average of p, then ``w = [c~ >= tau]``, ``t = [p~ >= 0.5]``; the student's logits in
    the loss get ``+ lambda * log(q / (1 - q))``. With ``strength`` 1 the pseudo-labels aim at a
    uniform prior, far above that of particles.

    Parameters
    ----------
    strength
        lambda; 0 is `Symmetric`.
    threshold
        tau, on the shifted confidence.
    decay
        Of q, see `running.RunningMean`.

    Notes
    -----
    Use it to lift a class that the teacher neglects. It raises a rare class, and with a `strength`
    of 1 far above its prior.
    """

    name = "debiased"

    def __init__(
        self,
        strength: float = 0.5,
        threshold: float = 0.7,
        decay: float = 0.999,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        require(strength >= 0, "strength", strength, "give a number of at least 0, such as 0.5")
        self.strength = float(strength)
        self.threshold = require_threshold("threshold", threshold)
        self.mean = RunningMean(0.5, decay=decay)

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.mean.move(*exact_sums((prob, valid)))

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        margin = self.strength * log_odds(self.mean.value[0])
        return _symmetric_after(prob, -margin, self.threshold, student_logit_shift=margin)

    def rule(self) -> str:
        if self.strength == 0:
            return f"strength 0 shifts nothing, so this is symmetric masking at {self.threshold:g}"
        return (
            f"lowers log-odds by {self.strength:g} x those of mean p, keeps max(p, 1-p) >= "
            f"{self.threshold:g} after that, and gives the student the same as a margin"
        )


class LogitAdjusted(MaskingPolicy):
    """Predict as if both classes were equally frequent, then threshold.

    Menon et al. 2021, post-hoc adjustment: ``z~ = z - tau * log(pi / (1 - pi))``, then
    ``w = [c~ >= threshold]``, ``t = [p~ >= 0.5]``.

    Parameters
    ----------
    strength
        tau of the paper; 0 is `Symmetric`, 1 takes out the prior wholly.
    threshold
        On the shifted confidence.

    Notes
    -----
    Use it where recall counts more than precision. It lifts a rare class by the whole prior, so
    that false particles are taught as well.
    """

    name = "logit_adjusted"

    def __init__(
        self, strength: float = 1.0, threshold: float = 0.7, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        require(
            strength >= 0, "strength", strength, "give a number of at least 0; 1 is the paper's"
        )
        self.strength = float(strength)
        self.threshold = require_threshold("threshold", threshold)

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        shift = -self.strength * math.log(context.prior / (1.0 - context.prior))
        return _symmetric_after(prob, scalar(shift, prob), self.threshold)

    def rule(self) -> str:
        if self.strength == 0:
            return f"strength 0 shifts nothing, so this is symmetric masking at {self.threshold:g}"
        return (
            f"lowers log-odds by {self.strength:g} x those of the prior, then keeps "
            f"max(p, 1-p) >= {self.threshold:g}"
        )


def _symmetric_after(
    prob: torch.Tensor,
    shift: torch.Tensor,
    tau: float | torch.Tensor,
    student_logit_shift: torch.Tensor | None = None,
) -> Selection:
    """Return symmetric masking of the shifted probabilities, with its thresholds on p itself."""
    believed = shifted(prob, shift)
    cut = torch.logit(scalar(tau, prob).clamp(min=0.5))
    return Selection(
        weight=confidence(believed) >= tau,
        believed=believed,
        scalars={
            "logit_shift": shift,
            "particle_threshold": torch.sigmoid(cut - shift),
            "background_threshold": torch.sigmoid(-cut - shift),
        },
        student_logit_shift=student_logit_shift,
    )
