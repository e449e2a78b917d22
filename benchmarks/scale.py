"""The rates that docs/scale.md is worked out from: preprocessing, the cache, tiles from it.

Seconds on the wall say what a machine does that has nothing else to do, CPU seconds what it would
take of one that has.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.pick import write_micrograph
from cryofix.data.array_cache import CachedMicrograph, cache_all
from cryofix.data.augment import Cutout, Geometry
from cryofix.data.preprocess import Preprocessing
from cryofix.data.tiles import UNLABELLED, Annotated, TileStream
from cryofix.formats import Particles, read_info

SIDE, DIAMETER_PX, PARTICLE_PX = 4096, 108.0, 24.0
PARTICLES = 300  # of a micrograph
TILES_PX = (96, 256)


@contextmanager
def printed(what: str, items: int) -> Iterator[None]:
    """Print what each of several items took, on the wall and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{what}: {1000 * wall / items:.3g} ms on the wall, {1000 * cpu / items:.3g} ms of CPU",
        flush=True,
    )


def preprocess(folder: Path, count: int) -> CachedMicrograph:
    """Preprocess micrographs with one core, then with all; return one of them."""
    paths = [folder / f"m{number}.mrc" for number in range(count)]
    for number, path in enumerate(paths):
        write_micrograph(path, SIDE, DIAMETER_PX, number)
    infos = [read_info(path) for path in paths]
    scales = [PARTICLE_PX / DIAMETER_PX] * count
    cores = sorted(os.sched_getaffinity(0))
    for used in sorted({1, len(cores)}):
        os.sched_setaffinity(0, cores[:used])
        with printed(f"preprocessing a {SIDE} x {SIDE} MRC, {used} cores", count):
            cached = cache_all(infos, scales, PARTICLE_PX, Preprocessing(), folder / str(used))
    size = cached[0].array_path.stat().st_size
    print(f"cache: {size / 2**20:.2f} MiB for each, {cached[0].shape} float16")
    return cached[0]


def load(folder: Path, like: CachedMicrograph, files: int, tiles: int) -> None:
    """Cut tiles from many cached micrographs, bare and as training gets them."""
    random = np.random.default_rng(0)
    pixels = np.load(like.array_path)
    micrographs = []
    for number in range(files):
        path = folder / f"{number}.npy"
        np.save(path, pixels)
        cached = CachedMicrograph(str(number), path, path, like.shape, like.shape, None)
        x, y = random.uniform(0, min(like.shape), size=(2, PARTICLES))
        interior = (0.0, 0.0, like.shape[1] - 1.0, like.shape[0] - 1.0)
        micrographs.append(Annotated(cached, Particles(x, y), Particles.empty(), interior))
    for side in TILES_PX:
        corners = random.integers(0, np.array(like.shape) - side, size=(tiles, 2))
        with printed(f"reading {side} x {side} px from one of {files} files", tiles):
            for number, (row, column) in enumerate(corners.tolist()):
                micrographs[number * 7 % files].read((row, column, side, side))
        stream = TileStream(
            micrographs,
            seed=0,
            stream=UNLABELLED,
            tile_px=side,
            radius_px=PARTICLE_PX / 4,
            ignore_radius_px=PARTICLE_PX / 2,
            geometry=Geometry(),
            cutout=Cutout(),
            centred_share=0.0,
        )
        with printed(f"an unlabelled tile of {side} px", tiles):
            for number in range(tiles):
                stream[number]


def main() -> None:
    """Print all rates."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--micrographs", type=int, default=6, help="to preprocess, 64 MB each")
    options.add_argument("--files", type=int, default=200, help="to cut tiles from, 1.6 MB each")
    options.add_argument("--tiles", type=int, default=1000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        like = preprocess(Path(name), given.micrographs)
        load(Path(name), like, given.files, given.tiles)


if __name__ == "__main__":
    main()
