"""Checks of a policy's parameters, with messages for whoever wrote the configuration."""

from typing import Any

from cryofix.errors import CryofixError


def require(holds: bool, key: str, value: Any, remedy: str) -> None:
    """Raise a `CryofixError` that names ``mask.key``, its value and the remedy unless it holds."""
    if not holds:
        raise CryofixError(f"mask.{key} is {value!r}: {remedy}.")


def require_threshold(key: str, value: float) -> float:
    """Return a threshold on a probability, or raise a `CryofixError` if outside [0, 1]."""
    require(0.0 <= value <= 1.0, key, value, "give a probability in [0, 1], for example 0.7")
    return float(value)


def require_share(key: str, value: float) -> float:
    """Return a share of pixels, or raise a `CryofixError` if it is not in (0, 1]."""
    require(0.0 < value <= 1.0, key, value, "give a share of pixels above 0 and at most 1")
    return float(value)


def require_decay(decay: float) -> float:
    """Return the decay of a moving average, or raise a `CryofixError` if outside [0, 1)."""
    require(0.0 <= decay < 1.0, "decay", decay, "give a number from 0 to below 1, such as 0.99")
    return float(decay)
