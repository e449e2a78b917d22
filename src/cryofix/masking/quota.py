"""Policies that keep a share of the pixels by rank, whatever the teacher's calibration."""

from typing import Unpack

import torch

from cryofix.masking.checks import require, require_share
from cryofix.masking.policy import Common, MaskingPolicy, PolicyContext, Probs, Selection, Valid
from cryofix.masking.ranks import uniform_noise
from cryofix.masking.running_histogram import Histogram, bin_index


class Cbst(MaskingPolicy):
    """Keep the surest share of each predicted class.

    CBST, Zou et al. 2018: ``w = [c >= tau_y]``, ``t = y``, where tau_k is the confidence that the
    surest ``rho`` of the pixels predicted as k reach; rho grows with training.
    Equal keep rates, so no drift by the mask; the error of the 0.5 cut stays.

    Parameters
    ----------
    share_start, share_end
        rho at the start and the end of the stage, linear between.
    decay
        Of the histogram of p, see `running_histogram.Histogram`.

    Notes
    -----
    Use it where ranks within a class can be trusted more than probabilities. A rare class keeps its
    predicted share; an error of the cut at 0.5 stays.
    """

    name = "cbst"

    def __init__(
        self,
        share_start: float = 0.2,
        share_end: float = 0.5,
        decay: float = 0.99,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.share_start = require_share("share_start", share_start)
        self.share_end = require_share("share_end", share_end)
        self.histogram = Histogram(decay)

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.histogram.move(prob, valid)

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        share = _linear(self.share_start, self.share_end, context.progress)
        background = self.histogram.share_below(0.5)
        lowest = self.histogram.lowest(share * background).value.clamp(max=0.5)
        highest = self.histogram.highest(share * (1.0 - background)).value.clamp(min=0.5)
        return Selection(
            weight=torch.where(prob >= 0.5, prob >= highest, prob <= lowest),
            scalars={"share": share, "particle_threshold": highest, "background_threshold": lowest},
        )

    def rule(self) -> str:
        return f"keeps the surest {_ramp(self.share_start, self.share_end)} of each predicted class"


class Dars(MaskingPolicy):
    """Keep of each predicted class what makes the kept pixels look like the prior.

    DARS, He et al. 2021: ``w = [c >= tau_y]``, ``t = y``, where tau_k keeps the surest
    ``rho * pi_k * N`` pixels of class k. Where a tie (here: one bin of the histogram) would exceed
    that, a random part of it is kept. A class predicted on fewer pixels than its quota is kept
    whole, and then the composition is not the prior.

    Parameters
    ----------
    share
        rho.
    decay
        Of the histogram of p, see `running_histogram.Histogram`.

    Notes
    -----
    Use it where the prior is known and predictions below 0.5 shall never become particles. A rare
    class is held at its prior from above, and falls below it when too few pixels reach 0.5.
    """

    name = "dars"

    def __init__(self, share: float = 0.5, decay: float = 0.99, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.share = require_share("share", share)
        self.histogram = Histogram(decay)

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.histogram.move(prob, valid)

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        highest = self.histogram.highest(self.share * context.prior)
        lowest = self.histogram.lowest(self.share * (1.0 - context.prior))
        index, noise = bin_index(prob), uniform_noise(prob, context.seed)
        return Selection(
            weight=torch.where(
                prob >= 0.5,
                (index > highest.bin) | ((index == highest.bin) & (noise < highest.fraction)),
                (index < lowest.bin) | ((index == lowest.bin) & (noise < lowest.fraction)),
            ),
            scalars={
                "particle_threshold": highest.value.clamp(min=0.5),
                "background_threshold": lowest.value.clamp(max=0.5),
            },
        )

    def rule(self) -> str:
        return (
            f"keeps the surest {self.share:.0%} of what the prior expects of each class, among "
            "what is predicted as it"
        )


class Quota(MaskingPolicy):
    """Teach the highest ranks as particle and the lowest as background, in the prior's ratio.

    CBST's ranks with DARS's composition and without their argmax limit:
    ``t = 1 where p >= Q(1 - r * pi)``, ``t = 0 where p <= Q(r * (1 - pi))``, ``w = 0 elsewhere``,
    with Q the quantile function of p over the unlabelled data. The composition of what is kept is
    pi at every step, whatever the calibration; so the policy is as good as pi is.

    Parameters
    ----------
    share_start, share_end
        r, the share of all pixels that is kept, at the start and the end of the stage.
    prior_factor
        Multiplies the labelled prior, for unlabelled micrographs known to be denser or emptier;
        held inside [0.5, 2].
    decay
        Of the histogram of p, see `running_histogram.Histogram`. Short, because a histogram that
        lags behind a teacher that is losing its particles asks for probabilities that no pixel has
        any more, and all that is kept is background (docs/collapse.md).

    Notes
    -----
    Use it where the prior is known within a factor of two; `experiment=cure` has it. A rare class
    keeps its prior at each step, even if no pixel reaches 0.5.
    """

    name = "quota"

    def __init__(
        self,
        share_start: float = 0.2,
        share_end: float = 0.8,
        prior_factor: float = 1.0,
        decay: float = 0.5,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.share_start = require_share("share_start", share_start)
        self.share_end = require_share("share_end", share_end)
        require(prior_factor > 0, "prior_factor", prior_factor, "give a number from 0.5 to 2")
        self.asked_prior_factor = float(prior_factor)
        self.prior_factor = min(max(self.asked_prior_factor, 0.5), 2.0)
        self.histogram = Histogram(decay)

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.histogram.move(prob, valid)

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        share = _linear(self.share_start, self.share_end, context.progress)
        prior = min(self.prior_factor * context.prior, 1.0)
        highest = self.histogram.highest(share * prior).value
        lowest = self.histogram.lowest(share * (1.0 - prior)).value
        particle = prob >= highest
        # Between the quotas nothing is taught; the label there only says how it is counted.
        between = (prob > lowest) & (prob >= 0.5)
        return Selection(
            weight=particle | (prob <= lowest),
            positive=particle | between,
            scalars={
                "share": share,
                "prior": prior,
                "particle_threshold": highest,
                "background_threshold": lowest,
            },
        )

    def rule(self) -> str:
        kept = (
            f"keeps {_ramp(self.share_start, self.share_end)} of all pixels by rank, the highest "
            "as particles and the lowest as background, in the prior's ratio"
        )
        if self.prior_factor != self.asked_prior_factor:
            return (
                f"{kept}; prior_factor {self.asked_prior_factor:g} is outside [0.5, 2] and held "
                f"at {self.prior_factor:g}"
            )
        if self.prior_factor != 1.0:
            return f"{kept}, which is taken as {self.prior_factor:g} x the labelled one"
        return kept


def _linear(start: float, end: float, progress: float) -> float:
    return start + (end - start) * progress


def _ramp(start: float, end: float) -> str:
    return f"{start:.0%}" if start == end else f"{start:.0%} rising to {end:.0%}"
