"""A micrograph from MRC to cache, against reading the file and one real FFT of it."""

import statistics
import tempfile
from pathlib import Path

import numpy as np
import scipy.fft

from benchmarks import clock
from benchmarks.pick import write_micrograph
from benchmarks.rows import Row, finish, parser
from cryofix.data.array_cache import cache_micrograph
from cryofix.data.preprocess import Preprocessing
from cryofix.formats import read_info

PARTICLE_PX = 24.0


def read_and_transform(path: Path, side: int) -> None:
    """Do what the row is measured against: no check of the data, one thread."""
    image = np.fromfile(path, np.float32, offset=path.stat().st_size - 4 * side * side)
    scipy.fft.rfft2(image.reshape(side, side), workers=1)


def measure(side: int, diameter: float, repeats: int) -> Row:
    """Time both in turns, each time with a file and a cache that were not seen before."""
    ours, limit = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(repeats + 1):
            path = folder / f"m{number}.mrc"
            write_micrograph(path, side, diameter, number)
            began = clock.now()
            read_and_transform(path, side)
            between = clock.now()
            cache_micrograph(
                read_info(path),
                PARTICLE_PX / diameter,
                PARTICLE_PX,
                Preprocessing(),
                folder / "cache",
            )
            limit.append(between - began)
            ours.append(clock.now() - between)
            path.unlink()
    seconds, least = (statistics.median(part[1:]) for part in (ours, limit))
    return Row(
        name=f"preprocessing, {side} x {side} MRC to cache",
        ours=f"{seconds:.2f} s",
        limit=f"{least:.2f} s to read and transform",
        ratio=seconds / least,
        target=2.0,
    )


def main() -> None:
    """Print the row."""
    options = parser(__doc__, cpu_time=True)
    options.add_argument("--side", type=int, default=4096)
    options.add_argument("--diameter", type=float, default=108.0, help="of a particle, pixels")
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()
    clock.use(given.cpu_time)
    finish([measure(given.side, given.diameter, given.repeats)], given.rows)


if __name__ == "__main__":
    main()
