"""How many processes work at once, and that they end with the one that wants their work."""

import os
import select
import signal
import threading
import time

POLL_SECONDS = 1.0  # where the system cannot wait for a process that is no child


def cores_at_hand() -> int:
    """Return on how many cores this process may run; a system that does not say has all of them."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux has it, macOS does not
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def end_with(process: int, grace_seconds: float = 0.0) -> None:
    """See to it that this process ends after another one, and return at once.

    A process that is killed cannot end those it has started, so they have to look for themselves.
    ``process`` is the number of the other one, which need not be the parent and may have gone
    already. Without ``grace_seconds`` this process then ends at once. Otherwise it gets the signal
    of Ctrl-C, and ends after so many seconds if it is still there.
    """
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        handle = -1
    except (AttributeError, OSError):  # another system than Linux, or an old one
        handle = None

    def watch() -> None:
        if handle is None:
            while _is_there(process):
                time.sleep(POLL_SECONDS)
        elif handle >= 0:
            waiting = select.poll()
            waiting.register(handle, select.POLLIN)
            waiting.poll()
        if grace_seconds > 0:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(grace_seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
