"""Run by test_ranks.py as one process of a group: move every policy by this rank's tiles.

``python one_rank.py CONF FOLDER RANK RANKS`` reads FOLDER/batches.pt, and writes the states and
labels of all policies of CONF to FOLDER/RANKS-RANK.pt.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cryofix.masking import PolicyContext


def main(conf: Path, folder: Path, rank: int, ranks: int) -> None:
    torch.set_num_threads(1)
    if ranks > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=ranks
        )
    batches = torch.load(folder / "batches.pt", weights_only=True)
    results = {}
    for path in sorted(conf.glob("*.yaml")):
        policy = instantiate(OmegaConf.load(path))
        for step, batch in enumerate(batches):
            prob, valid, labelled, truth = (part.chunk(ranks)[rank] for part in batch)
            context = PolicyContext(
                progress=0.5, labelled_prob=labelled, labelled_target=truth, seed=step
            )
            policy.update(prob, valid, context)
        labels = policy(prob, valid, context)
        results[path.stem] = {
            "state": policy.state_dict(),
            "target": labels.target,
            "weight": labels.weight,
        }
    torch.save(results, folder / f"{ranks}-{rank}.pt")
    if ranks > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
