"""How commands end when they cannot go on: one sentence, an exit code, and never a traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import SMALL, free_port, message, mounted

LONG_STEPS = ("steps.burn_in=300", "data.batch_labelled=48", "data.tile_px=256")


@contextmanager
def started(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "line", "overrides"),
    [
        (signal.SIGTERM, "run folder: ", ("data.simulate.micrographs=40",)),  # it simulates then
        (signal.SIGINT, "prior (", LONG_STEPS),  # it trains then
    ],
)
def test_a_run_that_is_stopped_says_where_it_is_and_how_it_goes_on(
    tmp_path: Path, number: signal.Signals, line: str, overrides: tuple[str, ...]
) -> None:
    folder = tmp_path / "runs"
    words = (*SMALL, *overrides, f"output={folder}/a b")
    cache = {"CRYOFIX_CACHE": str(tmp_path / "cache")} if number == signal.SIGTERM else {}
    with started("cryofix.train", *words, **cache) as process:
        assert process.stdout is not None
        lines = [next(process.stdout)]
        while not lines[-1].startswith(line):
            lines.append(next(process.stdout))
        assert lines[0] == f"run folder: {folder}/a b\n"
        for _ in range(2):  # who presses Ctrl-C often does it again
            process.send_signal(number)
            time.sleep(0.3)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    again = f"`python -m cryofix.train {' '.join(words[:-1])} 'output={folder}/a b'`"
    assert said == f"cryofix.train: stopped by {number.name}; {again} goes on from there\n"
    status = json.loads((folder / "a b" / "status.json").read_text())
    assert status["state"] == "stopped"
    assert f"cryofix.train: {status['error']}\n" == said


def test_a_reader_that_has_had_enough_ends_a_command_quietly() -> None:
    unread, written = os.pipe()
    os.close(unread)
    process = subprocess.run(
        [sys.executable, "-m", "cryofix.train", "--help"],
        stdout=written,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(written)
    assert (process.returncode, process.stderr) == (128 + signal.SIGPIPE, "")


def test_a_terminal_without_a_character_gets_another(tmp_path: Path) -> None:
    words = ("micrographs=1", "shape=[192,192]", f"output={tmp_path}/Å")
    with started("cryofix.simulate", *words, PYTHONIOENCODING="ascii") as process:
        shown, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert f"in {tmp_path}/?." in shown


COMMANDS = [
    ("train",),
    ("evaluate", "checkpoint=a"),
    ("diagnose", "probabilities=a"),
    ("pick", "checkpoint=a", "micrographs=a"),
    ("simulate", "micrographs=1", "shape=[192,192]"),
]


@pytest.mark.parametrize(("command", "words"), [(each[0], each[1:]) for each in COMMANDS])
def test_an_output_that_is_a_file_or_below_one_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("mine")
    said = message(capsys, *words, f"output={tmp_path}/file", command=command)
    assert said.startswith(f"cryofix.{command}: {tmp_path}/file")
    assert said.endswith("cannot be used: File exists; choose a name that no file has")
    said = message(capsys, *words, f"output={tmp_path}/file/below", command=command)
    assert said.startswith(f"cryofix.{command}: {tmp_path}/file/below")
    assert "Not a directory" in said
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("command", "words"), [(each[0], each[1:]) for each in COMMANDS])
def test_an_output_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, words: tuple[str, ...]
) -> None:
    with mounted(tmp_path / "disk", "ro") as disk:
        said = message(capsys, *words, f"output={disk}/run", command=command)
    assert said.startswith(f"cryofix.{command}: {disk}/run")
    assert said.endswith("Read-only file system; choose a folder that can be written to")


@pytest.mark.parametrize(("command", "words"), [(each[0], each[1:]) for each in COMMANDS[:-1]])
def test_a_disk_without_any_room_is_one_sentence_that_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, words: tuple[str, ...]
) -> None:
    """Hydra writes first, and the system does not say which file it refused to write."""
    with mounted(tmp_path / "disk", "size=4k") as disk:
        (disk / "all").write_bytes(bytes(4096))
        said = message(capsys, *words, f"output={disk}/run", command=command)
    assert said == (
        f"cryofix.{command}: {disk}/run/.hydra/config.yaml cannot be used: No space left on device;"
        " make room there or choose another folder, and start again"
    )


@pytest.mark.parametrize("left_over", [True, False])
def test_processes_that_do_not_exist_are_not_waited_for_in_silence(
    tmp_path: Path, left_over: bool
) -> None:
    """Left-over variables, or ``srun -n2 --pty`` with two tasks of which one is there."""
    torchrun = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    srun = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    names = torchrun if left_over else srun
    words = (*SMALL, f"output={tmp_path}/run", *(() if left_over else ("+trainer.strategy=ddp",)))
    with started("cryofix.train", *words, MASTER_PORT=str(free_port()), **names) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "process" in line)
        if not left_over:
            process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=120)
    if left_over:
        assert "or start one process; if there is one only, RANK=0 WORLD_SIZE=2" in said
        assert said.endswith("left over in the environment: unset RANK WORLD_SIZE LOCAL_RANK\n")
        assert (process.returncode, rest) == (1, "")
    else:
        assert said.startswith("2 processes train together and not all have come; if there is one")
        assert said.endswith("unset SLURM_STEP_NUM_TASKS\n")
        stopped = "cryofix.train: stopped by SIGINT\n"
        assert (process.returncode, rest) == (128 + signal.SIGINT, stopped)
