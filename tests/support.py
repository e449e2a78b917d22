"""What tests share: the commands run in this process on little data; free ports."""

import importlib
import json
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

SMALL = ("trainer=smoke", "data.simulate.micrographs=8", "compute.channels_last=false")

REFERENCE = [  # threshold, kept %, particle share %, particle keep %, background keep %
    (0.50, 100.0, 3.3, 100.0, 100.0),
    (0.60, 95.5, 1.9, 56.8, 96.8),
    (0.70, 81.0, 1.0, 24.2, 82.9),
    (0.80, 47.8, 0.5, 7.4, 49.1),
    (0.90, 15.1, 0.3, 1.5, 15.6),
]
# The table is rounded: 49.1 with its neighbours would give 47.7 kept, so it was 49.13 or more.
UNROUNDED = [(*row[:4], 49.14 if row[0] == 0.80 else row[4]) for row in REFERENCE]
PARTICLE_SHARE = 0.0327


def growth(work: Callable[[int], object], small: int, large: int) -> float:
    """Return how many times as much processor time ``work(large)`` takes as ``work(small)``.

    A ratio tells linear from quadratic on every machine; the best of three is the least disturbed.
    """

    def seconds(size: int) -> float:
        began = time.process_time()
        work(size)
        return time.process_time() - began

    least = min(seconds(small) for _ in range(3))
    return min(seconds(large) for _ in range(3)) / least


def run_train(*overrides: str) -> float | None:
    """Run ``python -m cryofix.train`` in this process."""
    return run_command("train", *overrides)


def run_command(command: str, *overrides: str) -> float | None:
    """Run a command in this process."""
    main = importlib.import_module(f"cryofix.{command}").main
    with mock.patch.object(sys, "argv", [f"cryofix.{command}", *overrides]):
        result: float | None = main()
    return result


def wait_until(happened: Callable[[], Any], seconds: float = 60, what: str = "it") -> None:
    """Wait for something; fails when it has not happened in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)


def message(capsys: pytest.CaptureFixture[str], *overrides: str, command: str = "train") -> str:
    """Run a command that has to fail and return what it says."""
    module = importlib.import_module(f"cryofix.{command}")
    with (
        mock.patch.object(sys, "argv", [f"cryofix.{command}", *overrides]),
        pytest.raises(SystemExit) as stop,
    ):
        module.main()
    assert stop.value.code == 1
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith(f"cryofix.{command}: ")]
    assert len(lines) == 1, said
    return lines[0]


def results(folder: Path) -> dict[str, Any]:
    """Read ``results.json`` without what may differ between two equal runs."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text())
    content.pop("seconds")
    return content


def free_port() -> int:
    """Return a TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def one_and_two_processes(script: Path, folder: Path, *arguments: Path) -> dict[str, Any]:
    """Run a script's ``main(*arguments, folder, rank, count)`` alone, and as each of two.

    Returns what it saved in ``folder`` as ``{count}-{rank}.pt``, by that name.
    """
    words = [str(path) for path in (script, *arguments, folder)]
    started = [
        subprocess.Popen(
            [sys.executable, *words, str(rank), "2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        runpy.run_path(str(script))["main"](*arguments, folder, 0, 1)
        for process in started:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    finally:
        for process in started:
            process.kill()
    names = ("1-0", "2-0", "2-1")
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in names}


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small file system of its own on a folder, or skip where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"only root may mount a small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
