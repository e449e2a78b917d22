"""Batches per second of the loader alone, against steps per second of the bare compute."""

import itertools
import statistics
import time

from omegaconf import DictConfig

from benchmarks.rows import Row, finish, parser
from benchmarks.training import Bare, train_config
from cryofix.config import build
from cryofix.reporting.console import quieten

# Cached at full resolution, so that a tile of 768 pixels fits.
MICROGRAPHS = ("data.simulate.micrographs=12", "+data.simulate.shape=[1024,1024]")
FULL_RESOLUTION = "data.particle_px=48"
TILES = {256: 4, 768: 2}  # pixels: batch of either kind, on a CPU
GPU_BATCH = 16


def batch_seconds(config: DictConfig, batches: int) -> float:
    """Return the seconds of a batch of both kinds, when nobody waits before asking again."""
    data = build(config.data)
    data.setup()
    # What the workers prepare ahead is not counted, nor the time that they take to start.
    ahead = 4 * config.data.workers + 4
    loader = iter(data.train_dataloader())
    for _ in itertools.islice(loader, ahead):
        pass
    began = time.perf_counter()
    for _ in itertools.islice(loader, batches):
        pass
    return (time.perf_counter() - began) / batches


def measure(tile_px: int, gpu: bool, workers: int, batches: int, overrides: list[str]) -> Row:
    """Time the loader, then the model, at one tile size."""
    size = GPU_BATCH if gpu else TILES[tile_px]
    settings = [
        *MICROGRAPHS,
        FULL_RESOLUTION,
        f"data.tile_px={tile_px}",
        f"data.batch_labelled={size}",
        f"data.batch_unlabelled={size}",
        f"data.workers={workers}",
        "ratio=0.5",
        *overrides,
    ]
    config = train_config(settings, gpu)
    loading = batch_seconds(config, batches)
    step = statistics.median(Bare(config).seconds(20 if gpu else 3))
    return Row(
        name=f"loader, {size} + {size} tiles of {tile_px} px, {2 * workers} workers",
        ours=f"{1 / loading:.1f} batches/s",
        limit=f"{1 / step:.2f} steps/s of bare compute",
        ratio=step / loading,
        target=1.0 if gpu else 3.0,
        at_least=True,
    )


def main() -> None:
    """Print a row for each tile size."""
    options = parser(__doc__, gpu=True)
    options.add_argument("--workers", type=int, help="for each kind of tile; 1, on a GPU 8")
    options.add_argument("--batches", type=int, default=40)
    options.add_argument("overrides", nargs="*", help="of cryofix.train")
    given = options.parse_args()
    quieten()
    workers = given.workers or (8 if given.gpu else 1)
    rows = [
        measure(tile_px, given.gpu, workers, given.batches, given.overrides) for tile_px in TILES
    ]
    finish(rows, given.rows)


if __name__ == "__main__":
    main()
