"""Iterative self-training: rounds in which the teacher, and so every pseudo-label, stands still.

As in noisy student (Xie et al. 2020) and ST++ (Yang et al. 2022), with the student going on from
round to round instead of starting anew.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cryofix.data.tiles import Annotated
from cryofix.distributed import count, gathered
from cryofix.learning.settings import Teacher
from cryofix.learning.sliding import predict_map


class FrozenTeacher(nn.Module):
    """A copy of the average, and which unlabelled micrographs a round learns from.

    Parameters
    ----------
    average
        The network to copy.
    settings
        Of the rounds.
    micrographs
        The unlabelled ones, in the order in which tiles number them.
    labelled
        Number of labelled ones.
    """

    chosen: Tensor

    def __init__(
        self, average: nn.Module, settings: Teacher, micrographs: Sequence[Annotated], labelled: int
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

    def train(self, mode: bool = True) -> "FrozenTeacher":
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of this round's teacher."""
        logits: Tensor = self.network(images)
        return logits

    def follow(self, average: nn.Module, step: int, device: torch.device) -> None:
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

    def restricted(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch in which tiles of micrographs that were not chosen are invalid."""
        chosen = self.chosen[batch["micrograph"]][:, None, None, None]
        return {**batch, "valid": batch["valid"] & chosen}

    def _confidences(self, device: torch.device) -> np.ndarray:
        """Return the mean of max(p, 1 - p) of each micrograph, each seen by one process."""
        rank = dist.get_rank() if count() > 1 else 0
        mine = {}
        for number in range(rank, len(self.micrographs), count()):
            p = predict_map(self.network, self.micrographs[number].read(), device=device)
            mine[number] = float(np.maximum(p, 1 - p).mean(dtype=np.float64))
        together = {number: value for part in gathered(mine) for number, value in part.items()}
        return np.array([together[number] for number in range(len(self.micrographs))])
