"""Run every benchmark, one after another, each in a process of its own, and make one table."""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import rows

SCRIPTS = {  # and their flags
    "step": ("--gpu", "--cpu-time"),
    "policies": ("--gpu", "--cpu-time"),
    "loader": ("--gpu",),
    "preprocess": ("--cpu-time",),
    "pick": ("--cpu-time",),
    "memory": (),
    "startup": ("--cpu-time",),
}
GPU_ROWS = (
    "FixMatch step on a GPU",
    "policies and audit on a GPU",
    "loader, 16 + 16 tiles of 768 px, bf16, 16 cores",
    "a whole study cell at the reference size on one H200",
    "GPU utilisation and MFU",
)
BY_ITSELF = ("picking against Topaz", "`python -m benchmarks.topaz`")


def machine() -> str:
    """Return the processor, its cores that are ours, the GPU if there is one, and torch."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    parts = [
        f"{models[0] if models else platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        *([torch.cuda.get_device_name()] if torch.cuda.is_available() else []),
        f"torch {torch.__version__} with {torch.get_num_threads()} threads",
    ]
    return ", ".join(parts)


def commit() -> str:
    """Return the commit that is measured, marked where files were changed since."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def run(script: str, flags: Sequence[str]) -> list[rows.Row] | None:
    """Run one script and return its rows; None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.{script}", "--rows", str(path)]
        done = subprocess.run([*command, *flags], check=False)
        return rows.read(path) if done.returncode == 0 else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it where asked to; 1 if a script failed."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("scripts", nargs="*", metavar="SCRIPT", help=", ".join(SCRIPTS))
    options.add_argument("--gpu", action="store_true", help="measure the rows of a GPU")
    options.add_argument("--cpu-time", action="store_true", help="of one thread, where it can be")
    options.add_argument("--output", type=Path, help="write the table into this Markdown file")
    given = options.parse_args(arguments)
    if unknown := set(given.scripts) - set(SCRIPTS):
        options.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(SCRIPTS)}")
    flags = {flag for flag in ("--gpu", "--cpu-time") if vars(given)[flag[2:].replace("-", "_")]}
    able = [script for script, known in SCRIPTS.items() if not given.gpu or "--gpu" in known]
    code, load = commit(), os.getloadavg()[0]
    found: list[rows.Row] = []
    missing: list[tuple[str, str]] = []
    for script in given.scripts or able:
        measured = run(script, sorted(flags & set(SCRIPTS[script])))
        found += measured or []
        missing += [] if measured is not None else [(script, "**failed**")]
    failed = bool(missing)
    if not given.gpu:
        missing += [(name, "not measured") for name in GPU_ROWS]
    missing.append(BY_ITSELF)
    text = (
        f"{machine()}. {datetime.date.today()}, commit {code}, load average {load:.1f} before"
        f" and {os.getloadavg()[0]:.1f} after.\n\n{rows.table(found, missing)}"
    )
    print(f"\n{text}")
    if given.output:
        given.output.write_text(text)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
