"""What holds the student's predictions to the prior, beside the pseudo-labels.

Both look at the student on the weak view of the unlabelled tiles, which has no cutout mask and is
that of labelled tiles too; that takes one more pass forward and backward.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cryofix.errors import CryofixError
from cryofix.learning.losses import Maps, Mask, masked_mean, positive_unlabelled_risk
from cryofix.masking.ranks import exact_sums
from cryofix.masking.running import RunningMean

LEAST = 1e-6  # a mean prediction of 0 or 1 has no finite divergence


@dataclass(frozen=True)
class LabelledPart:
    """The student on the labelled tiles of the same step."""

    logits: Maps
    """(batch, 1, height, width), with gradient."""
    target: Maps
    """0 or 1, same shape."""
    valid: Mask
    """True where that is known, same shape."""


class Regulariser(nn.Module, ABC):
    """A term of the loss in the semi-supervised stage.

    Parameters
    ----------
    weight
        Factor of the term; it grows with the ramp of the unlabelled loss.
    supervised_weight
        Factor of the supervised loss once the ramp has reached 1.
    """

    def __init__(self, weight: float, supervised_weight: float = 1.0) -> None:
        super().__init__()
        for key, value in (("weight", weight), ("supervised_weight", supervised_weight)):
            if not value >= 0:
                raise CryofixError(f"regulariser.{key}={value} must not be negative")
        self.weight, self.supervised_weight = weight, supervised_weight

    @abstractmethod
    def forward(self, logits: Maps, valid: Mask, labelled: LabelledPart, prior: float) -> Tensor:
        """Return the term, without its weight: 0-d, the same on all processes.

        ``logits`` are the student's on the weak view of the unlabelled tiles, float32; ``valid``
        pixels count; ``prior`` is the share of particle pixels.
        """


class GeneralisedExpectation(Regulariser):
    """KL(prior || mean prediction): GE-KL of Mann & McCallum 2010, as in Topaz (Bepler 2019).

    The mean is a moving average over batches, because one batch, and all the more one micrograph,
    may well be empty. The value is that of the average; the gradient is what the batch would
    have as all of it.

    ``decay``, in [0, 1), is that of the moving average; 0 looks at each batch alone.
    """

    def __init__(self, weight: float = 1.0, decay: float = 0.9) -> None:
        super().__init__(weight)
        if not 0 <= decay < 1:
            raise CryofixError(f"regulariser.decay={decay} must be at least 0 and below 1")
        self.mean = RunningMean(0.5, decay=decay)

    def forward(self, logits: Maps, valid: Mask, labelled: LabelledPart, prior: float) -> Tensor:
        """Move the average, and return its divergence from the prior."""
        prob = torch.sigmoid(logits)
        with torch.no_grad():
            self.mean.move(*exact_sums((prob.float(), valid)))
        batch = masked_mean(prob, valid.to(prob.dtype))
        average = self.mean.value[0].to(prob.dtype).clamp(LEAST, 1 - LEAST).clone()
        mean = average + batch - batch.detach()
        particle = prior * (math.log(prior) - torch.log(mean))
        background = (1 - prior) * (math.log(1 - prior) - torch.log(1 - mean))
        return particle + background


class NonNegativePU(Regulariser):
    """Risk from labelled particles and unlabelled pixels, never below zero (Kiryo et al. 2017).

    ``pi E_P[l(+)] + max(0, E_U[l(-)] - pi E_P[l(-)])`` with the logistic loss l: P are the
    labelled particles' pixels, U all pixels of the unlabelled tiles, pi the prior. Where the
    second term falls below ``-beta`` the student overfits, and is led back along its negative
    gradient times ``gamma`` (their algorithm 1). A batch without labelled particles says nothing.

    Tiles centred on particles do little harm to P: they show all particles alike, in surroundings a
    few per cent denser than they have. U has no such tiles.

    Give ``supervised_weight`` below 1 where micrographs are picked incompletely: the supervised
    loss teaches background wherever nobody picked, and this one does not.
    """

    def __init__(
        self,
        weight: float = 1.0,
        beta: float = 0.0,
        gamma: float = 1.0,
        supervised_weight: float = 1.0,
    ) -> None:
        super().__init__(weight, supervised_weight)
        if beta < 0 or not 0 <= gamma <= 1:
            raise CryofixError(
                f"regulariser.beta={beta} must not be negative, and regulariser.gamma={gamma}"
                " must lie between 0 and 1"
            )
        self.beta, self.gamma = beta, gamma

    def forward(self, logits: Maps, valid: Mask, labelled: LabelledPart, prior: float) -> Tensor:
        """Return the non-negative risk."""
        particle = labelled.valid & (labelled.target >= 0.5)
        return positive_unlabelled_risk(
            labelled.logits, particle, logits, valid, prior, beta=self.beta, gamma=self.gamma
        )
