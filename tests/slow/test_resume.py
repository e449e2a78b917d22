"""Killed at any moment and started again, a run gives what an undisturbed one gives."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import SMALL, results

STEPS = (
    "steps={burn_in: 30, stage: 30, validate_every: 10, checkpoint_every: 4,"
    " log_every: 5, audit_every: 2}"
)


def start(folder: Path, *sweep: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start a run, or with overrides of several values a sweep, in a folder."""
    where = ("-m", f"hydra.sweep.dir={folder}", *sweep) if sweep else (f"output={folder}",)
    command = [sys.executable, "-m", "cryofix.train", *where, *SMALL, STEPS, "ratio=0.5"]
    quiet = subprocess.DEVNULL
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment)


def wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    """Wait until the run has written ``path``."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, f"the run ended with {process.returncode} before {path}"
        assert time.monotonic() < deadline, f"no {path} after {seconds} s"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert start(folder).wait(timeout=600) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "file", "seconds"),
    [
        ("burn-in", "checkpoints/burn_in/last.ckpt", 0.8),
        ("fork", "tensorboard/supervised", 0.5),
        ("fixmatch", "checkpoints/fixmatch/last.ckpt", 0.8),
    ],
)
def test_kill_minus_9_and_again_gives_the_same_results(
    undisturbed: Path, tmp_path: Path, moment: str, file: str, seconds: float
) -> None:
    folder = tmp_path / moment
    process = start(folder)
    wait_for(folder / file, process)
    delay = random.Random(os.urandom(8)).uniform(0, seconds)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "results.json").exists(), f"too late: killed after {delay:.2f} s"
    assert json.loads((folder / "status.json").read_text())["state"] == "running"
    assert start(folder).wait(timeout=600) == 0
    assert results(folder) == results(undisturbed), f"killed {delay:.3f} s after {file}"


@pytest.mark.slow
def test_killed_again_and_again_from_the_first_simulated_micrograph_on(
    undisturbed: Path, tmp_path: Path
) -> None:
    folder, variables = tmp_path / "run", {"CRYOFIX_CACHE": str(tmp_path / "cache")}
    status, delays = folder / "status.json", list[float]()
    while len(delays) < 5 and not (folder / "results.json").exists():
        status.unlink(missing_ok=True)
        process = start(folder, **variables)
        wait_for(status, process)
        delays.append(random.Random(os.urandom(8)).uniform(0, 8))
        time.sleep(delays[-1])
        process.kill()
        process.wait()
    assert start(folder, **variables).wait(timeout=600) == 0
    assert results(folder) == results(undisturbed), f"killed after {delays} s"
    assert not list(folder.rglob(".cryofix-*"))


@pytest.mark.slow
def test_a_polite_stop_keeps_the_step_and_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    process = start(folder)
    wait_for(folder / "checkpoints/fixmatch/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    status = json.loads((folder / "status.json").read_text())
    assert status["state"] == "stopped"
    assert "SIGTERM" in status["error"]
    assert start(folder).wait(timeout=600) == 0
    assert results(folder) == results(undisturbed)


@pytest.mark.slow
def test_a_polite_stop_ends_a_whole_sweep_and_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    folder, seeds = tmp_path / "sweep", "seed=0,1"
    process = start(folder, seeds)
    wait_for(folder / "0/checkpoints/fixmatch/last.ckpt", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 128 + signal.SIGINT
    assert "SIGINT" in json.loads((folder / "0/status.json").read_text())["error"]
    assert not (folder / "1").exists()
    assert start(folder, seeds).wait(timeout=600) == 0
    assert results(folder / "0") == results(undisturbed)
    assert (folder / "1/results.json").exists()
