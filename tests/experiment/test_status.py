"""status.json follows the run."""

import errno
import json
import logging
import signal
from pathlib import Path

import pytest

from cryofix.errors import CryofixError, Stopped
from cryofix.experiment.status import run_status
from support import mounted


def content(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((folder / "status.json").read_text())
    return loaded


def test_running_then_finished(tmp_path: Path) -> None:
    with run_status(tmp_path) as status:
        assert content(tmp_path)["state"] == "running"
        status.update(phase="burn-in")
        assert content(tmp_path)["phase"] == "burn-in"
    assert content(tmp_path)["state"] == "finished"
    assert content(tmp_path)["error"] is None


def test_a_crash_is_failed_with_its_traceback_in_file_and_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def crash() -> None:
        with run_status(tmp_path):
            raise ZeroDivisionError("by zero")

    with caplog.at_level(logging.ERROR), pytest.raises(ZeroDivisionError):
        crash()
    assert content(tmp_path)["state"] == "failed"
    assert "by zero" in str(content(tmp_path)["error"])
    assert "ZeroDivisionError" in str(content(tmp_path)["traceback"])
    assert "ZeroDivisionError" in caplog.text


def test_a_users_error_is_failed_with_its_sentence_and_no_traceback(tmp_path: Path) -> None:
    def fail() -> None:
        with run_status(tmp_path):
            raise CryofixError("ratio=2 is too much")

    with pytest.raises(CryofixError):
        fail()
    assert content(tmp_path)["error"] == "ratio=2 is too much"
    assert content(tmp_path)["traceback"] is None


def leave(folder: Path, error: BaseException, rank: int = 0) -> None:
    with run_status(folder, rank):
        raise error


def test_a_job_that_submitit_requeues_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    with pytest.raises(SystemExit):
        leave(tmp_path, SystemExit(-1))
    assert content(tmp_path)["state"] == "requeued"


def test_leaving_in_any_other_way_is_failing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    with pytest.raises(SystemExit):
        leave(tmp_path, SystemExit(1))
    assert content(tmp_path)["state"] == "failed"
    monkeypatch.delenv("SUBMITIT_EXECUTOR")
    with pytest.raises(SystemExit):
        leave(tmp_path, SystemExit(-1))
    assert content(tmp_path)["state"] == "failed"


def test_of_several_processes_the_one_that_fails_says_it_first(tmp_path: Path) -> None:
    def first() -> None:
        with run_status(tmp_path):
            with run_status(tmp_path, rank=1):
                pass
            assert content(tmp_path)["state"] == "running", "only the first says that all is well"
            with pytest.raises(SystemExit):
                leave(tmp_path, SystemExit(1), rank=1)
            assert content(tmp_path)["state"] == "running", "the first knows why"
            with pytest.raises(ValueError, match="memory"):
                leave(tmp_path, ValueError("out of memory"), rank=1)
            raise ConnectionError("the others have gone")

    with pytest.raises(ConnectionError):
        first()
    assert content(tmp_path)["state"] == "failed"
    assert content(tmp_path)["error"] == "process 1: out of memory"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("library", [None, SystemExit(1), RuntimeError("a worker was killed")])
def test_a_request_to_stop_is_no_failure_whatever_a_library_makes_of_it(
    tmp_path: Path, number: signal.Signals, library: BaseException | None
) -> None:
    before = signal.getsignal(number)

    def run() -> None:
        with run_status(tmp_path, again="`python -m cryofix.train output=runs/a`"):
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt:
                if library is not None:
                    raise library from None
                raise

    with pytest.raises(Stopped) as caught:
        run()
    said = f"stopped by {number.name}; `python -m cryofix.train output=runs/a` goes on from there"
    assert str(caught.value) == said
    assert caught.value.signal == number
    assert content(tmp_path)["state"] == "stopped"
    assert content(tmp_path)["error"] == said
    assert signal.getsignal(number) is before


def test_what_goes_wrong_while_a_run_stops_is_said(tmp_path: Path) -> None:
    def run() -> None:
        with run_status(tmp_path):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise OSError(errno.ENOSPC, "No space left on device", "last.ckpt") from None

    with pytest.raises(OSError, match=r"last\.ckpt"):
        run()
    assert content(tmp_path)["state"] == "failed"


def test_a_reader_that_has_gone_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(Stopped) as caught:
        leave(tmp_path, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert caught.value.signal == signal.SIGPIPE
    assert content(tmp_path)["state"] == "stopped"


def test_a_full_disk_is_said_in_the_file_too(tmp_path: Path) -> None:
    def run(folder: Path) -> None:
        with run_status(folder), (folder / "large").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(512))

    with mounted(tmp_path / "disk", "size=64k") as disk:
        with pytest.raises(OSError, match="No space left"):
            run(disk)
        assert content(disk)["state"] == "failed"
        assert "No space left on device; make room there" in str(content(disk)["error"])
