"""``status.json``: what a run is doing, for people, schedulers and reports."""

import json
import logging
import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryofix.errors import CryofixError, Stopped
from cryofix.files import explain_os_error, write_json
from cryofix.stopping import StopRequests

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
    stop
        Where requests to stop the run arrive.
    """

    def __init__(self, path: Path, rank: int, stop: StopRequests) -> None:
        self.path = path
        self.rank = rank
        self.stop = stop
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
        """Write that the run has failed, unless another process has said before why it ends.

        Any rank says it: when one fails, the others can only report that it is gone.
        """
        try:
            said = json.loads(self.path.read_text())["state"] in ("failed", "stopped")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            said = False
        self._content.update(changes, state="failed")
        if said:
            return
        try:
            write_json(self.path, self._content)
        except OSError:  # on a full disk there is room for as much as the file holds already
            with suppress(OSError), self.path.open("r+") as stream:
                stream.write(json.dumps(self._content | {"traceback": None}))
                stream.truncate()


@contextmanager
def run_status(folder: Path, rank: int = 0, again: str = "the same command") -> Iterator[RunStatus]:
    """Keep ``status.json`` of a run folder: running, then finished, stopped, failed or requeued.

    The traceback goes to the log as well, because some launchers call a crashed job completed.

    Raises Stopped when somebody has asked for it, whatever a library has made of that.

    Parameters
    ----------
    folder
        Of the run.
    rank
        Of this process, if several train together.
    again
        The command that goes on with the run when it has been stopped.
    """
    began = time.monotonic()

    def ended() -> dict[str, Any]:
        return {"ended": _now(), "seconds": round(time.monotonic() - began, 3)}

    with StopRequests(again) as stop:
        status = RunStatus(folder / "status.json", rank, stop)
        try:
            status.update()
            yield status
            stop.leaving = True
            status.update(state="finished", **ended())
        except BaseException as error:
            stop.leaving = True
            if _goes_on_later(error):
                status.update(state="requeued", error=REQUEUED, **ended())
                log.info(REQUEUED)
                raise
            reason = stop.reason(error)
            message = str(reason) or type(reason).__name__
            if isinstance(reason, OSError):
                # TensorBoard's thread names no file.
                reason.filename = reason.filename or str(folder)
                message = explain_os_error(reason)
            if isinstance(reason, Stopped):
                status.update(state="stopped", error=message, **ended())
                log.info(message)
                raise reason from None
            if rank > 0 and isinstance(error, SystemExit):
                raise  # the first process has failed, and says why
            status.fail(
                error=f"process {rank}: {message}" if rank else message,
                traceback=None if isinstance(error, CryofixError) else traceback.format_exc(),
                **ended(),
            )
            known = isinstance(error, CryofixError | OSError)  # the entry point prints it
            log.log(logging.INFO if known else logging.ERROR, "failed: %s", message, exc_info=True)
            raise


def _goes_on_later(error: BaseException) -> bool:
    """Say whether submitit leaves the process because it has put the job back into the queue."""
    left = isinstance(error, SystemExit) and error.code == -1
    return left and "SUBMITIT_EXECUTOR" in os.environ


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
