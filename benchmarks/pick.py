"""Seconds from a 4096 x 4096 MRC to picks, and the share of each stage.

    python -m benchmarks.pick [--checkpoint RUN] [--threads 2] [--workers 2]

Two numbers: one micrograph after the other in one process with all threads (latency), and several
processes with a share of the cores each, as `cryofix.pick` works by itself (throughput; without
the seconds that the processes take to start). Without a checkpoint the default network has random
weights: the same work for network and crop, and as many peaks as noise gives.
"""

import argparse
import functools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from cryofix.config import config_folder, to_plain
from cryofix.data.preprocess import Preprocessing
from cryofix.formats import write_mrc
from cryofix.learning.checkpoint import load_picker
from cryofix.learning.network import build_network
from cryofix.pick import rebuild
from cryofix.picking.jobs import Work, choose_workers, plan_jobs, run_jobs
from cryofix.picking.micrographs import Picked, Recipe, pick_micrograph

STAGES = {"read": "read", "crop": "Fourier crop", "network": "network", "peaks": "peaks"}


def write_micrograph(path: Path, side: int, diameter: float, seed: int) -> None:
    """Write noise with dark discs, about as many as a crowded micrograph has."""
    random = np.random.default_rng(seed)
    image = random.normal(size=(side, side)).astype(np.float32)
    offset = np.arange(-int(diameter), int(diameter) + 1)
    disc = np.clip(diameter / 2 - np.hypot(offset[:, None], offset), 0, 1).astype(np.float32)
    reach = int(diameter) + 1
    for row, column in random.integers(reach, side - reach, size=(600, 2)):
        image[row - reach + 1 : row + reach, column - reach + 1 : column + reach] -= disc
    write_mrc(path, image, 1.0)


def default_model() -> dict[str, Any]:
    """Return the network that `cryofix.train` builds when nothing is said."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return to_plain(compose("train", overrides=["names={}", "output=none"]).model)


def main() -> None:
    """Print both numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", help="run folder; the default network if not given")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--diameter", type=float, default=108.0, help="of a particle, pixels")
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--threads", type=int, default=choose_workers(1, 1)[1])
    parser.add_argument("--workers", type=int, default=choose_workers(None, 99)[0])
    options = parser.parse_args()
    if options.checkpoint:
        picker = load_picker(options.checkpoint)
        model, network = picker.metadata["config"]["model"], picker.network
        metadata = picker.metadata
        recipe = Recipe.as_trained(metadata, diameter_px=options.diameter)
    else:
        torch.manual_seed(0)
        model = default_model()
        network = build_network(**{**model, "prior": 0.04}).eval()
        recipe = Recipe(24.0, 6.0, Preprocessing(), diameter_px=options.diameter, fixed_px=True)
    network = network.to(memory_format=torch.channels_last)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.repeats):
            path = folder / "raw" / f"m{number}.mrc"
            write_micrograph(path, options.side, options.diameter, number)
        jobs, _ = plan_jobs([str(folder / "raw")], folder / "results")
        rows = [_timed(network, job.source, recipe) for job in (jobs[0], *jobs)][1:]
        stages = {stage: statistics.median(row[stage] for row in rows) for stage in rows[0]}
        total = stages.pop("total")
        print(
            f"{options.side} x {options.side} MRC, {stages.pop('picks'):.0f} picks, particles of"
            f" {options.diameter:g} px, {options.threads} threads: {total:.2f} s"
        )
        for stage, seconds in stages.items():
            print(f"  {STAGES[stage]:<13}{seconds:6.2f} s  {100 * seconds / total:4.0f} %")
        state = {key: value.numpy() for key, value in network.state_dict().items()}
        threads = choose_workers(options.workers, 99)[1]
        work = Work(functools.partial(rebuild, model, state), recipe, "", 0.5, "cpu", threads)
        began = []
        for _outcome in run_jobs(jobs * 2, work, options.workers):
            began.append(time.perf_counter())
        # The first of each process waited for imports.
        each = (began[-1] - began[options.workers - 1]) / (len(began) - options.workers)
        print(f"{options.workers} processes of {threads} threads: {each:.2f} s per micrograph")


def _timed(network: torch.nn.Module, path: Path, recipe: Recipe) -> dict[str, float]:
    began = time.perf_counter()
    picked: Picked = pick_micrograph(network, path, recipe)
    total = time.perf_counter() - began
    return {**picked.seconds, "total": total, "picks": float(len(picked.particles))}


if __name__ == "__main__":
    main()
