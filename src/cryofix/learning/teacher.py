"""The running average of the student: the model that is evaluated, and the usual teacher."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def average_of(student: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a network, in eval mode and without gradients.

    After its k-th update it is ``m * average + (1 - m) * student`` with
    ``m = min(1 - 1 / (k + 1), decay)``, so early steps are a plain mean instead of a memory of the
    initial weights (Tarvainen & Valpola 2017). Batch norms' running statistics are averaged too.
    """

    def move(
        averages: list[Tensor] | tuple[Tensor, ...],
        currents: list[Tensor] | tuple[Tensor, ...],
        updates: Tensor | int,
    ) -> None:
        kept = min(1 - 1 / (int(updates) + 1), decay)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(list(averages), list(currents), 1 - kept)
        else:
            for average, current in zip(averages, currents, strict=True):
                average.copy_(current)

    averaged = AveragedModel(student, multi_avg_fn=_without_grad(move), use_buffers=True)
    averaged.requires_grad_(False)
    return averaged.eval()


def _without_grad(function: Any) -> Any:
    return torch.no_grad()(function)


class EvalOnly(nn.Module):
    """Keep a module in eval mode whatever ``train()`` says.

    Lightning puts the whole module in train mode before each epoch; a teacher whose batch norms
    follow its own inputs would be another model than the one that is evaluated.
    """

    def __init__(self, module: AveragedModel) -> None:
        super().__init__()
        self.average = module

    def train(self, mode: bool = True) -> "EvalOnly":
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the averaged network's logits."""
        logits: Tensor = self.average(images)
        return logits

    def update(self, student: nn.Module) -> None:
        """Move the average by one step of the student."""
        self.average.update_parameters(student)

    @property
    def network(self) -> nn.Module:
        """The averaged network itself."""
        return self.average.module
