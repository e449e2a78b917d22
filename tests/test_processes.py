"""Processes that end with the one that they work for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from cryofix.processes import cores_at_hand

CHILD = """
import sys, time
from cryofix.processes import end_with
try:
    end_with({process}, {grace})
    print("ready", flush=True)
    time.sleep(100)
except KeyboardInterrupt:
    print("asked", flush=True)
    {then}
"""


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process to outlive or not; nobody waits for it, so that it stays a zombie."""
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process
        process.kill()


def child(process: int, grace: float, then: str = "pass") -> "subprocess.Popen[str]":
    code = CHILD.format(process=process, grace=grace, then=then)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("grace", "then", "said", "code"),
    [(0, "pass", "", 1), (60, "sys.exit(5)", "asked\n", 5), (0.5, "time.sleep(100)", "asked\n", 1)],
    ids=["at-once", "when-asked", "after-its-grace"],
)
def test_a_process_ends_after_the_other_was_killed(
    other: "subprocess.Popen[bytes]", grace: float, then: str, said: str, code: int
) -> None:
    with child(other.pid, grace, then) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        assert process.poll() is None, "the other one is still there"
        os.kill(other.pid, signal.SIGKILL)
        assert process.stdout.read() == said
        assert process.wait(timeout=20) == code


def test_a_process_that_starts_too_late_ends_at_once() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    with child(gone.pid, 0) as process:
        assert process.wait(timeout=20) == 1


def test_a_system_that_does_not_say_which_cores_are_allowed_has_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert cores_at_hand() == 5
