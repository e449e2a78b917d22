"""Each benchmark runs by itself and leaves its row, here with too little work to mean anything."""

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import rows
from benchmarks.__main__ import SCRIPTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LITTLE = {
    "step": ("--steps", "8", "data.simulate.micrographs=8", "ratio=0.5"),
    "policies": ("--repeats", "1", "data.tile_px=32"),
    "loader": ("--batches", "2", "data.simulate.micrographs=4"),
    "preprocess": ("--side", "512", "--repeats", "1"),
    "pick": ("--side", "512", "--repeats", "2", "--workers", "1"),
    "memory": ("20", "24"),
    "startup": ("--repeats", "1"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_alone_writes_its_rows(script: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    command = [sys.executable, "-m", f"benchmarks.{script}", *LITTLE[script], "--rows", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = rows.read(path)
    assert found
    assert all(row.ratio > 0 and str(row) in done.stdout for row in found)


def test_the_rates_of_the_scale_are_printed() -> None:
    little = ("--micrographs", "1", "--files", "2", "--tiles", "4")
    command = [sys.executable, "-m", "benchmarks.scale", *little]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "MiB for each" in done.stdout


def test_the_switches_are_timed_and_operations_counted() -> None:
    little = ("--rounds", "1", "data.tile_px=32")
    command = [sys.executable, "-m", "benchmarks.switches", *little]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("| as configured |", "| with compile |", "GFLOP a step"):
        assert words in done.stdout
