"""Seconds from a 4096 x 4096 MRC to picks, and the share of each stage.

    python -m benchmarks.pick [--checkpoint RUN] [--threads 2] [--workers 2]

Two numbers: one micrograph after the other in one process with all threads (latency), and several
processes with a share of the cores each, as `cryofix.pick` works by itself (throughput; without
the seconds that the processes take to start). The row is the first of them against the network
alone on the cropped array. Without a checkpoint the default network has random weights: the same
work for network and crop, and as many peaks as noise gives.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import clock
from benchmarks.rows import Row, finish, parser
from benchmarks.training import train_config
from cryofix.config import to_plain
from cryofix.data.preprocess import Preprocessing
from cryofix.formats import write_mrc
from cryofix.learning.checkpoint import load_picker
from cryofix.learning.network import build_network, folded
from cryofix.learning.sliding import STRIDE
from cryofix.picking.jobs import Work, choose_workers, run_jobs
from cryofix.picking.micrographs import Recipe, pick_micrograph
from cryofix.picking.picked import Job
from cryofix.picking.planning import find_all, plan_jobs

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


def picker(checkpoint: str | None, diameter: float) -> tuple[dict[str, Any], nn.Module, Recipe]:
    """Return the keywords of a network, the network and its recipe: trained ones or the default."""
    if checkpoint:
        trained = load_picker(checkpoint)
        recipe = Recipe.as_trained(trained.metadata, diameter_px=diameter)
        return trained.metadata["config"]["model"], trained.network, recipe
    torch.manual_seed(0)
    model = to_plain(train_config([]).model)
    network = build_network(**{**model, "prior": 0.04}).eval()
    recipe = Recipe(24.0, 6.0, Preprocessing(), diameter_px=diameter, fixed_px=True)
    return model, network, recipe


def latency(network: nn.Module, path: Path, recipe: Recipe) -> dict[str, float]:
    """Return the seconds from a file to its picks, and those of the network alone, as trained."""
    ours = folded(network).to(memory_format=torch.channels_last)  # as cryofix.pick does
    began = clock.now()
    picked = pick_micrograph(ours, path, recipe)
    total = clock.now() - began
    rows, columns = (-side % STRIDE for side in picked.small.shape)
    # The network takes no other sides than multiples of the stride.
    array = nn.functional.pad(torch.from_numpy(picked.small)[None, None], (0, columns, 0, rows))
    with torch.inference_mode():
        began = clock.now()
        network(array)
        alone = clock.now() - began
    return {**picked.seconds, "total": total, "alone": alone, "picks": len(picked.particles)}


def rebuild(model: Mapping[str, Any], state: Mapping[str, Any]) -> nn.Module:
    """Build a network in another process: ``model`` is its keywords, ``state`` its weights."""
    network = build_network(**{**model, "encoder_weights": None})
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return network.eval()


def throughput(
    model: Mapping[str, Any], network: nn.Module, recipe: Recipe, jobs: Sequence[Job], workers: int
) -> float:
    """Return the seconds on the wall of a micrograph when several processes pick."""
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    threads = choose_workers(workers, len(jobs))[1]
    work = Work(functools.partial(rebuild, model, state), recipe, "", 0.5, "cpu", threads)
    finished = [time.perf_counter() for _outcome in run_jobs(jobs, work, workers)]
    # The first of each process waited for imports.
    return (finished[-1] - finished[workers - 1]) / (len(finished) - workers)


def main() -> None:
    """Print both numbers and the row."""
    options = parser(__doc__, cpu_time=True)
    options.add_argument("--checkpoint", help="run folder; the default network if not given")
    options.add_argument("--side", type=int, default=4096)
    options.add_argument("--diameter", type=float, default=108.0, help="of a particle, pixels")
    options.add_argument("--repeats", type=int, default=6)
    options.add_argument("--threads", type=int, default=choose_workers(1, 1)[1])
    options.add_argument("--workers", type=int, default=choose_workers(None, 99)[0])
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    clock.use(given.cpu_time)
    model, network, recipe = picker(given.checkpoint, given.diameter)
    network = network.to(memory_format=torch.channels_last)
    micrograph = f"{given.side} x {given.side} MRC"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(given.repeats):
            path = folder / "raw" / f"m{number}.mrc"
            write_micrograph(path, given.side, given.diameter, number)
        jobs, _ = plan_jobs(find_all([str(folder / "raw")]), folder / "results")
        rows = [latency(network, job.source, recipe) for job in (jobs[0], *jobs)][1:]
        median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        print(
            f"{micrograph}, {median['picks']:.0f} picks, particles of {given.diameter:g} px,"
            f" {torch.get_num_threads()} threads"
        )
        for stage, title in STAGES.items():
            print(f"  {title:<13}{median[stage]:6.2f} s on the wall")
        each = throughput(model, network, recipe, jobs * 2, given.workers)
        print(f"{given.workers} processes: {each:.2f} s on the wall for a micrograph")
    row = Row(
        name=f"picking, {micrograph}",
        ours=f"{median['total']:.2f} s",
        limit=f"{median['alone']:.2f} s of the network alone",
        ratio=median["total"] / median["alone"],
        target=1.3,
    )
    finish([row], given.rows)


if __name__ == "__main__":
    main()
