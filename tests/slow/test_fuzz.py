"""Damaged files of every kind that is read: a value, or a sentence that names the file.

Each input is a sound file with a few random changes. Two processes read 10 000 of them under
limits of memory and time. A failure names its input; that is made and read again by

    PYTHONPATH=tests python tests/slow/test_fuzz.py relion 17 /tmp/folder
"""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cryofix.errors import CryofixError
from damage import changed, changed_values
from sound_files import Kind, kinds

HERE = Path(__file__).resolve()
INPUTS = 10_000
PROCESSES = 2
SECONDS = 300  # for all
SECONDS_EACH = 10
MEBIBYTES_EACH = 500
ADDRESS_SPACE = 3 << 30  # bytes above what the process has at its start


def make(kind: Kind, name: str, seed: int, folder: Path) -> None:
    """Write one input into an empty folder; the same name and seed give the same bytes."""
    rng = random.Random(f"{name} {seed}")
    target = rng.choice(sorted(kind.files))
    for file, part in kind.files.items():
        content, packed = part.content, None
        inside = rng.random() < 0.6
        if file == target and not isinstance(content, bytes):
            content = changed_values(rng, content) if inside else content
        elif file == target and part.pack is not bytes and inside:
            content = changed(rng, content)
        packed = part.pack(content)
        if file == target and not (part.pack is not bytes and inside):
            packed = changed(rng, packed)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(packed)


class TooSlow(BaseException):
    """Not an Exception, so that no reader takes it for a damaged file."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def memory(key: str) -> int:
    """Return a line of this process's status in bytes: VmRSS, VmHWM (its peak) or VmSize."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found.group(1)) * 1024


def problem(kind: Kind, folder: Path) -> str:
    """Read one input and say what is wrong with the outcome; nothing if it is right."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory("VmRSS")
    try:
        with deadline(SECONDS_EACH):
            kind.read(folder)
    except CryofixError as error:
        said = str(error)
        if str(folder) not in said:
            return f"the sentence does not name the file: {said}"
        if len(said.splitlines()) != 1:
            return f"the sentence has a line break: {said!r}"
    except TooSlow:
        return f"it took more than {SECONDS_EACH} seconds"
    except BaseException as error:
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
        return f"{type(error).__name__}: {str(error)[:200]} at {place}"
    grown = (memory("VmHWM") - before) >> 20
    return f"it took {grown} MiB" if grown > MEBIBYTES_EACH else ""


def inputs(known: dict[str, Kind], part: int) -> Iterator[tuple[str, int]]:
    """Yield the kinds and seeds of one of the processes."""
    for number in range(part, INPUTS, PROCESSES):
        yield list(known)[number % len(known)], number // len(known)


def work(part: int, folder: Path) -> None:
    """Read a share of the inputs; print what is wrong, and the input at hand into a file."""
    warnings.simplefilter("error")
    known = kinds()
    for name, kind in known.items():
        for file, each in kind.files.items():
            path = folder / "sound" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(each.pack(each.content))
        kind.read(folder / "sound" / name)
    (folder / "at").write_text("the start")
    limit = memory("VmSize") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name, seed in inputs(known, part):
        (folder / "at").write_text(f"'{name}' {seed}")
        here = folder / "input"
        make(known[name], name, seed, here)
        found = problem(known[name], here)
        if found:
            print(f"'{name}' {seed}: {found}", flush=True)
        for path in sorted(here.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    (folder / "at").write_text("the end")


@pytest.mark.slow
def test_damaged_files_give_a_value_or_a_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent.parent)}
    began = time.monotonic()
    processes = []
    for part in range(PROCESSES):
        (tmp_path / str(part)).mkdir()
        command = [sys.executable, str(HERE), str(part), str(tmp_path / str(part))]
        with (
            (tmp_path / f"{part}.out").open("w") as out,
            (tmp_path / f"{part}.err").open("w") as err,
        ):
            processes.append(subprocess.Popen(command, stdout=out, stderr=err, env=environment))
    try:
        for process in processes:
            process.wait(max(1, 2 * SECONDS - (time.monotonic() - began)))
    finally:
        for process in processes:
            process.kill()
    said = "".join((tmp_path / f"{part}.out").read_text() for part in range(PROCESSES))
    for part in range(PROCESSES):
        at = (tmp_path / str(part) / "at").read_text()
        log = (tmp_path / f"{part}.err").read_text()[-2000:]
        assert at == "the end", f"process {part} ended at {at}:\n{said}\n{log}"
    assert not said, (
        f"make and read one again by PYTHONPATH=tests python {__file__} KIND SEED FOLDER:\n{said}"
    )
    assert time.monotonic() - began < SECONDS


if __name__ == "__main__":
    if len(sys.argv) == 3:
        work(int(sys.argv[1]), Path(sys.argv[2]))
    else:
        chosen = kinds()[sys.argv[1]]
        where = Path(sys.argv[3])
        where.mkdir(parents=True)
        make(chosen, sys.argv[1], int(sys.argv[2]), where)
        print(problem(chosen, where) or "a value, or a sentence that names the file")
        chosen.read(where)
