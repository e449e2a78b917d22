"""The collapse preset, trained: its mask loses the particles, and the guard says so before.

The scripts of docs/study are run on it too.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from support import results, run_train

SCRIPTS = Path(__file__).parents[2] / "docs" / "study"


def run_script(name: str, *arguments: str) -> str:
    """Return what a script of docs/study prints."""
    command = [sys.executable, str(SCRIPTS / name), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def validated_recall(run: Path) -> list[tuple[int, float]]:
    """Return the FixMatch branch's steps and pixel recall of the average on validation."""
    events = EventAccumulator(str(run / "tensorboard" / "fixmatch")).Reload()
    return [(each.step, each.value) for each in events.Scalars("validation/pixel_recall")]


@pytest.mark.slow
@pytest.mark.timeout(1800)  # minutes on two cores, more beside other tests
def test_the_preset_collapses_and_the_guard_says_so_before(tmp_path: Path) -> None:
    run_train(
        "experiment=collapse",
        "unlabelled.weight=50",  # at 200 the processor's arithmetic decides where a swing ends
        "trainer.accelerator=cpu",
        "steps.validate_every=20",
        f"output={tmp_path / 'run'}",
    )
    content = results(tmp_path / "run")
    control, fixmatch = (content[branch]["pixel"] for branch in ("supervised", "fixmatch"))
    assert control["recall"] > 0.3
    assert fixmatch["recall"] < control["recall"] / 3
    assert content["collapse"]["alarmed"]
    (_, at_fork), *later = validated_recall(tmp_path / "run")
    burn_in = content["steps"]["burn_in"]
    halved = next(step for step, recall in later if recall < at_fork / 2) - burn_in
    assert content["collapse"]["first_step"] < halved
    run = str(tmp_path / "run")
    said = run_script("guard_replay.py", run)
    assert f"{run}: step {content['collapse']['first_step']}, " in said
    options = "--threshold=0.7", "--burn-in=400", "--generation=20", "--generations=2"
    assert "first line repeated, generation 2: keep 0." in run_script(
        "log_odds_map.py", run, *options
    )
    last = str(tmp_path / "run" / "checkpoints" / "fixmatch" / "last.ckpt")
    first, other = run_script("shared_errors.py", run, last).splitlines()
    assert first.startswith(f"{run}: ")
    assert other.startswith(f"{last}: ")
