"""The running average of the student: the model that is evaluated, and the usual teacher."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class RunningAverage(nn.Module):
    """The exponential moving average of a network, always in eval mode and without gradients.

    After its k-th update it is ``m * average + (1 - m) * student`` with
    ``m = min(1 - 1 / (k + 1), decay)``, so early steps are a plain mean instead of a memory of the
    initial weights (Tarvainen & Valpola 2017). Batch norms' running statistics are averaged too.

    Lightning puts the whole module in train mode before each epoch; a teacher whose batch norms
    follow its own inputs would be another model than the one that is evaluated.

    Parameters
    ----------
    student
        Copied, not kept: :meth:`follow` says whose average this is.
    decay
        In [0, 1).
    """

    def __init__(self, student: nn.Module, decay: float) -> None:
        super().__init__()
        self.average = AveragedModel(student, use_buffers=True)
        self.average.requires_grad_(False).eval()
        self.decay = decay
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._updates = 0

    def train(self, mode: bool = True) -> "RunningAverage":
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the averaged network's logits."""
        logits: Tensor = self.average(images)
        return logits

    def follow(self, student: nn.Module) -> None:
        """Remember whose tensors :meth:`update` averages.

        To be called when both networks are on their device and hold what a checkpoint gives them:
        moving a network replaces its buffers.
        """
        own, theirs = (
            [*network.parameters(), *network.buffers()] for network in (self.network, student)
        )
        self._pairs = list(zip(own, theirs, strict=True))
        self._updates = int(self.average.n_averaged)

    @torch.no_grad()
    def update(self) -> None:
        """Move the average by one step of the student.

        AveragedModel.update_parameters does the same and looks for all tensors anew, which takes
        ten times as long as moving them, and reads its counter from the device.
        """
        kept = min(1 - 1 / (self._updates + 1), self.decay)
        floating = [pair for pair in self._pairs if pair[0].is_floating_point()]
        averages, currents = zip(*floating, strict=True)
        torch._foreach_lerp_(averages, currents, 1 - kept)
        for average, current in self._pairs:
            if not average.is_floating_point():  # the number of batches that a norm has seen
                average.copy_(current)
        self._updates += 1
        self.average.n_averaged += 1

    @property
    def network(self) -> nn.Module:
        """The averaged network itself."""
        return self.average.module
