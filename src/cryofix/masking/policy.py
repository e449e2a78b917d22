"""What every masking policy gets, gives and shares.

Notation of all docstrings in this package: ``p`` is the teacher's particle probability on the
weak view, ``c = max(p, 1 - p)`` its confidence, ``y = [p >= 0.5]`` the predicted class (1 is
particle, 0 is background), ``pi`` the prior share of particle pixels, ``t`` the target and ``w``
the weight that the student's unlabelled loss gives a pixel.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias, TypedDict

import torch
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor, nn

from cryofix.errors import CryofixError
from cryofix.masking.checks import require
from cryofix.masking.probability import scalar, sharpened

#: p of one batch as a policy's own methods get it.
Probs: TypeAlias = Float32[Tensor, "batch 1 height width"]
#: True where a pixel counts.
Valid: TypeAlias = Bool[Tensor, "batch 1 height width"]

LABELS_EVERY = 5
"""Steps from one look at labelled tiles to the next, for policies with ``uses_labels``."""


@dataclass(frozen=True)
class PseudoLabels:
    """What the student learns from one unlabelled batch."""

    #: What to predict, in [0, 1].
    target: Float32[Tensor, "batch 1 height width"]
    #: How much each pixel counts, >= 0; an ignored or invalid pixel has weight 0.
    weight: Float32[Tensor, "batch 1 height width"]
    #: Numbers worth a curve. Where a policy keeps by thresholds on p, ``particle_threshold`` is
    #: the lowest p kept as particle and ``background_threshold`` the highest kept as background.
    scalars: dict[str, Float32[Tensor, ""]]
    #: Added to the student's logits in the unlabelled loss; None is zero.
    student_logit_shift: Float32[Tensor, ""] | None = None


@dataclass(frozen=True)
class PolicyContext:
    """What a policy may know besides the unlabelled probabilities.

    Raises CryofixError if ``prior`` is not inside (0, 1) or ``progress`` not inside [0, 1].
    """

    #: pi: share of particle pixels among the valid pixels of the labelled micrographs, in (0, 1).
    prior: float = 0.04
    #: Where training stands in the FixMatch stage, from 0 to 1.
    progress: float = 0.0
    #: The teacher's p on the weak view of the labelled tiles of this step. None in most steps, and
    #: for policies without ``uses_labels``.
    labelled_prob: Float[Tensor, "tiles 1 rows columns"] | None = None
    #: Their truth, 0 or 1.
    labelled_target: Shaped[Tensor, "tiles 1 rows columns"] | None = None
    #: True where that truth is known and the tile was not placed for the sake of a particle, so
    #: that means are those of the micrographs.
    labelled_valid: Bool[Tensor, "tiles 1 rows columns"] | None = None
    #: Differs from step to step; stochastic policies are deterministic in it.
    seed: int = 0
    #: Pixel precision at 0.5 of the supervised model on validation, in [0, 1]; None if unknown.
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
    """What a policy's `MaskingPolicy.select` decides; the base class makes the targets of it."""

    #: w. Invalid pixels need no care.
    weight: Shaped[Tensor, "batch 1 height width"]
    #: The hard label where it is not ``believed >= 0.5``.
    positive: Bool[Tensor, "batch 1 height width"] | None = None
    #: The probability to make targets of, where it is not the teacher's own (alignment, shift).
    believed: Float32[Tensor, "batch 1 height width"] | None = None
    scalars: Mapping[str, float | Tensor] = field(default_factory=dict)
    student_logit_shift: Float32[Tensor, ""] | None = None

    def labels(self, prob: Probs) -> Valid:
        """Return true where the hard label is particle, given the teacher's p."""
        if self.positive is not None:
            return self.positive
        return (prob if self.believed is None else self.believed) >= 0.5


class Common(TypedDict, total=False):
    """Keywords that every policy takes, see `MaskingPolicy`."""

    target: str
    temperature: float
    name: str | None


class MaskingPolicy(nn.Module, ABC):
    """Turn teacher probabilities into targets and weights.

    A policy is one subclass with one method, `select`. A policy with state keeps it in buffers, so
    that checkpoints carry it, and moves them in `observe`. Both methods get float32 probabilities
    without gradient, whatever the precision of training, with 0.5 at invalid pixels.

    Raises CryofixError if a value is outside its range; the message names its key in the
    configuration.

    Parameters
    ----------
    target
        ``"hard"`` teaches the class, 0 or 1; ``"soft"`` teaches the probability.
    temperature
        Sharpens soft targets: ``p^(1/T) / (p^(1/T) + (1-p)^(1/T))``; 1 leaves them, towards 0
        they become hard. Without effect on hard targets.
    name
        What results and figures call the policy; by default the name of its file in conf/mask.
    """

    name: str = "policy"
    #: Weights are 0 or 1, so that keep rates say everything about them.
    hard_mask: ClassVar[bool] = True
    #: Whether `PolicyContext.labelled_prob` is looked at; it costs the teacher another pass.
    uses_labels: bool = False
    #: Whether it looks at labelled background, which partial labels do not know.
    uses_background: bool = False

    def __init__(
        self, *, target: str = "hard", temperature: float = 1.0, name: str | None = None
    ) -> None:
        super().__init__()
        if target not in ("hard", "soft"):
            raise CryofixError(f"mask.target is {target!r}: choose hard or soft.")
        require(temperature > 0, "temperature", temperature, "give a number above 0; 1 leaves p")
        self.target = target
        self.temperature = float(temperature)
        if name is not None:
            self.name = name

    @abstractmethod
    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        """Decide the weights, from the current state and without moving it."""

    @abstractmethod
    def rule(self) -> str:
        """Say in a phrase what is kept and taught, and what it degenerates to."""

    def observe(self, prob: Probs, valid: Valid, context: PolicyContext) -> None:
        """Move the buffers by one batch; a policy without state has nothing to do."""

    def forward(
        self, prob: Float[Tensor, "batch 1 height width"], valid: Valid, context: PolicyContext
    ) -> PseudoLabels:
        """Return targets and weights for one batch of ``prob``, p in [0, 1] of any float type.

        ``valid`` is False where the tile has no micrograph under it, or where it is to be ignored.
        """
        with torch.no_grad():
            prob = self._prepared(prob, valid)
            selection = self.select(prob, valid, context)
            if self.target == "hard":
                target = selection.labels(prob).float()
            else:
                believed = prob if selection.believed is None else selection.believed
                target = sharpened(believed, self.temperature)
            scalars = {key: scalar(value, prob).clone() for key, value in selection.scalars.items()}
            return PseudoLabels(
                target=target,
                weight=torch.where(valid, selection.weight.float(), 0.0),
                scalars=scalars,
                student_logit_shift=selection.student_logit_shift,
            )

    def update(
        self, prob: Float[Tensor, "batch 1 height width"], valid: Valid, context: PolicyContext
    ) -> None:
        """Move the state by one unlabelled batch, once a step and before `forward`.

        When torch.distributed is initialised, every rank has to call it: what all ranks saw is
        summed before it enters a moving average, so all keep the same state.
        """
        with torch.no_grad():
            self.observe(self._prepared(prob, valid), valid, context)

    def describe(self) -> str:
        """Return one sentence for the log: the rule, its degeneracies, and the targets."""
        taught = f"{self.target} targets"
        if self.target == "soft" and self.temperature != 1.0:
            taught += f" sharpened with temperature {self.temperature:g}"
        return f"{self.name}: {self.rule()}; {taught}."

    @staticmethod
    def _prepared(prob: Float[Tensor, "batch 1 height width"], valid: Valid) -> Probs:
        # Whatever stands at an invalid pixel, NaN included, cannot reach a target or a statistic.
        return torch.where(valid, prob.detach().float(), 0.5)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "MaskingPolicy":
        # Module.half() or .to(bfloat16) of the model around a policy moves it and leaves the
        # dtype of its state alone: a moving average with decay 0.999 stands still in bfloat16.
        def keeping_dtype(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        super()._apply(keeping_dtype, recurse)  # type: ignore[no-untyped-call] # torch's own method
        return self
