"""From tiles to batches: which tiles make one, and how workers draw them."""

import itertools
import random
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler, default_collate


def batched(tiles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack tiles, but for ``index``: numbers that seed draws had to be fetched from a device."""
    indices = [tile.pop("index") for tile in tiles]
    batch: dict[str, Any] = default_collate(list(tiles))
    return batch | {"index": indices}


class StepBatches(Sampler[list[int]]):
    """The indices of one rank's share of each global batch, from a given step on, without end.

    Parameters
    ----------
    batch_size
        Of all ranks together.
    start
        First step.
    rank, ranks
        Rank ``rank`` of ``ranks`` takes that one of ``ranks`` equal parts of the batch, in one
        piece: random numbers for the pixels of a batch count on it.
    """

    def __init__(self, batch_size: int, start: int, rank: int = 0, ranks: int = 1) -> None:
        self.batch_size = batch_size
        self.start = start
        self.share = batch_size // ranks
        self.first = rank * self.share

    def __iter__(self) -> Iterator[list[int]]:
        for step in itertools.count(self.start):
            first = step * self.batch_size + self.first
            yield list(range(first, first + self.share))


def seed_worker(worker: int) -> None:
    """Seed what a transform might use besides its own generator, from the loader's seed.

    Requests to stop, which schedulers and terminals send to all processes, are left to the training
    process: its running step needs the worker's batches.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
    torch.set_num_threads(1)
