"""What the running command calls the options of readers and writers, for their messages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_KEYS: ContextVar[Mapping[str, str]] = ContextVar("keys", default={})  # noqa: B039 - never changed


def option_key(option: str) -> str:
    """Return the configuration's key for an option; the option's own name in a Python program."""
    return _KEYS.get().get(option, option)


@contextmanager
def keys_of_command(keys: Mapping[str, str] | None) -> Iterator[None]:
    """Let `option_key` use these names inside the block; None keeps those from around it."""
    token = _KEYS.set(_KEYS.get() if keys is None else keys)
    try:
        yield
    finally:
        _KEYS.reset(token)


def reading_keys(options: str, others: str) -> dict[str, str]:
    """Return the keys for reading: a format's options and all others, each with its prefix.

    Examples
    --------
    >>> reading_keys("data.read.", "data.")["suffix"]
    'data.read.suffix'
    """
    own = {option: options + option for option in ("downsample", "suffix", "threshold")}
    return own | {
        option: others + option for option in ("format", "y_origin", "allow_empty", "outside")
    }
