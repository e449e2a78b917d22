"""What FixMatch gains over its control, and how sure that is.

A row's *gain* is FixMatch minus its supervised control, paired within each run: both continue
from the same burn-in with the same labelled batches. The interval is Student's t,

    mean +- t(0.975, n - 1) * sd / sqrt(n),

over the units that were drawn independently: the label draws (means over the seeds of each) when
there are two or more draws, otherwise the seeds. Runs that share a label draw succeed and fail
together, so counting seeds as independent of them would give too narrow an interval.

An interval looks at one row. Of twenty rows without any effect one is expected to leave out zero,
so 'better' and 'worse' are said after Holm's method (1979) over all rows with enough repetitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from cryofix.reporting.numbers import gain_with_interval

DRAW = ["split_seed", "label_draw"]
"""Columns that say which micrographs are what."""

ENOUGH_SEEDS = ENOUGH_DRAWS = 3
"""Repetitions that a word like 'better' needs: 3 seeds x 3 label draws."""

ALONE = {"better": "higher, one of many", "worse": "lower, one of many"}
"""What is said instead where only the row's own interval leaves out zero."""


@dataclass(frozen=True)
class Gain:
    """Mean paired difference FixMatch - control, in the score's unit, with a 95 % interval."""

    mean: float
    interval: tuple[float, float] | None
    """None for a single unit."""
    worst: float
    """Of the runs' own differences."""
    basis: str
    """What the interval is over, in words."""
    p: float | None
    """Two-sided, of the mean being zero, over the same units."""
    enough: bool
    """Whether there are the repetitions that 'better' needs."""
    verdict: str

    def __str__(self) -> str:
        """Write the mean with its interval."""
        return gain_with_interval(self.mean, self.interval, "n = 1")


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % t interval of the mean of independent values; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    half = float(stdtrit(n - 1, 0.975)) * float(np.std(values, ddof=1)) / n**0.5
    mean = float(np.mean(values))
    return mean - half, mean + half


def t_test(values: Sequence[float]) -> float | None:
    """Return the two-sided p of the mean of independent values being zero; None of one value."""
    n = len(values)
    if n < 2:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / n**0.5
    if error == 0:
        return float(mean == 0)
    return float(2 * stdtr(n - 1, -abs(mean) / error))


def holm(p: Sequence[float]) -> list[bool]:
    """Return which hypotheses are rejected together, by the step-down method of Holm (1979).

    The chance that any true one is among them is at most 5 %.
    """
    rejected = [False] * len(p)
    for place, number in enumerate(sorted(range(len(p)), key=lambda number: p[number])):
        if p[number] > 0.05 / (len(p) - place):
            break
        rejected[number] = True
    return rejected


def take_back_chance(gains: Sequence[Gain | None]) -> list[Gain | None]:
    """Take back 'better' and 'worse' where that many rows may say so by chance."""
    judged = list(gains)
    entered = [(number, gain) for number, gain in enumerate(gains) if gain and gain.enough]
    rejected = holm([1.0 if gain.p is None else gain.p for _, gain in entered])
    for (number, gain), sure in zip(entered, rejected, strict=True):
        if gain.verdict in ALONE and not sure:
            judged[number] = replace(gain, verdict=ALONE[gain.verdict])
    return judged


def paired_differences(runs: pd.DataFrame, metric: str) -> "pd.Series[Any]":
    """Return FixMatch - control of each run that has both."""
    both = runs[[f"fixmatch_{metric}", f"supervised_{metric}"]].dropna().astype(float)
    return both.iloc[:, 0] - both.iloc[:, 1]


def gain_over_seeds(runs: pd.DataFrame, metric: str) -> Gain | None:
    """Return the mean difference FixMatch - control of a metric over runs that have both.

    With several label draws it is the mean of their means, which the interval is about too.
    """
    found = paired_differences(runs, metric)
    if found.empty:
        return None
    pairs = runs.loc[found.index]
    draws = found.groupby([pairs[key] for key in DRAW], dropna=False, sort=False)
    units = found.to_list()
    if len(units) == 1:
        basis = "one run: no interval over seeds" + _over_micrographs(pairs.iloc[0], metric)
    elif len(draws) > 1:
        units = [float(np.mean(values.to_list())) for _, values in draws]
        basis = f"t over {len(draws)} label draws"
    else:
        basis = f"t over {len(units)} seeds"
    interval = t_interval(units)
    enough = pairs.seed.nunique() >= ENOUGH_SEEDS and len(draws) >= ENOUGH_DRAWS
    return Gain(
        mean=float(np.mean(units)),
        interval=interval,
        worst=min(found),
        basis=basis,
        p=t_test(units),
        enough=enough,
        verdict=_verdict(interval, enough),
    )


def _over_micrographs(run: "pd.Series[Any]", metric: str) -> str:
    """Say what the run's own interval over test micrographs is, which is another question."""
    known = run.run_intervals
    within = known.get(metric) or known.get(metric.removeprefix("pixel_"))
    return "" if within is None else f"; over test micrographs [{within[0]:.3f}, {within[1]:.3f}]"


def _verdict(interval: tuple[float, float] | None, enough: bool) -> str:
    """Say in words what the interval shows, and only with enough repetitions 'better'."""
    if interval is None:
        return "one run"
    low, high = interval
    if low <= 0 <= high:
        return "unclear"
    if enough:
        return "better" if low > 0 else "worse"
    return ("higher" if low > 0 else "lower") + ", few runs"
