"""A FixMatch training step against the same forwards and backward on tensors in memory.

Both in one process, alternating, so that whatever else the machine does hits both alike.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning import Callback, Trainer

from cryofix.config import config_folder, to_plain
from cryofix.learning.checkpoint import AtomicCheckpointIO
from cryofix.learning.fixmatch import FixMatch
from cryofix.learning.losses import supervised_loss, unlabelled_loss
from cryofix.learning.network import build_network, fixed_running_statistics
from cryofix.learning.settings import Optimiser, Steps, Teacher, Unlabelled, Views


class Bare:
    """The same network's forwards, backward and optimiser step on tensors in memory."""

    def __init__(self, module: FixMatch, tile: int, batch: int) -> None:
        self.network = build_network(**MODEL).to(module.device, memory_format=torch.channels_last)
        self.teacher = build_network(**MODEL).to(module.device, memory_format=torch.channels_last)
        self.teacher.eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), fused=module.device.type == "cuda"
        )
        shape = (batch, 1, tile, tile)
        self.images = torch.randn(shape, device=module.device)
        self.target = (torch.rand(shape, device=module.device) < 0.04).float()
        self.valid = torch.ones(shape, dtype=torch.bool, device=module.device)

    def step(self) -> None:
        """Supervised forward, teacher forward, strong forward, one backward, one step."""
        self.optimiser.zero_grad()
        loss = supervised_loss(self.network(self.images), self.target, self.valid, {"bce": 1.0})
        with torch.no_grad():
            pseudo = (torch.sigmoid(self.teacher(self.images)) >= 0.5).float()
        with fixed_running_statistics(self.network):
            logits = self.network(self.images)
        loss = loss + unlabelled_loss(logits, pseudo, torch.ones_like(pseudo), self.valid, "valid")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()


MODEL: dict[str, Any] = {}


class Clock(Callback):
    """Time cryofix's steps and, after each, one bare step."""

    def __init__(self, tile: int, batch: int) -> None:
        self.tile, self.batch = tile, batch
        self.ours: list[float] = []
        self.bare: list[float] = []
        self._peer: Bare | None = None
        self._since = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Stop our clock, time the peer, start our clock again (loading counts as ours)."""
        now = _now(pl_module.device)
        if self._peer is None:
            self._peer = Bare(pl_module, self.tile, self.batch)
        else:
            self.ours.append(now - self._since)
        began = _now(pl_module.device)
        self._peer.step()
        self.bare.append(_now(pl_module.device) - began)
        self._since = _now(pl_module.device)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(overrides: list[str], steps: int) -> dict[str, float]:
    """Return median seconds of a step, bare and ours, and their ratio."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        # Names of results only; there is no run folder here.
        config = compose("train", overrides=["names={}", "output=none", *overrides])
    MODEL.update(to_plain(config.model))
    data = instantiate(config.data)
    data.setup()
    network = build_network(**MODEL).to(memory_format=torch.channels_last)
    module = FixMatch(
        network,
        instantiate(config.mask),
        data,
        steps=Steps(burn_in=0, stage=steps),
        optimiser=Optimiser(**to_plain(config.optimiser)),
        teacher=Teacher(**to_plain(config.teacher)),
        unlabelled=Unlabelled(**to_plain(config.unlabelled)),
        views=Views.of(to_plain(config.augment)),
        loss_terms={"bce": 1.0},
        prior=0.04,
        seed=0,
    )
    clock = Clock(config.data.tile_px, config.data.batch_labelled)
    with tempfile.TemporaryDirectory() as folder:
        from lightning.pytorch.loggers import TensorBoardLogger

        trainer = Trainer(
            **to_plain(config.trainer),
            max_steps=steps,
            max_epochs=-1,
            limit_val_batches=0,
            logger=TensorBoardLogger(Path(folder), name="", version=""),
            callbacks=[clock],
            plugins=[AtomicCheckpointIO()],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(module, data)
    warm = 5
    ours, bare = (
        statistics.median(itertools.islice(part, warm, None)) for part in (clock.ours, clock.bare)
    )
    return {"bare_seconds": bare, "ours_seconds": ours, "ratio": ours / bare}


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="the trainer=gpu preset")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("overrides", nargs="*", help="of cryofix.train")
    arguments = parser.parse_args()
    overrides = [*(["trainer=gpu"] if arguments.gpu else []), *arguments.overrides]
    row = measure(overrides, arguments.steps)
    print(
        f"FixMatch step: {1000 * row['ours_seconds']:.1f} ms, bare compute"
        f" {1000 * row['bare_seconds']:.1f} ms, ratio {row['ratio']:.3f}"
    )


if __name__ == "__main__":
    main()
