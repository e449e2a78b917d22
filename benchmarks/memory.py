"""Peak memory of a whole training with few and with many micrographs to train on.

`cryofix.train` from simulating to the report, a process for each number. Micrographs are small, so
that 2 000 of them take a minute. Those that are scored are the same few: of each of them the
scores keep 0.2 MB for the intervals, whatever its size.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.clock import used_by
from benchmarks.rows import Row, finish, parser

SETTINGS = (
    "trainer=smoke",
    "data.limit=null",
    "+data.simulate.shape=[128,128]",
    "+data.simulate.pixel_size_angstrom=5",
    "+data.simulate.particles_per_micrograph=8",
    "data.test=4",
    "data.validation=4",
    "ratio=0.5",
)


def peak_mib(folder: Path, micrographs: int) -> float:
    """Return the peak resident memory of training on so many micrographs."""
    command = [
        *(sys.executable, "-m", "cryofix.train", *SETTINGS),
        f"data.simulate.micrographs={micrographs}",
        f"cache={folder / 'cache'}",
        f"output={folder / str(micrographs)}",
    ]
    return used_by(command).peak_mib


def main() -> None:
    """Print a row for each number but the first, which the others are measured against."""
    options = parser(__doc__)
    options.add_argument("micrographs", type=int, nargs="*", default=[20, 200, 2000])
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few, *more = [(count, peak_mib(Path(folder), count)) for count in given.micrographs]
    rows = [
        Row(
            name=f"peak memory of training, {count} micrographs",
            ours=f"{peak:.0f} MiB",
            limit=f"{few[1]:.0f} MiB with {few[0]}",
            ratio=peak / few[1],
            target=1.1,
        )
        for count, peak in more
    ]
    finish(rows, given.rows)


if __name__ == "__main__":
    main()
