"""Who makes pseudo-labels: the EMA of the student, the student itself, or a frozen copy."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cryofix.data.tiles import Annotated
from cryofix.distributed import gathered, rank, world_size
from cryofix.learning.settings import TeacherSettings
from cryofix.learning.sliding import predict_map


class Teacher(Protocol):
    """Labels the weak views of unlabelled tiles."""

    kind: str

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits of the images' shape, in eval mode."""

    def begin_step(self, average: nn.Module, step: int, device: torch.device) -> None:
        """Get ready for a step of the stage, counted from 0; ``average`` is the EMA network."""

    def select(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the batch without the tiles from which nothing is to be learnt."""


class _Always:
    """A teacher that is the same in each step and labels every tile."""

    def begin_step(self, average: nn.Module, step: int, device: torch.device) -> None:
        """Do nothing."""

    def select(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the batch as it is."""
        return batch


class _InEvalMode(nn.Module):
    """Lightning puts the whole module in train mode before each epoch; this part stays in eval.

    A teacher whose batch norms follow its own inputs would be another model than is evaluated.
    """

    def train(self, mode: bool = True) -> "_InEvalMode":
        """Stay in eval mode."""
        return super().train(False)


class EMA(_Always, _InEvalMode):
    """The exponential moving average of the student; it is what is evaluated, and may teach.

    After its k-th update it is ``m * average + (1 - m) * student`` with
    ``m = min(1 - 1 / (k + 1), decay)``, so early steps are a plain mean instead of a memory of the
    initial weights (Tarvainen & Valpola 2017). Batch norms' running statistics are averaged too.
    The student is copied, not kept: :meth:`follow` says whose average this is.
    """

    kind = "ema"

    def __init__(self, student: nn.Module, decay: float) -> None:
        super().__init__()
        self.average = AveragedModel(student, use_buffers=True)
        self.average.requires_grad_(False).eval()
        self.decay = decay
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._updates = 0

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


class SelfTeacher(_Always):
    """The student itself, in eval mode."""

    kind = "self"

    def __init__(self, student: nn.Module) -> None:
        self.student = student

    def __call__(self, images: Tensor) -> Tensor:
        """Return the student's logits and put it back in train mode."""
        self.student.eval()
        logits: Tensor = self.student(images)
        self.student.train()
        return logits


class FrozenTeacher(_InEvalMode):
    """A copy of the EMA that is taken anew at the start of each round: iterative self-training.

    As in noisy student (Xie et al. 2020) and ST++ (Yang et al. 2022), with the student going on
    from round to round instead of starting anew.

    Parameters
    ----------
    average
        The network to copy.
    micrographs
        The unlabelled ones, in the order in which tiles number them.
    labelled
        Number of labelled ones.
    """

    kind = "frozen"
    chosen: Tensor

    def __init__(
        self,
        average: nn.Module,
        settings: TeacherSettings,
        micrographs: Sequence[Annotated],
        labelled: int,
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(average)
        self.round_steps = settings.round_steps
        self.micrographs = micrographs
        share = settings.share * len(micrographs)
        if settings.per_labelled is not None:
            share = min(share, settings.per_labelled * labelled)
        self.wanted = max(1, math.ceil(share - 1e-9))  # 0.1 * 30 is a little more than 3
        self.register_buffer("chosen", torch.ones(len(micrographs), dtype=torch.bool))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of this round's teacher."""
        logits: Tensor = self.network(images)
        return logits

    def begin_step(self, average: nn.Module, step: int, device: torch.device) -> None:
        """Begin a round if this step is the first of one.

        Beginning it again, after a restart, gives the same teacher and the same micrographs.
        """
        if step % self.round_steps:
            return
        self.network.load_state_dict(average.state_dict())
        if self.wanted < len(self.micrographs):
            surest = np.argsort(-self._confidences(device), kind="stable")[: self.wanted]
            self.chosen.fill_(False)
            self.chosen[torch.from_numpy(surest).to(self.chosen.device)] = True

    def select(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a batch in which tiles of micrographs that were not chosen are invalid."""
        chosen = self.chosen[batch["micrograph"]][:, None, None, None]
        return {**batch, "valid": batch["valid"] & chosen}

    def _confidences(self, device: torch.device) -> np.ndarray:
        """Return the mean of max(p, 1 - p) of each micrograph, each seen by one process."""
        mine = {}
        for number in range(rank(), len(self.micrographs), world_size()):
            p = predict_map(self.network, self.micrographs[number].read(), device=device)
            mine[number] = float(np.maximum(p, 1 - p).mean(dtype=np.float64))
        together = {number: value for part in gathered(mine) for number, value in part.items()}
        return np.array([together[number] for number in range(len(self.micrographs))])
