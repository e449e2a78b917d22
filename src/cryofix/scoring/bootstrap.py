"""Intervals from resampling micrographs.

Micrographs, not pixels or particles, are what a data set samples: particles of one micrograph
share its ice, defocus and labeller. Every statistic here is a function of counts summed over
micrographs, so a resample is a row of multinomial weights and a thousand of them are one matrix
product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cryofix.errors import CryofixError
from cryofix.scoring.curves import FloatArray

Statistic = Callable[[FloatArray], FloatArray]
"""From summed counts, shape (resamples, columns), to one number each, shape (resamples,)."""

Bounds = list[float] | None
"""Low and high end, or None where nothing is known of the spread."""

_BLOCK = 250


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval.

    Attributes
    ----------
    value
        The statistic of all micrographs, each once.
    low, high
        2.5th and 97.5th percentile over the resamples; None with fewer than two micrographs,
        of whose spread nothing is known.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def bounds(self) -> Bounds:
        """``[low, high]``, or None."""
        return None if self.low is None or self.high is None else [self.low, self.high]

    def as_dict(self) -> dict[str, Any]:
        """Return ``{"value": x, "ci95": [low, high]}``, with null for an unknown interval."""
        return {"value": self.value, "ci95": self.bounds}


def interval(
    rows: ArrayLike, statistic: Statistic, *, samples: int = 1000, seed: int = 0
) -> Interval:
    """Bootstrap a statistic over micrographs.

    Parameters
    ----------
    rows
        Counts of each micrograph, shape (micrographs, columns). For a mean over micrographs use
        the columns (value, 1) and their ratio.
    statistic
        Vectorised over resamples; must be finite for any resample.
    samples, seed
        Number of resamples and the seed that fixes them.
    """
    table = _table(rows)
    value = float(statistic(table.sum(axis=0, keepdims=True))[0])
    if len(table) < 2:
        return Interval(value, None, None)
    weights = _weights(len(table), samples, seed)
    return _interval(value, _resampled(table, weights, statistic))


def paired_interval(
    rows_a: ArrayLike,
    rows_b: ArrayLike,
    statistic: Statistic,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Bootstrap the difference ``statistic(b) - statistic(a)`` over the same micrographs.

    Each resample draws one set of micrographs for both sides, so what the micrographs have in
    common cancels.

    Parameters
    ----------
    rows_a, rows_b
        Counts of the same micrographs in the same order, shape (micrographs, columns).
    statistic, samples, seed
        As for `interval`.

    Raises
    ------
    CryofixError
        If the two sides differ in their number of micrographs.
    """
    first, second = _table(rows_a), _table(rows_b)
    if first.shape != second.shape:
        raise CryofixError(
            f"a paired comparison needs the same micrographs on both sides, but got "
            f"{len(first)} and {len(second)}: score both models on one split"
        )
    value = float(
        (statistic(second.sum(0, keepdims=True)) - statistic(first.sum(0, keepdims=True)))[0]
    )
    if len(first) < 2:
        return Interval(value, None, None)
    weights = _weights(len(first), samples, seed)
    gains = _resampled(second, weights, statistic) - _resampled(first, weights, statistic)
    return _interval(value, gains)


def _table(rows: ArrayLike) -> FloatArray:
    """Return the counts as a float64 matrix, one row for each micrograph."""
    table = np.asarray(rows, dtype=np.float64)
    return table.reshape(len(table), -1)


def _weights(micrographs: int, samples: int, seed: int) -> FloatArray:
    """Return how often each resample holds each micrograph, shape (samples, micrographs)."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(micrographs, np.full(micrographs, 1 / micrographs), size=samples)
    return drawn.astype(np.float64)


def _resampled(table: FloatArray, weights: FloatArray, statistic: Statistic) -> FloatArray:
    """Return the statistic of each resample, in blocks that bound the memory."""
    blocks = (weights[start : start + _BLOCK] for start in range(0, len(weights), _BLOCK))
    return np.concatenate([statistic(block @ table) for block in blocks])


def _interval(value: float, resampled: FloatArray) -> Interval:
    """Return the percentile interval."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value, float(low), float(high))
