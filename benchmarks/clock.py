"""What benchmarks tell the time by: the clock on the wall, or this process's use of the processor.

The wall's is what a user waits for, and says little while others use the machine. Ratios of CPU
time then still hold, roughly: what others do to its caches hits both sides.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

_counter: Callable[[], float] = time.perf_counter


def use(cpu_time: bool) -> None:
    """Choose the clock of this process; with CPU time torch gets one thread, so that none spins."""
    global _counter
    _counter = time.process_time if cpu_time else time.perf_counter
    if cpu_time:
        torch.set_num_threads(1)


def now(device: torch.device | None = None) -> float:
    """Return the time, in seconds, when a device has done all that it was asked to."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return _counter()


@dataclass(frozen=True)
class Used:
    """What a command took: on the wall, of the processor, and the most memory at a time."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def used_by(command: Sequence[str]) -> Used:
    """Run a command, without its output, and return what it took with all that it started.

    Raises RuntimeError with the end of its errors if it fails.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{errors[-2000:]}")
    return Used(
        seconds=time.perf_counter() - began,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,  # of the largest of its processes
    )
