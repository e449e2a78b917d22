"""The records that go into and come out of a policy.

Notation of all docstrings in this package: ``p`` is the teacher's particle probability on the
weakly augmented view, ``c = max(p, 1 - p)`` its confidence, ``y = [p >= 0.5]`` the predicted class
(1 particle, 0 background), ``pi`` the prior share of particle pixels, ``t`` the target and ``w``
the weight that the student's unlabelled loss gives a pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor

from cryofix.errors import CryofixError

__all__ = ["PolicyContext", "ProbMap", "PseudoLabels", "Selection", "ValidMap"]

#: p of one batch as a policy's own methods get it.
ProbMap: TypeAlias = Float32[Tensor, "batch 1 height width"]
#: True where a pixel counts.
ValidMap: TypeAlias = Bool[Tensor, "batch 1 height width"]


@dataclass(frozen=True)
class PseudoLabels:
    """What the student learns from one unlabelled batch.

    Attributes
    ----------
    target
        What to predict, in [0, 1], shape (batch, 1, height, width), float32.
    weight
        How much each pixel counts, >= 0, same shape; 0 is ignored, and invalid pixels are 0.
    scalars
        Zero-dimensional float32 tensors worth a curve (thresholds, means, shifts). Where a
        policy keeps by thresholds on p, ``particle_threshold`` is the lowest p kept as particle
        and ``background_threshold`` the highest p kept as background.
    student_logit_shift
        Zero-dimensional; added to the student's logits in the unlabelled loss. None is zero.
    """

    target: Float32[Tensor, "batch 1 height width"]
    weight: Float32[Tensor, "batch 1 height width"]
    scalars: dict[str, Float32[Tensor, ""]]
    student_logit_shift: Float32[Tensor, ""] | None = None


@dataclass(frozen=True)
class PolicyContext:
    """What a policy may know besides the unlabelled probabilities.

    Attributes
    ----------
    prior
        pi: share of particle pixels among valid pixels, from the labelled micrographs; in (0, 1).
    progress
        Where training stands in the FixMatch stage, from 0 to 1.
    labelled_prob
        The teacher's p on the weak view of the labelled tiles of this step, shape (tiles, 1, rows,
        columns); None in most steps, and for policies without ``uses_labels``.
    labelled_target
        Their truth, 0 or 1, same shape.
    labelled_valid
        True where that truth is known and the tile was not placed for the sake of a particle, so
        that means are those of the micrographs; same shape.
    seed
        Differs from step to step; stochastic policies are deterministic in it.
    supervised_precision
        Pixel precision at 0.5 of the supervised model on validation, in [0, 1]; None if unknown.

    Raises
    ------
    CryofixError
        If ``prior`` is not inside (0, 1) or ``progress`` not inside [0, 1].
    """

    prior: float = 0.04
    progress: float = 0.0
    labelled_prob: Float[Tensor, "tiles 1 rows columns"] | None = None
    labelled_target: Shaped[Tensor, "tiles 1 rows columns"] | None = None
    labelled_valid: Bool[Tensor, "tiles 1 rows columns"] | None = None
    seed: int = 0
    supervised_precision: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.prior < 1.0:
            raise CryofixError(
                f"The prior share of particle pixels is {self.prior}, and has to lie between 0 and "
                "1: give labelled micrographs that have both particles and background."
            )
        if not 0.0 <= self.progress <= 1.0:
            raise CryofixError(
                f"The progress through the FixMatch stage is {self.progress}, and has to lie in "
                "[0, 1]: divide the step by the number of steps of the stage."
            )

    def known(self) -> Bool[Tensor, "tiles 1 rows columns"]:
        """Return true at the labelled pixels; only where there is a labelled batch."""
        if self.labelled_prob is None:
            raise ValueError("There is no labelled batch in this context.")
        if self.labelled_valid is None:
            return torch.ones_like(self.labelled_prob, dtype=torch.bool)
        return self.labelled_valid


@dataclass(frozen=True)
class Selection:
    """What a policy's `MaskingPolicy.select` decides; the base class makes the targets of it.

    Attributes
    ----------
    weight
        w, bool or float, shape of the probabilities. Invalid pixels need no care.
    positive
        The hard label where it is not ``believed >= 0.5``.
    believed
        The probability to make targets of, where it is not the teacher's own (alignment, shift).
    scalars
        Numbers worth logging.
    student_logit_shift
        See `PseudoLabels`.
    """

    weight: Shaped[Tensor, "batch 1 height width"]
    positive: Bool[Tensor, "batch 1 height width"] | None = None
    believed: Float32[Tensor, "batch 1 height width"] | None = None
    scalars: Mapping[str, float | Tensor] = field(default_factory=dict)
    student_logit_shift: Float32[Tensor, ""] | None = None

    def labels(self, prob: ProbMap) -> ValidMap:
        """Return true where the hard label is particle, given the teacher's p."""
        if self.positive is not None:
            return self.positive
        return (prob if self.believed is None else self.believed) >= 0.5
