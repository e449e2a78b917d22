"""The exceptions that a user is meant to read."""


class CryofixError(Exception):
    """Bad input, said in one sentence: the file or key, its value, and the remedy.

    Entry points print the sentence and exit with code 1, without a traceback unless the
    environment has ``CRYOFIX_DEBUG=1``.
    """


class Stopped(CryofixError):  # noqa: N818 - a request, not an error
    """Somebody asked the process to stop, and it has kept where it was."""
