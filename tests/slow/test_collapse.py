"""The collapse preset, trained: its mask loses the particles, and the guard says so before.

The scripts of docs/study are run on it too.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from support import results, run_train

SCRIPTS = Path(__file__).parents[2] / "docs" / "study"


def run_script(name: str, *arguments: str) -> str:
    """Return what a script of docs/study prints."""
    command = [sys.executable, str(SCRIPTS / name), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_the_preset_collapses_and_the_guard_says_so_before(tmp_path: Path) -> None:
    run_train(
        "experiment=collapse",
        "trainer.accelerator=cpu",
        "steps.validate_every=100",
        f"output={tmp_path / 'run'}",
    )
    content = results(tmp_path / "run")
    control, fixmatch = (content[branch]["pixel"] for branch in ("supervised", "fixmatch"))
    assert control["recall"] > 0.3
    # Where a swing ends is chaotic: nothing is particle, or far too much is (docs/collapse.md).
    emptied = fixmatch["recall"] < control["recall"] / 3
    flooded = fixmatch["average_precision"] < control["average_precision"] / 3
    assert emptied or flooded
    assert content["collapse"]["alarmed"]
    assert content["collapse"]["first_step"] <= 50  # recall is half of it at 50 or later
    run = str(tmp_path / "run")
    said = run_script("guard_replay.py", run)
    assert f"{run}: step {content['collapse']['first_step']}, pseudo-labels" in said
    options = "--threshold=0.7", "--burn-in=400", "--generation=20", "--generations=2"
    assert "first line repeated, generation 2: keep 0." in run_script(
        "log_odds_map.py", run, *options
    )
    last = str(tmp_path / "run" / "checkpoints" / "fixmatch" / "last.ckpt")
    first, other = run_script("shared_errors.py", run, last).splitlines()
    assert first.startswith(f"{run}: ")
    assert other.startswith(f"{last}: ")
