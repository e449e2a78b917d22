"""``status.json``: what a run is doing, for people, schedulers and reports."""

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


class RunStatus:
    """The content of ``status.json``; every change is written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
        write_json(self.path, self._content)


@contextmanager
def run_status(folder: Path) -> Iterator[RunStatus]:
    """Keep ``status.json`` of a run folder: running, then finished or failed with the error.

    The traceback goes to the log as well, because some launchers call a crashed job completed.
    """
    status = RunStatus(folder / "status.json")
    began = time.monotonic()
    status.update()
    try:
        yield status
    except BaseException as error:
        message = str(error) or type(error).__name__
        status.update(
            state="failed",
            error=message,
            traceback=None if isinstance(error, CryofixError) else traceback.format_exc(),
            ended=_now(),
            seconds=round(time.monotonic() - began, 3),
        )
        if isinstance(error, CryofixError):
            log.info("failed: %s", message)  # the entry point prints it
        else:
            log.exception("failed: %s", message)
        raise
    status.update(state="finished", ended=_now(), seconds=round(time.monotonic() - began, 3))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
