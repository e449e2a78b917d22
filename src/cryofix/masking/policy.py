"""What every masking policy is and shares; `records` has the notation of all docstrings here."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cryofix.errors import CryofixError
from cryofix.masking.checks import require
from cryofix.masking.probability import scalar, sharpened
from cryofix.masking.pseudo_labels import PolicyContext, ProbMap, PseudoLabels, Selection, ValidMap

__all__ = [
    "LABELS_EVERY",
    "CommonKeywords",
    "MaskingPolicy",
    "PolicyContext",
    "ProbMap",
    "PseudoLabels",
    "Selection",
    "ValidMap",
]


LABELS_EVERY = 5
"""Steps from one look at labelled tiles to the next, for policies with ``uses_labels``."""


class CommonKeywords(TypedDict, total=False):
    """Keywords that every policy takes, see `MaskingPolicy`."""

    target: str
    temperature: float
    name: str | None


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
    #: Whether `PolicyContext.labelled_prob` is looked at; it costs the teacher another pass.
    uses_labels: bool = False

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
    def select(self, prob: ProbMap, valid: ValidMap, context: PolicyContext) -> Selection:
        """Decide the weights, from the current state and without moving it."""

    @abstractmethod
    def rule(self) -> str:
        """Say in a phrase what is kept and taught, and what it degenerates to."""

    def observe(self, prob: ProbMap, valid: ValidMap, context: PolicyContext) -> None:
        """Move the buffers by one batch; nothing to do for a policy without state."""

    def forward(
        self, prob: Float[Tensor, "batch 1 height width"], valid: ValidMap, context: PolicyContext
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
            if self.target == "hard":
                target = selection.labels(prob).float()
            else:
                believed = prob if selection.believed is None else selection.believed
                target = sharpened(believed, self.temperature)
            return PseudoLabels(
                target=target,
                weight=torch.where(valid, selection.weight.float(), 0.0),
                scalars={
                    key: scalar(value, prob).clone() for key, value in selection.scalars.items()
                },
                student_logit_shift=selection.student_logit_shift,
            )

    def update(
        self, prob: Float[Tensor, "batch 1 height width"], valid: ValidMap, context: PolicyContext
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
    def _prepared(prob: Float[Tensor, "batch 1 height width"], valid: ValidMap) -> ProbMap:
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
