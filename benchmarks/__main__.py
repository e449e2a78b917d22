"""Run every benchmark, one after another, each in a process of its own."""

import subprocess
import sys

ROWS = ("step", "memory", "pick")

if __name__ == "__main__":
    for row in ROWS:
        command = [sys.executable, "-m", f"benchmarks.{row}"]
        print(f"{row}:", flush=True)
        subprocess.run(command, check=True)
