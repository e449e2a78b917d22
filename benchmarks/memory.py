"""Peak memory of training with few and with many micrographs, each in a process of its own."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import itertools, json, resource, sys
from cryofix.data.datamodule import CryoDataModule
data = CryoDataModule(cache=sys.argv[1], ratio=0.5, seed=0, limit=int(sys.argv[2]),
                      simulate={"micrographs": int(sys.argv[2]), "shape": [512, 512]})
data.setup()
for batch in itertools.islice(data.train_dataloader(), int(sys.argv[3])):
    pass
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""


def peak_mib(cache: Path, micrographs: int, steps: int) -> float:
    """Return the peak resident memory, in MiB, of simulating, preprocessing and loading."""
    command = [sys.executable, "-c", CHILD, str(cache), str(micrographs), str(steps)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak: float = json.loads(done.stdout.splitlines()[-1])
    return peak


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=40)
    parser.add_argument("--many", type=int, default=400)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        few, many = (
            peak_mib(Path(cache), count, arguments.steps)
            for count in (arguments.few, arguments.many)
        )
    print(
        f"peak memory: {few:.0f} MiB with {arguments.few} micrographs, {many:.0f} MiB with"
        f" {arguments.many}, ratio {many / few:.3f}"
    )


if __name__ == "__main__":
    main()
