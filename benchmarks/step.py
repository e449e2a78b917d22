"""A FixMatch training step against the same forwards and backward on tensors in memory.

Both in one process, alternating, so that whatever else the machine does hits both alike. The second
row has the step with cutting its tiles, in that process too unless ``data.workers`` is above 0.
"""

import itertools
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig

from benchmarks import clock
from benchmarks.rows import Row, finish, parser
from benchmarks.training import Bare, train_config
from cryofix.config import to_plain
from cryofix.data.datamodule import CryoDataModule
from cryofix.learning.checkpoint import AtomicCheckpointIO
from cryofix.learning.module import FixMatch
from cryofix.learning.network import build_network
from cryofix.learning.settings import StageSettings
from cryofix.reporting.console import quieten

WARM = 5  # steps that are not counted


class Loading:
    """The batches of a data module, and the seconds that each of them was waited for."""

    def __init__(self, data: CryoDataModule) -> None:
        self.loader = data.train_dataloader()
        self.seconds: list[float] = []

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        while True:
            began = clock.now()
            batch, _, _ = next(batches)
            self.seconds.append(clock.now() - began)
            yield batch


class Stopwatch(Callback):
    """Time cryofix's steps and, after each, one bare step."""

    def __init__(self, config: DictConfig, loading: Loading) -> None:
        self.config, self.loading = config, loading
        self.ours: list[float] = []  # without loading
        self.loaded: list[float] = []  # with it
        self.bare: list[float] = []
        self._peer: Bare | None = None
        self._since = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Stop our clock, time the peer, start our clock again."""
        stopped = clock.now(pl_module.device)
        if self._peer is None:
            self._peer = Bare(self.config)
        else:
            self.loaded.append(stopped - self._since)
            self.ours.append(self.loaded[-1] - self.loading.seconds[-1])
        began = clock.now(pl_module.device)
        self._peer.step()
        self._since = clock.now(pl_module.device)
        self.bare.append(self._since - began)


def fixmatch(config: DictConfig, data: CryoDataModule, steps: int) -> FixMatch:
    """Return the module that cryofix.train would train, without a burn-in before it."""
    network = build_network(**to_plain(config.model))
    if config.compute.channels_last:
        network = network.to(memory_format=torch.channels_last)
    # Most steps are not audited; what audits cost is in the row of the policies.
    seldom = {**to_plain(config.steps), "burn_in": 0, "stage": steps, "audit_first": 0}
    settings = StageSettings.of({**to_plain(config), "steps": seldom}, prior=0.04)
    module = FixMatch(network, instantiate(config.mask), data, settings)
    if config.compute.compile:
        module.network.compile()
    return module


def measure(overrides: list[str], steps: int, gpu: bool = False) -> tuple[float, float, float]:
    """Return the median seconds of a step: ours without and with loading its tiles, and bare."""
    config = train_config(overrides, gpu)
    data = instantiate(config.data)
    data.setup()
    module = fixmatch(config, data, steps)
    loading = Loading(data)
    stopwatch = Stopwatch(config, loading)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            **to_plain(config.trainer),
            max_steps=steps,
            max_epochs=-1,
            limit_val_batches=0,
            logger=TensorBoardLogger(Path(folder), name="", version=""),
            callbacks=[stopwatch],
            plugins=[AtomicCheckpointIO()],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(module, loading)
    parts = (stopwatch.ours, stopwatch.loaded, stopwatch.bare)
    ours, loaded, bare = (statistics.median(itertools.islice(part, WARM, None)) for part in parts)
    return ours, loaded, bare


def main() -> None:
    """Print the rows."""
    options = parser(__doc__, gpu=True, cpu_time=True)
    options.add_argument("--steps", type=int, default=60)
    options.add_argument("overrides", nargs="*", help="of cryofix.train")
    given = options.parse_args()
    quieten()
    clock.use(given.cpu_time)
    ours, loaded, bare = measure(given.overrides, given.steps, given.gpu)
    rows = [
        Row(
            name=name,
            ours=f"{1000 * seconds:.1f} ms",
            limit=f"{1000 * bare:.1f} ms of bare compute",
            ratio=seconds / bare,
            target=target,
        )
        for name, seconds, target in (
            ("FixMatch step", ours, 1.05 if given.gpu else 1.10),
            ("the same with waiting for its tiles", loaded, 1.05 if given.gpu else 1.15),
        )
    ]
    finish(rows, given.rows)


if __name__ == "__main__":
    main()
