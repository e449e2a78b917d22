"""``status.json``: what a run is doing, for people, schedulers and reports."""

import json
import logging
import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryofix.errors import CryofixError
from cryofix.files import write_json

log = logging.getLogger(__name__)

REQUEUED = "the scheduler took the job off its node; it goes on from its last checkpoint"


class RunStatus:
    """The content of ``status.json``; every change is written at once.

    Parameters
    ----------
    path
        Of the file.
    rank
        Of several processes; only the first writes.
    """

    def __init__(self, path: Path, rank: int = 0) -> None:
        self.path = path
        self.rank = rank
        self._content: dict[str, Any] = {
            "state": "running",
            "error": None,
            "started": _now(),
            "ended": None,
            "host": socket.gethostname(),
            "process": os.getpid(),
        }

    def update(self, **changes: Any) -> None:
        """Set keys and write the file."""
        self._content.update(changes)
        if self.rank == 0:
            write_json(self.path, self._content)

    def fail(self, **changes: Any) -> None:
        """Write that the run has failed, unless another process has said so before.

        Any rank says it: when one fails, the others can only report that it is gone.
        """
        try:
            said = json.loads(self.path.read_text())["state"] == "failed"
        except (OSError, ValueError, KeyError, TypeError):
            said = False
        self._content.update(changes, state="failed")
        if not said:
            write_json(self.path, self._content)


@contextmanager
def run_status(folder: Path, rank: int = 0) -> Iterator[RunStatus]:
    """Keep ``status.json`` of a run folder: running, then finished, failed or requeued.

    The traceback goes to the log as well, because some launchers call a crashed job completed.

    Parameters
    ----------
    folder
        Of the run.
    rank
        Of this process, if several train together.
    """
    status = RunStatus(folder / "status.json", rank)
    began = time.monotonic()
    status.update()
    try:
        yield status
    except BaseException as error:
        ended = {"ended": _now(), "seconds": round(time.monotonic() - began, 3)}
        if _goes_on_later(error):
            status.update(state="requeued", error=REQUEUED, **ended)
            log.info(REQUEUED)
            raise
        if rank > 0 and isinstance(error, SystemExit):
            raise  # the first process has failed, and says why
        message = str(error) or type(error).__name__
        status.fail(
            error=f"process {rank}: {message}" if rank else message,
            traceback=None if isinstance(error, CryofixError) else traceback.format_exc(),
            **ended,
        )
        if isinstance(error, CryofixError):
            log.info("failed: %s", message)  # the entry point prints it
        else:
            log.exception("failed: %s", message)
        raise
    status.update(state="finished", ended=_now(), seconds=round(time.monotonic() - began, 3))


def _goes_on_later(error: BaseException) -> bool:
    """Say whether submitit leaves the process because it has put the job back into the queue."""
    left = isinstance(error, SystemExit) and error.code == -1
    return left and "SUBMITIT_EXECUTOR" in os.environ


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
