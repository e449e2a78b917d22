"""The one exception that a user is meant to read."""


class CryofixError(Exception):
    """Bad input, said in one sentence: the file or key, its value, and the remedy.

    Entry points print the sentence and exit with code 1, without a traceback unless the
    environment has ``CRYOFIX_DEBUG=1``.
    """
