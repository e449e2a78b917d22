"""The exceptions that a user is meant to read."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from signal import SIGPIPE, SIGTERM


class CryofixError(Exception):
    """Bad input, said in one sentence: the file or key, its value, and the remedy.

    Entry points print the sentence and exit with code 1, without a traceback unless the
    environment has ``CRYOFIX_DEBUG=1``. Line breaks, which values and other programs' messages
    bring along, become blanks.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(re.sub(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*", " ", sentence))


class UnknownKeyError(CryofixError):
    """A key of the configuration that nobody takes."""

    key = ""
    """The key, dotted."""


class Stopped(CryofixError):  # noqa: N818 - a request, not an error
    """Somebody asked the process to stop, and it has kept where it was.

    Entry points exit with 128 plus the number of the signal, as shells do.
    """

    def __init__(self, message: str, signal: int = SIGTERM) -> None:
        super().__init__(message)
        self.signal = signal


def nobody_reads(error: BaseException) -> bool:
    """Say whether the reader of standard output has gone, as ``head`` does when it has enough."""
    if isinstance(error, Stopped):
        return error.signal == SIGPIPE
    # rich leaves the process when it notices.
    behind = error.__context__ if isinstance(error, SystemExit) else error
    return isinstance(behind, BrokenPipeError)


def reason(error: BaseException) -> str:
    """Return what another library's error says, on one line and at most 200 characters long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


@contextmanager
def explained(what: str, remedy: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds that other libraries raise into ``what (reason): remedy``."""
    try:
        yield
    except kinds as error:
        if isinstance(error, CryofixError):
            raise
        raise CryofixError(f"{what} ({reason(error)}): {remedy}") from error


def check_range(key: str, value: float | None, low: float, high: float) -> None:
    """Refuse a number outside ``low`` to ``high``, both included, NaN too; None passes.

    Raises CryofixError naming key, value and range.
    """
    if value is not None and not low <= value <= high:
        raise CryofixError(f"{key}={value} is out of range: give a number from {low:g} to {high:g}")


def check_known(key: str, value: object, known: Iterable[str]) -> None:
    """Refuse a word that is not one of those known.

    Raises CryofixError naming key, value and the words.
    """
    known = list(known)
    if value not in known:
        raise CryofixError(f"{key}={value} is not known; use one of {', '.join(known)}")


def check_ranges(record: object, prefix: str = "", **ranges: tuple[float, float]) -> None:
    """Check fields of a record by :func:`check_range`; ``prefix`` stands before their keys."""
    for name, bounds in ranges.items():
        check_range(prefix + name, getattr(record, name), *bounds)
