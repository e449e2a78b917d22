"""Numbers out of files and from users: every one is checked where it is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.option_keys import option_key


def numbers(
    values: Sequence[Any] | NDArray[Any],
    column: str,
    source: Path,
    *,
    optional: bool = False,
    positive: bool = False,
) -> NDArray[np.float64]:
    """Return one column as float64.

    Raises CryofixError if a value is no finite number, or not above 0 where it should be, naming
    file, row (from 1) and value.

    Parameters
    ----------
    values
        Numbers, or their text.
    column, source
        For messages.
    optional
        Whether single values may be missing (empty, null, ``nan``, ``<NA>``): they become NaN.
    positive
        Whether all have to be above 0, as lengths do.
    """
    try:
        raw = pd.Series(values, dtype=None if len(values) else np.float64)
        with np.errstate(all="ignore"):  # a NaN that signals
            converted = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64)
    except (TypeError, ValueError, OverflowError):  # a list among the numbers, or 400 digits
        raw = pd.Series(values, dtype=object)
        converted = np.array([_number(value) for value in values])
    bad = ~np.isfinite(converted)
    if optional:
        bad[bad] = [not _missing(value) for value in raw[bad]]
    for wrong, what in ((bad, "not a number"), (positive & (converted <= 0), "not above 0")):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise CryofixError(
                f"{source}, row {row + 1}: {column} is {raw.tolist()[row]!r:.60}, {what}: correct "
                "the row or remove it"
            )
    return converted


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _missing(value: Any) -> bool:
    return str(value).strip().lower() in ("", "nan", "<na>", "na", "n/a", "null", "none")


def optional_numbers(
    values: Sequence[Any] | NDArray[Any] | None, column: str, source: Path, positive: bool = False
) -> NDArray[np.float64] | None:
    """Return a column that may be missing, in single rows (NaN) or as a whole (None)."""
    if values is None:
        return None
    converted = numbers(values, column, source, optional=True, positive=positive)
    return None if len(converted) and np.isnan(converted).all() else converted


def check_option(value: Any, option: str, above: float = 0) -> None:
    """Refuse what a user gave for an option if it is no finite number above a limit.

    Raises CryofixError naming the option and the value.
    """
    if not (isinstance(value, int | float) and above < value < np.inf):
        limit = f" above {above:g}" if np.isfinite(above) else ""
        raise CryofixError(f"{option_key(option)}={value} has to be a number{limit}")
