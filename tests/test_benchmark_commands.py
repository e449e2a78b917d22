"""Long benchmarks go on where they stopped, and never with half a step's time."""

import os
import sys
from pathlib import Path

import pytest
from benchmarks.commands import Commands, pace

WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('a').write('x')"


def test_a_finished_step_is_not_run_again(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "steps")
    command = [sys.executable, "-c", WRITE, str(tmp_path / "runs")]
    first = commands.run("one", command)
    assert commands.run("one", command) == first
    assert (tmp_path / "runs").read_text() == "x"
    assert first["seconds"] > 0
    assert first["cpu_seconds"] > 0


def test_an_interrupted_step_starts_in_a_clean_folder(tmp_path: Path) -> None:
    left = tmp_path / "one" / "half_a_checkpoint"
    left.parent.mkdir()
    left.touch()
    Commands(tmp_path).run("one", [sys.executable, "-c", "print('said')"])
    assert not left.exists()
    assert (tmp_path / "one" / "log.txt").read_text() == "said\n"


def test_another_command_for_a_finished_step_is_refused(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    commands.run("one", [sys.executable, "-c", "1"])
    with pytest.raises(SystemExit, match="was made by another command"):
        commands.run("one", [sys.executable, "-c", "2"])


def test_a_step_that_fails_is_not_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"failed with code 3: see .*log\.txt"):
            Commands(tmp_path).run("one", command)


def test_the_pace_leaves_the_start_out(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abc"]
    for file, written in zip(files, (100.0, 102.0, 105.0), strict=True):
        file.touch()
        os.utime(file, (0, written))
    assert pace(files[::-1]) == pytest.approx(2.5)
