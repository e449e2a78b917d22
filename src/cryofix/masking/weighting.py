"""Policies that weigh tiles, confidences or classes instead of cutting at a threshold."""

from typing import Unpack

import torch
from torch import Tensor

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
from cryofix.masking.probability import confidence, log_odds, shifted
from cryofix.masking.ranks import exact_sums, uniform_noise
from cryofix.masking.running import RunningMean


class ImageWeight(MaskingPolicy):
    """Weigh every pixel of a tile with the share of its pixels that are confident.

    ClassMix, Olsson et al. 2021, and ReCo, Liu et al. 2022:
    ``w = mean over the tile of [c >= tau]``, ``t = y``. Within a tile no class is preferred.

    Parameters
    ----------
    threshold
        tau.

    Notes
    -----
    Use it where whole micrographs differ in quality. It is neutral inside a tile; tiles full of
    unsure particles weigh less than empty ones.
    """

    name = "image_weight"
    hard_mask = False

    def __init__(self, threshold: float = 0.968, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.threshold = require_threshold("threshold", threshold)

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        sure = (confidence(prob) >= self.threshold) & valid
        pixels = valid.sum(dim=(1, 2, 3), keepdim=True)
        share = sure.sum(dim=(1, 2, 3), keepdim=True) / pixels.clamp(min=1)
        return Selection(weight=share.expand_as(prob))

    def rule(self) -> str:
        if self.threshold <= 0.5:
            return f"weighs every tile with 1: threshold {self.threshold:g} is no mask"
        return f"weighs a tile with its share of pixels with max(p, 1-p) >= {self.threshold:g}"


class SoftMatch(MaskingPolicy):
    """Weigh by a Gaussian of the confidence after alignment to a uniform prior.

    SoftMatch, Chen et al. 2023: ``w = exp(-min(c' - mu, 0)^2 n^2 / (2 sigma^2))``
    with ``c' = max(p', 1 - p')``, ``p'`` aligned so that its mean would be 1/2 for both classes,
    and mu and sigma^2 the mean and variance of c'; ``t = y`` of the *unaligned* p. As published,
    a pixel whose class the alignment flips is weighed by its confidence in the other class.

    Parameters
    ----------
    width
        n; the larger, the faster weights fall below the mean confidence.
    align
        False weighs by ``c`` itself, which is a monotone function of confidence alone.
    decay
        Of mean and variance, see `running.RunningMean`.

    Notes
    -----
    Use it with the alignment, which lifts a rare class; without the alignment it is a soft form of
    `symmetric` and starves the class alike.
    """

    name = "softmatch"
    hard_mask = False

    def __init__(
        self, width: float = 2.0, align: bool = True, decay: float = 0.999, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        require(width > 0, "width", width, "give a number above 0; 2 is the paper's")
        self.width = float(width)
        self.align = align
        self.mean_prob = RunningMean(0.5, decay=decay)
        self.moments = RunningMean(0.5, 1.0, decay=decay)  # mu, sigma^2

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        self.mean_prob.move(*exact_sums((prob, valid)))
        aligned = self._aligned(prob)
        (total,), (count,) = exact_sums((aligned, valid))
        # Around the mean of this batch and in a second pass: no cancellation, and the same on
        # all ranks since the mean is.
        (squares,), _ = exact_sums(((aligned - total / count.clamp(min=1)) ** 2, valid))
        self.moments.move(torch.stack([total, squares]), torch.stack([count, count]))

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        mean, variance = self.moments.value
        short = (self._aligned(prob) - mean).clamp(max=0.0)
        return Selection(
            weight=torch.exp(-(short**2) * self.width**2 / (2.0 * variance.clamp(min=1e-8))),
            scalars={
                "mean_confidence": mean,
                "confidence_variance": variance,
                "mean_prob": self.mean_prob.value[0],
            },
        )

    def _aligned(self, prob: Tensor) -> Tensor:
        """Return c'."""
        return confidence(shifted(prob, -log_odds(self.mean_prob.value[0])) if self.align else prob)

    def rule(self) -> str:
        if not self.align:
            return (
                "weighs by a Gaussian below the mean confidence without alignment, which looks at "
                "max(p, 1-p) alone: a symmetric threshold with a soft edge"
            )
        return "weighs by a Gaussian below the mean confidence after uniform alignment"


class Bernoulli(MaskingPolicy):
    """Drop pixels of the class that is learnt better, at random.

    Adaptive sampling of AEL, Hu et al. 2021: a pixel of predicted class k is kept with
    probability ``P(w = 1) = ((1 - A_k) / max_j (1 - A_j))^g``, where A_k is the moving average of
    the probability that the teacher gives class k on labelled pixels of class k; ``t = y``. Until
    labelled tiles were seen all are kept.

    Parameters
    ----------
    gamma
        g; 0 keeps all (no mask).
    decay
        Of A in a step, see `running.RunningMean`.

    Notes
    -----
    Use it where background is learnt long before particles. It thins easy background at random, so
    the share of a rare class grows and may end far above the prior.
    """

    name = "bernoulli"
    uses_labels = uses_background = True

    def __init__(self, gamma: float = 1.0, decay: float = 0.999, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        require(gamma >= 0, "gamma", gamma, "give a number of at least 0; 0.5 to 2 is usual")
        self.gamma = float(gamma)
        # A of background, A of particle
        self.learnt = RunningMean(0.5, 0.5, decay=decay**LABELS_EVERY)

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        if context.labelled_prob is None or context.labelled_target is None:
            return
        particle, known = context.labelled_target > 0.5, context.known()
        seen = torch.where(known, context.labelled_prob.detach().float(), 0.5)
        self.learnt.move(*exact_sums((1.0 - seen, known & ~particle), (seen, known & particle)))

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        missing = 1.0 - self.learnt.value
        # A class learnt perfectly is not dropped for ever when the other is as perfect.
        missing = missing.clamp(min=1e-6)
        background, particle = (missing / missing.max()) ** self.gamma
        return Selection(
            weight=uniform_noise(prob, context.seed)
            < torch.where(prob >= 0.5, particle, background),
            scalars={"particle_keep": particle, "background_keep": background},
        )

    def rule(self) -> str:
        if self.gamma == 0:
            return "keeps every pixel with probability 1: gamma 0 is no mask"
        return f"drops pixels of the class learnt better at random, with exponent {self.gamma:g}"
