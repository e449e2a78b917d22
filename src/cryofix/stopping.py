"""Requests to stop a run: SIGTERM from a scheduler, SIGINT from Ctrl-C."""

import signal
import threading
from types import FrameType
from typing import Any, Self

from cryofix.errors import CryofixError, Stopped, nobody_reads

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequests:
    """Hears requests to stop while it is entered, and ends the run at once or after its step.

    A request raises :class:`KeyboardInterrupt` in the main thread. While :attr:`after_step` is
    set, the first one only sets :attr:`signal`, and whoever runs the steps looks there.
    """

    signal: int | None = None
    """The first one that arrived, or None."""
    after_step = False
    """Whether the running step may end first."""
    leaving = False
    """Whether the run is ending, so that further requests change nothing."""

    def __init__(self, again: str = "the same command") -> None:
        self.again = again  # the command that goes on with the run
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals, also from a library that has taken them meanwhile."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.signal(number, self._hear)
                self._before.setdefault(number, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.leaving:  # who stops a process often asks again while it stops
            return
        first = self.signal is None
        self.signal = self.signal or number
        if not (first and self.after_step):
            raise KeyboardInterrupt

    def reason(self, error: BaseException) -> BaseException:
        """Return why the run ends: a request to stop where there was one, else the error itself.

        What libraries make of a request is part of it; what the user has to repair is not.
        """
        if nobody_reads(error):
            self.signal = self.signal or signal.SIGPIPE
        lost = isinstance(error, ConnectionError)  # a process of ours that has stopped before
        repair = isinstance(error, CryofixError | OSError) and not lost
        return error if self.signal is None or repair else self.stopped()

    def stopped(self, where: str = "") -> Stopped:
        """Return the sentence that says what stopped the run, ``where``, and how it goes on."""
        number = self.signal or signal.SIGTERM
        name = signal.Signals(number).name
        return Stopped(f"stopped by {name}{where}; {self.again} goes on from there", number)
