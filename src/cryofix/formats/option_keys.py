"""What the running command calls the options of readers and writers, for their messages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cryofix.errors import CryofixError

SHARED = ("format", "y_origin", "allow_empty", "outside")
"""Options that do not belong to one format."""


@dataclass(frozen=True)
class CommandKeys:
    """The configuration's keys for options.

    ``own`` stands before the name of a format's own option, ``shared`` before the name of an
    option of `SHARED`, and ``named`` holds the keys that differ from that, by option.

    Examples
    --------
    >>> CommandKeys("data.read.", "data.")("suffix")
    'data.read.suffix'
    """

    own: str = ""
    shared: str = ""
    named: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, option: str) -> str:
        """Return the key of one option."""
        prefix = self.shared if option in SHARED else self.own
        return self.named.get(option, prefix + option)


_KEYS: ContextVar[CommandKeys] = ContextVar("keys", default=CommandKeys())  # noqa: B039 - frozen


def option_key(option: str) -> str:
    """Return the configuration's key for an option; the option's own name in a Python program."""
    return _KEYS.get()(option)


@contextmanager
def keys_of_command(keys: CommandKeys | None) -> Iterator[None]:
    """Let `option_key` use these keys inside the block; None keeps those from around it."""
    token = _KEYS.set(_KEYS.get() if keys is None else keys)
    try:
        yield
    finally:
        _KEYS.reset(token)


def check_option(value: Any, option: str, *, above: float = 0, zero: bool = False) -> None:
    """Raise a CryofixError if what a user gave is no finite number above a limit, or ``zero``."""
    if not (isinstance(value, int | float) and (above < value < np.inf or (zero and value == 0))):
        limit = " of 0 or more" if zero else f" above {above:g}" if np.isfinite(above) else ""
        raise CryofixError(f"{option_key(option)}={value} has to be a number{limit}")
