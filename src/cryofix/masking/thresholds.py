"""Policies with a confidence threshold for each predicted class that follows the teacher."""

from typing import Unpack

import torch
from torch import Tensor

from cryofix.masking.checks import require_threshold
from cryofix.masking.policy import Common, MaskingPolicy, PolicyContext, Probs, Selection, Valid
from cryofix.masking.probability import confidence, scalar
from cryofix.masking.ranks import exact_sums
from cryofix.masking.running import RunningMean
from cryofix.masking.running_histogram import Histogram


class FlexMatch(MaskingPolicy):
    """Lower the threshold of the class that is learnt less.

    FlexMatch, Zhang et al. 2021: ``b_k`` = share of pixels of predicted class k with
    ``c >= tau``, over the larger class's share or that of pixels below tau, whichever is largest
    (the warm-up); ``w = [c >= tau * b_y / (2 - b_y)]``, ``t = y``. A class threshold at or below
    0.5 keeps all that is predicted as the class: nothing caps the runaway of a rare class.

    Parameters
    ----------
    threshold
        tau.
    decay
        Of the shares, see `running.RunningMean`.

    Notes
    -----
    Use it to compare with the literature. It lowers the threshold of the rare class, which may then
    flood the micrograph, because nothing caps it.
    """

    name = "flexmatch"

    def __init__(
        self, threshold: float = 0.95, decay: float = 0.99, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        self.threshold = require_threshold("threshold", threshold)
        self.learnt = RunningMean(0.0, 0.0, decay=decay)  # of background, of particle

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        sure, particle = confidence(prob) >= self.threshold, prob >= 0.5
        self.learnt.move(
            *exact_sums(((sure & ~particle).float(), valid), ((sure & particle).float(), valid))
        )

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        learnt = self.learnt.value
        most = torch.maximum(learnt.max(), 1.0 - learnt.sum())
        status = learnt / most.clamp(min=1e-12)
        background, particle = self.threshold * status / (2.0 - status)
        return by_class_confidence(prob, particle, background)

    def rule(self) -> str:
        if self.threshold <= 0.5:
            return f"threshold {self.threshold:g} is no mask, scaled down or not"
        return f"keeps max(p, 1-p) >= {self.threshold:g} scaled down for the class learnt less"


class FreeMatch(MaskingPolicy):
    """A global threshold that is the mean confidence, scaled by class with the mean prediction.

    FreeMatch, Wang et al. 2023: ``tau_k = E[c] * q_k / max(q)`` with
    ``q = (1 - E[p], E[p])``; ``w = [c >= tau_y]``, ``t = y``. Both means are moving averages;
    they start from the first batch where the paper starts from 1/2.

    Parameters
    ----------
    decay
        Of the means, see `running.RunningMean`.

    Notes
    -----
    Use it where no threshold is to be chosen by hand. It keeps nearly all predicted particles and
    filters unsure background, and the rare class can run away to too many.
    """

    name = "freematch"

    def __init__(self, decay: float = 0.999, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.means = RunningMean(0.5, 0.5, decay=decay)  # E[c], E[p]

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.means.move(*exact_sums((confidence(prob), valid), (prob, valid)))

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        mean_confidence, mean_prob = self.means.value
        most = torch.maximum(mean_prob, 1.0 - mean_prob)
        return by_class_confidence(
            prob, mean_confidence * mean_prob / most, mean_confidence * (1.0 - mean_prob) / most
        )

    def rule(self) -> str:
        return "keeps max(p, 1-p) >= its mean, scaled down for the class predicted less"


class Adsh(MaskingPolicy):
    """Give particles the keep rate that background has at a fixed threshold.

    Adsh, Guo and Li 2022: ``w = [c >= tau_y]``, ``t = y``. tau_0 is tau and keeps a share rho of
    background; tau_1 is the ``1 - rho`` quantile of p among the pixels predicted as particle. Equal
    keep rates are zero drift, by construction.

    Parameters
    ----------
    threshold
        tau, for background.
    decay
        Of the histogram of p, see `running_histogram.Histogram`.

    Notes
    -----
    Use it where the teacher changes during training and fixed thresholds would not follow. A rare
    class keeps the share that is predicted, neither starved nor fed.
    """

    name = "adsh"

    def __init__(
        self, threshold: float = 0.95, decay: float = 0.99, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        self.threshold = require_threshold("threshold", threshold)
        self.histogram = Histogram(decay)

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.histogram.move(prob, valid)

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        background = self.histogram.share_below(0.5)
        kept_background = self.histogram.share_below(min(1.0 - self.threshold, 0.5))
        rate = (kept_background / background.clamp(min=1e-12)).clamp(max=1.0)
        particle = self.histogram.highest(rate * (1.0 - background)).value
        return by_class_confidence(prob, particle, self.threshold)

    def rule(self) -> str:
        if self.threshold <= 0.5:
            return f"threshold {self.threshold:g} is no mask: all background, so all particles"
        return (
            f"keeps background with 1-p >= {self.threshold:g} and the same share of the predicted "
            "particles, the surest first"
        )


def by_class_confidence(
    prob: Tensor, particle: float | Tensor, background: float | Tensor
) -> Selection:
    """Keep pixels whose confidence reaches that of their predicted class."""
    particle, background = (scalar(value, prob).clamp(min=0.5) for value in (particle, background))
    return Selection(
        weight=confidence(prob) >= torch.where(prob >= 0.5, particle, background),
        scalars={"particle_threshold": particle, "background_threshold": 1.0 - background},
    )
