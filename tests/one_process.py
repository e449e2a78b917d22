"""Run by test_distributed.py as one process of a group: losses of its part of a batch.

``python one_process.py FOLDER RANK RANKS`` reads FOLDER/batch.pt and writes FOLDER/RANKS-RANK.pt.
"""

import itertools
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from cryofix.distributed import any_rank, gathered, on_first
from cryofix.learning.auxiliary import unexplained
from cryofix.learning.losses import NORMALISERS, SUPERVISED, unlabelled_loss
from cryofix.learning.regularisers import GeneralisedExpectation, LabelledPart, NonNegativePU


def main(folder: Path, rank: int, ranks: int) -> None:
    torch.set_num_threads(1)
    if ranks > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=ranks
        )
    batch = torch.load(folder / "batch.pt", weights_only=True)
    logits, target, weight, valid = (part.chunk(ranks)[rank] for part in batch)
    results: dict[str, Tensor] = {}
    for name in itertools.chain(SUPERVISED, NORMALISERS):
        mine = logits.clone().requires_grad_()
        if name in SUPERVISED:
            loss = SUPERVISED[name](mine, target, valid)
        else:
            loss = unlabelled_loss(mine, target, weight, valid, name)
        (gradient,) = torch.autograd.grad(loss, mine)
        results[name] = loss.detach()
        results[f"{name} gradient"] = gradient / ranks  # as averaging over processes does
    for regulariser in (GeneralisedExpectation(), NonNegativePU()):
        name = type(regulariser).__name__
        mine = logits.clone().requires_grad_()
        loss = regulariser(mine, valid, LabelledPart(mine, target, valid), 0.1)
        (gradient,) = torch.autograd.grad(loss, mine)
        results[name] = loss.detach()
        results[f"{name} gradient"] = gradient / ranks
    mine = torch.stack([logits.flatten(), target.flatten()], dim=1).requires_grad_()
    loss = unexplained(mine, weight.flatten(), valid.flatten())
    (gradient,) = torch.autograd.grad(loss, mine)
    results["Noise2Void"], results["Noise2Void gradient"] = loss.detach(), gradient / ranks
    results["first"] = on_first(lambda: torch.tensor(rank))
    results["any rank"] = torch.tensor([any_rank(False), any_rank(rank == ranks - 1)])
    results["gathered"] = torch.tensor(gathered(10 * rank))
    torch.save(results, folder / f"{ranks}-{rank}.pt")
    if ranks > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
