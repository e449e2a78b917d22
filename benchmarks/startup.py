"""The help of cryofix.train against importing torch and lightning, each in a process of its own."""

import statistics
import sys

from benchmarks.clock import used_by
from benchmarks.rows import Row, finish, parser

HELP = (sys.executable, "-m", "cryofix.train", "--help")
IMPORTS = (sys.executable, "-c", "import torch, lightning")


def main() -> None:
    """Print the row."""
    options = parser(__doc__, cpu_time=True)
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()

    def seconds(command: tuple[str, ...]) -> float:
        used = used_by(command)
        return used.cpu_seconds if given.cpu_time else used.seconds

    # The first pair reads the libraries from the disk.
    pairs = [(seconds(HELP), seconds(IMPORTS)) for _ in range(given.repeats + 1)][1:]
    ours, limit = map(statistics.median, zip(*pairs, strict=True))
    row = Row(
        name="start-up, cryofix.train --help",
        ours=f"{ours:.2f} s",
        limit=f"{limit:.2f} s to import torch and lightning",
        ratio=ours / limit,
        target=1.2,
    )
    finish([row], given.rows)


if __name__ == "__main__":
    main()
