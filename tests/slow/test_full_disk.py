"""On a disk that is full, or that cannot be written, a run says so and goes on later."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import SMALL, mounted, results

SIZES_MB = (2, 10, 20, 30, 37)  # a whole run and its cache take 40


def train(folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cryofix.train", *SMALL, "ratio=0.5", f"output={folder}"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CRYOFIX_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def assert_one_sentence(done: subprocess.CompletedProcess[str], reason: str) -> None:
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("WARNING: ")]
    assert len(said) == 1, done.stderr
    assert said[0].startswith("cryofix.train: /")
    assert reason in said[0]


@pytest.mark.slow
def test_a_disk_that_is_full_at_five_sizes_is_said_and_room_gives_the_same_results(
    tmp_path: Path, cache: Path
) -> None:
    done = train(tmp_path / "undisturbed", cache)
    assert done.returncode == 0, done.stderr
    with mounted(tmp_path / "disk", f"size={SIZES_MB[0]}m") as disk:
        run = disk / "run"
        for size in SIZES_MB:
            subprocess.run(["mount", "-o", f"remount,size={size}m", str(disk)], check=True)
            assert_one_sentence(train(run, disk / "cache"), "No space left on device; make room")
            assert json.loads((run / "status.json").read_text())["state"] == "failed"
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        done = train(run, disk / "cache")
        assert done.returncode == 0, done.stderr
        assert results(run) == results(tmp_path / "undisturbed")
        assert not list(disk.rglob(".cryofix-*"))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["output", "cache", "run"])
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, cache: Path, place: str) -> None:
    with mounted(tmp_path / "disk", "size=200m") as disk:
        folder = tmp_path / "run" if place == "cache" else disk / "run"
        if place == "run":
            folder.mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        where = disk / "cache" if place == "cache" else cache
        assert_one_sentence(train(folder, where), "Read-only file system; choose a folder")


@pytest.mark.slow
def test_a_disk_that_is_full_for_tensorboard_alone_is_said_once(
    tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "run").mkdir()
    with mounted(tmp_path / "run" / "tensorboard", "size=64k"):
        done = train(tmp_path / "run", cache)
    assert_one_sentence(done, f"{tmp_path / 'run'} cannot be used: No space left on device")
