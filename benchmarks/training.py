"""What benchmarks of training share: a configuration, and the bare compute that it asks for."""

import itertools
from collections.abc import Sequence

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from benchmarks.clock import now
from cryofix.config import config_folder, to_plain
from cryofix.learning.losses import supervised_loss, unlabelled_loss
from cryofix.learning.network import build_network, fixed_running_statistics


def train_config(overrides: Sequence[str], gpu: bool = False) -> DictConfig:
    """Return the configuration of cryofix.train under overrides."""
    preset = ["trainer=gpu"] if gpu else []
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        # Names of results only; there is no run folder here.
        return compose(
            "train",
            overrides=["names={data: none, mask: none}", "output=none", *preset, *overrides],
        )


class Bare:
    """A training step's forwards, backward and optimiser step alone, on tensors in memory."""

    def __init__(self, config: DictConfig) -> None:
        on_gpu = torch.cuda.is_available() and config.trainer.accelerator != "cpu"
        self.device = torch.device("cuda" if on_gpu else "cpu")
        layout = torch.channels_last if config.compute.channels_last else torch.contiguous_format
        self.network, self.teacher = (
            build_network(**to_plain(config.model)).to(self.device).to(memory_format=layout)
            for _ in range(2)
        )
        self.teacher.eval()
        if config.compute.compile:
            self.network.compile()
        self.half = config.trainer.precision == "bf16-mixed"
        self.optimiser = torch.optim.AdamW(self.network.parameters(), fused=True)
        data = config.data
        self.labelled, self.unlabelled = (
            torch.randn((size, 1, data.tile_px, data.tile_px), device=self.device)
            for size in (data.batch_labelled, data.batch_unlabelled)
        )
        self.target = (torch.rand_like(self.labelled) < 0.04).float()
        self.known, self.valid = (
            torch.ones_like(tiles, dtype=torch.bool) for tiles in (self.labelled, self.unlabelled)
        )
        self.weight = self.valid.float()

    def step(self) -> None:
        """Supervised forward, teacher forward, strong forward, one backward, one step."""
        self.optimiser.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, self.half):
            logits = self.network(self.labelled).float()
            with torch.no_grad():
                pseudo = (self.teacher(self.unlabelled) >= 0).float()
            with fixed_running_statistics(self.network):
                strong = self.network(self.unlabelled).float()
        loss = supervised_loss(logits, self.target, self.known, {"bce": 1.0})
        loss = loss + unlabelled_loss(strong, pseudo, self.weight, self.valid, "valid")
        loss.backward()  # type: ignore[no-untyped-call] # torch's own
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()

    def seconds(self, steps: int) -> list[float]:
        """Return the time of each of so many steps, after one that is not counted."""
        self.step()
        times = [now(self.device)]
        for _ in range(steps):
            self.step()
            times.append(now(self.device))
        return [after - before for before, after in itertools.pairwise(times)]
