"""Intervals from leaving micrographs out one by one.

Micrographs, not pixels or particles, are what a data set samples: particles of one micrograph
share its ice, defocus and labeller. Every statistic here is a function of counts summed over
micrographs, so leaving one out is a subtraction.

The interval is Student's t about the value of all n micrographs, with the standard error of the
jackknife (Miller 1974),

    s^2 = (n - 1) / n * sum_i (theta_without_i - mean)^2,    value +- t(0.975, n - 1) * s.

Of a mean it is the usual t interval. Test sets of cryo-EM have few micrographs, where percentiles
of a bootstrap are much too narrow: with three micrographs they hold the truth in 72 % of all
cases, and these in 92 to 95 %.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from cryofix.errors import CryofixError
from cryofix.metrics.curves import Counts, Curve, FloatArray

Statistic = Callable[[FloatArray], FloatArray]
"""From summed counts, shape (sums, columns), to one number each, shape (sums,)."""

Bounds = list[float] | None
"""Low and high end, or None where nothing is known of the spread."""

FEWEST = 3  # of two, t reaches 13 standard errors to either side: all that can be
_BLOCK = 250  # of micrographs, which bounds the memory


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    """The statistic of all micrographs."""
    low: float | None
    high: float | None
    """The ends, not beyond what the statistic can be; None with fewer than FEWEST micrographs."""
    n: int
    """Number of micrographs."""

    @property
    def bounds(self) -> Bounds:
        """``[low, high]``, or None."""
        return None if self.low is None or self.high is None else [self.low, self.high]

    def as_dict(self) -> dict[str, Any]:
        """Return ``{"value": x, "ci95": [low, high]}``; of a null ``ci95_reason`` says why."""
        reason = {} if self.bounds else {"ci95_reason": too_few(self.n)}
        return {"value": self.value, "ci95": self.bounds, **reason}


def too_few(n: int) -> str:
    """Say why there is no interval over ``n`` micrographs."""
    return f"{n} micrograph{'' if n == 1 else 's'}, too few for an interval"


def interval(rows: ArrayLike, statistic: Statistic) -> Interval:
    """Return a statistic and its interval over micrographs.

    Parameters
    ----------
    rows
        Counts of each micrograph, shape (micrographs, columns). For a mean over micrographs use
        the columns (value, 1) and their ratio.
    statistic
        In [0, 1], vectorised over sums; must be finite whichever micrograph is left out.
    """
    return _interval(_table(rows), statistic, 0.0)


def paired_interval(rows_a: ArrayLike, rows_b: ArrayLike, statistic: Statistic) -> Interval:
    """Return the difference ``statistic(b) - statistic(a)`` and its interval.

    A micrograph is left out on both sides at once, so what micrographs have in common cancels.

    Raises CryofixError if the two sides differ in their number of micrographs.

    Parameters
    ----------
    rows_a, rows_b
        Counts of the same micrographs in the same order, shape (micrographs, columns).
    statistic
        As for `interval`.
    """
    first, second = _table(rows_a), _table(rows_b)
    if first.shape != second.shape:
        raise CryofixError(
            f"a paired comparison needs the same micrographs on both sides, but got "
            f"{len(first)} and {len(second)}: score both models on one split"
        )
    columns = first.shape[1]

    def difference(sums: FloatArray) -> FloatArray:
        return statistic(sums[:, columns:]) - statistic(sums[:, :columns])

    return _interval(np.concatenate([first, second], axis=1), difference, -1.0)


def _table(rows: ArrayLike) -> FloatArray:
    """Return the counts as a float64 matrix, one row for each micrograph."""
    table = np.asarray(rows, dtype=np.float64)
    return table.reshape(len(table), -1)


def _interval(table: FloatArray, statistic: Statistic, least: float) -> Interval:
    """Return the interval of a statistic between ``least`` and 1."""
    total, n = table.sum(axis=0), len(table)
    value = float(statistic(total[None])[0])
    if n < FEWEST:
        return Interval(value, None, None, n)
    blocks = (table[start : start + _BLOCK] for start in range(0, n, _BLOCK))
    without = np.concatenate([statistic(total - block) for block in blocks])
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    half = float(stdtrit(n - 1, 0.975)) * error
    return Interval(value, max(value - half, least), min(value + half, 1.0), n)


def rows_at(curves: Sequence[Curve], threshold: float) -> FloatArray:
    """Return (right, wrong, truth) of each micrograph at a threshold, for `f1` and its like."""
    return np.array([curve.counts_at(threshold) for curve in curves], dtype=np.float64)


def curve_rows(curves: Sequence[Curve]) -> tuple[FloatArray, Statistic]:
    """Return rows of counts by score bin, and the average precision of their sums."""
    right, wrong, truth = (np.stack(part) for part in zip(*(c.binned for c in curves), strict=True))
    used = (right + wrong).any(axis=0)  # bins that nobody uses change nothing and cost time
    width = int(used.sum())

    def statistic(sums: FloatArray) -> FloatArray:
        counts = Counts(sums[:, :width], sums[:, width : 2 * width], sums[:, 2 * width])
        return counts.average_precision

    rows = np.concatenate([right[:, used], wrong[:, used], truth[:, None]], axis=1)
    return rows.astype(np.float64), statistic


def precision(sums: FloatArray) -> FloatArray:
    """Return the precision of summed (right, wrong, truth)."""
    return Counts(*sums.T).precision


def recall(sums: FloatArray) -> FloatArray:
    """Return the recall of summed (right, wrong, truth)."""
    return Counts(*sums.T).recall


def f1(sums: FloatArray) -> FloatArray:
    """Return the F1 of summed (right, wrong, truth)."""
    return Counts(*sums.T).f1


def mean(sums: FloatArray) -> FloatArray:
    """Return the mean of summed (value, 1)."""
    return np.asarray(sums[:, 0] / sums[:, 1])
