"""What every masking policy is given, returns and shares: the contract of this package.

Notation of all docstrings here: ``p`` is the teacher's particle probability on the weakly
augmented view, ``c = max(p, 1 - p)`` its confidence, ``y = [p >= 0.5]`` the predicted class
(1 particle, 0 background), ``pi`` the prior share of particle pixels, ``t`` the target and
``w`` the weight that the student's unlabelled loss gives a pixel.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypedDict

import torch
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor, nn

from cryofix.errors import CryofixError

__all__ = ["CommonKeywords", "MaskingPolicy", "PolicyContext", "PseudoLabels", "Selection"]


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
        p on the weak view of the labelled tiles of this step, shape (tiles, 1, rows, columns).
    labelled_target
        Their truth, 0 or 1, same shape.
    labelled_valid
        True where that truth is known, same shape.
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


class CommonKeywords(TypedDict, total=False):
    """Keywords that every policy takes, see `MaskingPolicy`."""

    target: str
    temperature: float
    name: str


class MaskingPolicy(nn.Module, ABC):
    """Turn teacher probabilities into targets and weights.

    A policy is one subclass with one method, `select`; one with state has buffers (and nothing
    else, so that checkpoints carry it) that `observe` moves. Both get float32 probabilities
    without gradient, whatever the precision of training, with 0.5 at invalid pixels.

    Parameters
    ----------
    target
        ``"hard"`` teaches the class, 0 or 1; ``"soft"`` teaches the probability.
    temperature
        Sharpens soft targets: ``p^(1/T) / (p^(1/T) + (1-p)^(1/T))``; 1 leaves them, towards 0
        they become hard. Without effect on hard targets.
    name
        What results and figures call the policy; by default the name of its file in conf/mask.

    Raises
    ------
    CryofixError
        If a value is outside its range; the message names its key in the configuration.
    """

    name: str = "policy"
    #: Weights are 0 or 1, so that keep rates say everything about them.
    hard_mask: ClassVar[bool] = True

    def __init__(
        self,
        *,
        target: str = "hard",
        temperature: float = 1.0,
        name: str | None = None,
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
    def select(
        self,
        prob: Float32[Tensor, "batch 1 height width"],
        valid: Bool[Tensor, "batch 1 height width"],
        context: PolicyContext,
    ) -> Selection:
        """Decide the weights, from the current state and without moving it."""

    @abstractmethod
    def rule(self) -> str:
        """Say in a phrase what is kept and taught, and what it degenerates to."""

    def observe(
        self,
        prob: Float32[Tensor, "batch 1 height width"],
        valid: Bool[Tensor, "batch 1 height width"],
        context: PolicyContext,
    ) -> None:
        """Move the buffers by one batch; nothing to do for a policy without state."""

    def forward(
        self,
        prob: Float[Tensor, "batch 1 height width"],
        valid: Bool[Tensor, "batch 1 height width"],
        context: PolicyContext,
    ) -> PseudoLabels:
        """Return targets and weights for one batch.

        Parameters
        ----------
        prob
            p in [0, 1], any floating dtype.
        valid
            False where the tile has no micrograph under it, or where it is to be ignored.
        context
            Prior, progress and the labelled batch.
        """
        with torch.no_grad():
            prob = self._prepared(prob, valid)
            selection = self.select(prob, valid, context)
            believed = prob if selection.believed is None else selection.believed
            positive = believed >= 0.5 if selection.positive is None else selection.positive
            return PseudoLabels(
                target=positive.float()
                if self.target == "hard"
                else sharpened(believed, self.temperature),
                weight=torch.where(valid, selection.weight.float(), 0.0),
                scalars={
                    key: torch.as_tensor(value, dtype=torch.float32, device=prob.device)
                    for key, value in selection.scalars.items()
                },
                student_logit_shift=selection.student_logit_shift,
            )

    def update(
        self,
        prob: Float[Tensor, "batch 1 height width"],
        valid: Bool[Tensor, "batch 1 height width"],
        context: PolicyContext,
    ) -> None:
        """Move the state by one unlabelled batch, once a step and before `forward`.

        When torch.distributed is initialised, every rank has to call it: what all ranks saw is
        summed before it enters a moving average, so all keep the same state.
        """
        with torch.no_grad():
            self.observe(self._prepared(prob, valid), valid, context)

    def describe(self) -> str:
        """Return one sentence for the log: the rule, its degeneracies, and the targets."""
        taught = {"hard": "hard targets", "soft": "soft targets"}[self.target]
        if self.target == "soft" and self.temperature != 1.0:
            taught += f" sharpened with temperature {self.temperature:g}"
        return f"{self.name}: {self.rule()}; {taught}."

    @staticmethod
    def _prepared(
        prob: Float[Tensor, "batch 1 height width"], valid: Bool[Tensor, "batch 1 height width"]
    ) -> Float32[Tensor, "batch 1 height width"]:
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


def require(holds: bool, key: str, value: Any, remedy: str) -> None:
    """Raise a `CryofixError` that names ``mask.key``, its value and the remedy unless it holds."""
    if not holds:
        raise CryofixError(f"mask.{key} is {value!r}: {remedy}.")


def require_threshold(key: str, value: float) -> float:
    """Return a threshold on a probability, or raise a `CryofixError` if outside [0, 1]."""
    require(0.0 <= value <= 1.0, key, value, "give a probability in [0, 1], for example 0.7")
    return float(value)


def sharpened(prob: Tensor, temperature: float) -> Tensor:
    """Return ``p^(1/T) / (p^(1/T) + (1-p)^(1/T))``, as a sigmoid so that no power underflows."""
    return prob if temperature == 1.0 else torch.sigmoid(torch.logit(prob) / temperature)


def confidence(prob: Tensor) -> Tensor:
    """Return ``c = max(p, 1 - p)``, the probability of the predicted class."""
    return torch.maximum(prob, 1.0 - prob)
