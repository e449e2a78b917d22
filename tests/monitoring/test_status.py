"""status.json follows the run."""

import json
import logging
from pathlib import Path

import pytest

from cryofix.errors import CryofixError
from cryofix.monitoring.status import run_status


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
