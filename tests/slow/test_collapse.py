"""The collapse preset, trained: its mask loses the particles, and the guard says so before."""

from pathlib import Path

import pytest

from support import results, run_train


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
