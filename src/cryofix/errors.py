"""The exceptions that a user is meant to read."""

from signal import SIGTERM


class CryofixError(Exception):
    """Bad input, said in one sentence: the file or key, its value, and the remedy.

    Entry points print the sentence and exit with code 1, without a traceback unless the
    environment has ``CRYOFIX_DEBUG=1``.
    """


class Stopped(CryofixError):  # noqa: N818 - a request, not an error
    """Somebody asked the process to stop, and it has kept where it was.

    Entry points exit with 128 plus the number of the signal, as shells do.
    """

    def __init__(self, message: str, signal: int = SIGTERM) -> None:
        super().__init__(message)
        self.signal = signal


def nobody_reads(error: BaseException) -> bool:
    """Say whether the reader of standard output has gone, as ``head`` does when it has enough."""
    # rich leaves the process when it notices.
    behind = error.__context__ if isinstance(error, SystemExit) else error
    return isinstance(behind, BrokenPipeError)
