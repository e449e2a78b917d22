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

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from cryofix.sweeps.run_results import Result
from cryofix.sweeps.svg import signed

Draw = tuple[int | None, int | None]

ENOUGH_SEEDS = ENOUGH_DRAWS = 3
"""Repetitions that a word like 'better' needs (EVALUATION: 3 seeds x 3 label draws)."""

ALONE = {"better": "higher, one of many", "worse": "lower, one of many"}
"""What is said instead where only the row's own interval leaves out zero."""


@dataclass(frozen=True)
class Gain:
    """Mean paired difference FixMatch - control, in the score's unit, with a 95 % interval."""

    n: int  # runs
    mean: float
    interval: tuple[float, float] | None  # None for a single unit
    worst: float  # of the runs' own differences
    basis: str  # what the interval is over, in words
    p: float | None  # two-sided, of the mean being zero, over the same units
    enough: bool  # whether there are the repetitions that 'better' needs
    verdict: str

    def __str__(self) -> str:
        """Write the mean with its interval."""
        if self.interval is None:
            return f"{signed(self.mean)} (n = 1)"
        return f"{signed(self.mean)} [{signed(self.interval[0])}, {signed(self.interval[1])}]"


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


def holm(p: Sequence[float], level: float = 0.05) -> list[bool]:
    """Return which hypotheses are rejected together, by the step-down method of Holm (1979).

    The chance that any true one is among them is at most ``level``.
    """
    rejected = [False] * len(p)
    for place, number in enumerate(sorted(range(len(p)), key=lambda number: p[number])):
        if p[number] > level / (len(p) - place):
            break
        rejected[number] = True
    return rejected


def paired_gain(results: Sequence[Result], metric: str) -> Gain | None:
    """Return the mean difference FixMatch - control of a metric over runs that have both."""
    pairs = [r for r in results if metric in r.fixmatch and metric in r.supervised]
    if not pairs:
        return None
    differences = [r.fixmatch[metric] - r.supervised[metric] for r in pairs]
    seeds = {r.seed for r in pairs if r.seed is not None}
    draws: dict[Draw, list[float]] = defaultdict(list)
    for result, difference in zip(pairs, differences, strict=True):
        draws[result.draw].append(difference)
    units = differences
    if len(pairs) == 1:
        basis = "one run: no interval over seeds" + _over_micrographs(pairs[0], metric)
    elif len(draws) > 1:
        units = [float(np.mean(values)) for values in draws.values()]
        basis = f"t over {len(draws)} label draws"
    else:
        basis = f"t over {len(pairs)} seeds"
    interval = t_interval(units)
    enough = len(seeds) >= ENOUGH_SEEDS and len(draws) >= ENOUGH_DRAWS
    return Gain(
        n=len(pairs),
        mean=float(np.mean(differences)),
        interval=interval,
        worst=min(differences),
        basis=basis,
        p=t_test(units),
        enough=enough,
        verdict=_verdict(interval, enough),
    )


def _over_micrographs(result: Result, metric: str) -> str:
    """Say what the run's own interval over test micrographs is, which is another question."""
    known = result.run_intervals
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
