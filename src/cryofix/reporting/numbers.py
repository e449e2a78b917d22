"""How numbers are written, on terminals, in tables and in figures."""

import math

MINUS = "\N{MINUS SIGN}"
NOT_MEASURED = "not measured"


def plain(value: float | None, digits: int = 3) -> str:
    """Write a score: ``0.560``; nothing for an unknown or undefined value."""
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """Write a gain or a drift with its sign and a true minus: ``+0.058``, never a negative zero."""
    if value is None or math.isnan(value):
        return ""
    if math.isinf(value):
        return "infinity" if value > 0 else "minus infinity"
    return f"{value + 0.0:+.{digits}f}".replace("-", MINUS)


def percent(share: float | None, digits: int | None = None) -> str:
    """Write a share in percent: ``5 %`` or ``2.5 %``, or with so many digits after the point."""
    if share is None or math.isnan(share):
        return ""
    return f"{100 * share:.3g} %" if digits is None else f"{100 * share:.{digits}f} %"


def count(number: float) -> str:
    """Write a count with its thousands: ``12,345``."""
    return f"{number:,.0f}"


def gain_with_interval(
    value: float, interval: tuple[float, float] | None, without: str = "no interval"
) -> str:
    """Write ``+0.021 [-0.003, +0.044]``; ``without`` says why there is no interval."""
    if interval is None:
        return f"{signed(value)} ({without})"
    return f"{signed(value)} [{signed(interval[0])}, {signed(interval[1])}]"
