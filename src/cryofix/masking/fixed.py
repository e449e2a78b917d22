"""Policies without state: the same probability gets the same weight all through training."""

from typing import Unpack

import torch

from cryofix.errors import CryofixError
from cryofix.masking.checks import require, require_threshold
from cryofix.masking.policy import Common, MaskingPolicy, PolicyContext, Probs, Selection, Valid
from cryofix.masking.probability import confidence


class NoMask(MaskingPolicy):
    """Keep every pixel: ``w = 1``, pseudo-labelling as in Lee 2013.

    With ``target="soft"`` this is consistency training: the student's log-odds have no
    first-order drift.

    Notes
    -----
    Use it as the reference for other masks, or with soft targets where few labels have to go far. A
    rare class stays, with the teacher's errors in it; with hard targets its share becomes that of
    the pixels with p >= 0.5.
    """

    name = "none"

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        return Selection(weight=torch.ones_like(prob))

    def rule(self) -> str:
        return "keeps every pixel"


class Symmetric(MaskingPolicy):
    """One confidence threshold for both classes: ``w = [c >= tau]``, ``t = y``.

    FixMatch, Sohn et al. 2020, eq. 4. ``|p - 0.5| + 0.5`` is ``c``, so a rule written with it is
    this one; ``tau <= 0.5`` keeps all.

    Parameters
    ----------
    threshold
        tau, a probability; 0.70 in the reference run, 0.95 in FixMatch.
    at_least_precision
        Raise tau to the supervised model's precision on validation:
        ``tau = max(threshold, precision)``.

    Notes
    -----
    Use it to reproduce FixMatch and its collapse. It starves a rare class, because a weak teacher
    is less sure of its particles than of its background.
    """

    name = "symmetric"

    def __init__(
        self, threshold: float = 0.70, at_least_precision: bool = False, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        self.threshold = require_threshold("threshold", threshold)
        self.at_least_precision = at_least_precision

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        tau = self._tau(context)
        return Selection(
            weight=confidence(prob) >= tau,
            scalars={
                "particle_threshold": max(tau, 0.5),
                "background_threshold": min(1.0 - tau, 0.5),
            },
        )

    def _tau(self, context: PolicyContext) -> float:
        if not self.at_least_precision:
            return self.threshold
        if context.supervised_precision is None:
            raise CryofixError(
                "mask.at_least_precision is true, and the precision of the supervised model on "
                "validation is not known here: run the supervised stage with validation "
                "micrographs first, or set mask.at_least_precision to false."
            )
        # A model that predicts no particle has no precision (NaN), and then the threshold stands.
        precision = context.supervised_precision
        return precision if precision > self.threshold else self.threshold

    def rule(self) -> str:
        tau = f"{self.threshold:g}"
        if self.at_least_precision:
            return f"keeps pixels with max(p, 1-p) >= max({tau}, the supervised precision)"
        if self.threshold <= 0.5:
            return (
                f"keeps pixels with max(p, 1-p) >= {tau}, which is all: threshold {tau} is no mask"
            )
        return f"keeps pixels with max(p, 1-p) >= {tau}"


class ClassAware(MaskingPolicy):
    """A threshold for each class: ``w = [p >= tp] + [p <= tb]``, ``t = y``.

    Asymmetric when ``tb < 1 - tp``; with tb equal to 1 - tp it is `Symmetric` at tp, bit for bit.
    Where a threshold lies beyond 0.5 (tp < 0.5 or tb > 0.5) the label is the side that kept the
    pixel and not ``y``. Otherwise what is kept as a class would not be taught as that class.

    Parameters
    ----------
    particle_threshold
        tp: at and above it a pixel is kept as particle.
    background_threshold
        tb: at and below it a pixel is kept as background; not above tp.

    Notes
    -----
    Use it where the teacher's probabilities are known, with thresholds from `cryofix.diagnose`. It
    holds a rare class as long as the teacher stays as it was measured, because its thresholds do
    not follow.
    """

    name = "class_aware"

    def __init__(
        self,
        particle_threshold: float = 0.60,
        background_threshold: float = 0.20,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.particle_threshold = require_threshold("particle_threshold", particle_threshold)
        self.background_threshold = require_threshold("background_threshold", background_threshold)
        require(
            background_threshold <= particle_threshold,
            "background_threshold",
            background_threshold,
            f"it may not lie above mask.particle_threshold, which is {particle_threshold!r}; a "
            "pixel between them would be kept as both classes",
        )

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        particle = prob >= self.particle_threshold
        # Compared as the probability of background, so that rounding is that of max(p, 1-p).
        background = 1.0 - prob >= 1.0 - self.background_threshold
        return Selection(
            weight=particle | background,
            positive=particle | (~background & (prob >= 0.5)),
            scalars={
                "particle_threshold": self.particle_threshold,
                "background_threshold": self.background_threshold,
            },
        )

    def rule(self) -> str:
        tp, tb = self.particle_threshold, self.background_threshold
        kept = f"keeps particles with p >= {tp:g} and background with p <= {tb:g}"
        if abs(tb - (1.0 - tp)) > 1e-9:
            return kept
        same = "no mask" if tp <= 0.5 else f"symmetric masking at {tp:g}"
        return f"{kept}: background threshold = 1 - particle threshold, so this is {same}"


class SoftWeight(MaskingPolicy):
    """Weigh by confidence and remove nothing: ``w = (2c - 1)^gamma``, ``t = y``.

    Parameters
    ----------
    gamma
        0 weighs all pixels alike (no mask); the larger, the nearer to keeping certain pixels only.

    Notes
    -----
    Use it where no pixel shall be dropped. A rare class weighs less than its share while the
    teacher is unsure of it, and never nothing.
    """

    name = "soft_weight"
    hard_mask = False

    def __init__(self, gamma: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        require(gamma >= 0, "gamma", gamma, "give a number of at least 0; 1 is linear in |2p-1|")
        self.gamma = float(gamma)

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        return Selection(weight=(2.0 * confidence(prob) - 1.0) ** self.gamma)

    def rule(self) -> str:
        kept = f"weighs every pixel with |2p-1|^{self.gamma:g}"
        return f"{kept}, which is 1: gamma 0 is no mask" if self.gamma == 0 else kept
