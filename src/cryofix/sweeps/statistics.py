"""From runs to rows: means, spreads and paired gains over repetitions.

A row's *gain* is FixMatch minus its supervised control, paired within each run: both continue
from the same burn-in with the same labelled batches. The interval is Student's t,

    mean +- t(0.975, n - 1) * sd / sqrt(n),

over the units that were drawn independently: the label draws (means over the seeds of each) when
there are two or more draws, otherwise the seeds. Runs that share a label draw succeed and fail
together, so counting seeds as independent of them would give too narrow an interval.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from cryofix.sweeps.results import METRICS, KeepRate, MaskKeep, Result
from cryofix.sweeps.runs import Run
from cryofix.sweeps.settings import Setting, setting_of, sort_key

Draw = tuple[int | None, int | None]

ENOUGH_SEEDS = ENOUGH_DRAWS = 3
"""Repetitions that a word like 'better' needs (EVALUATION: 3 seeds x 3 label draws)."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (None for one value) of ``n`` values."""

    n: int
    mean: float
    sd: float | None
    low: float  # smallest value
    high: float  # largest value


@dataclass(frozen=True)
class Gain:
    """Mean paired difference FixMatch - control, in the score's unit, with a 95 % interval."""

    n: int  # runs
    mean: float
    interval: tuple[float, float] | None  # None for a single unit
    worst: float  # of the runs' own differences
    basis: str  # what the interval is over, in words
    verdict: str


@dataclass(frozen=True)
class Row:
    """All repetitions of one setting at one label ratio."""

    setting: Setting
    ratio: float
    runs: tuple[Run, ...]
    results: tuple[Result, ...]
    fixmatch: Mapping[str, Spread]
    supervised: Mapping[str, Spread]
    gains: Mapping[str, Gain]
    validation: Mapping[str, Spread]  # FixMatch on validation; empty in files without it
    drift: Spread | None  # of each run's minimum
    alarmed: int  # runs in which the collapse guard spoke
    watched: int  # runs that say whether it did
    mask_keep: MaskKeep | None  # means over runs
    seconds: Spread | None

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.runs)


def spread(values: Sequence[float]) -> Spread | None:
    """Summarise values; none at all give None."""
    if not values:
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(len(values), float(np.mean(values)), sd, min(values), max(values))


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % t interval of the mean of independent values; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    half = float(stdtrit(n - 1, 0.975)) * float(np.std(values, ddof=1)) / n**0.5
    mean = float(np.mean(values))
    return mean - half, mean + half


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
    if len(pairs) == 1:
        interval, basis = (
            None,
            "one run: no interval over seeds" + _over_micrographs(pairs[0], metric),
        )
    elif len(draws) > 1:
        interval = t_interval([float(np.mean(values)) for values in draws.values()])
        basis = f"t over {len(draws)} label draws"
    else:
        interval, basis = t_interval(differences), f"t over {len(pairs)} seeds"
    enough = len(seeds) >= ENOUGH_SEEDS and len(draws) >= ENOUGH_DRAWS
    return Gain(
        n=len(pairs),
        mean=float(np.mean(differences)),
        interval=interval,
        worst=min(differences),
        basis=basis,
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


def make_rows(runs: Sequence[Run]) -> tuple[Row, ...]:
    """Group finished runs by setting and ratio; the order is that of the table."""
    groups: dict[tuple[Setting, float], list[tuple[Run, Result]]] = defaultdict(list)
    for run in runs:
        if run.result is not None:
            groups[setting_of(run, run.result), run.result.ratio].append((run, run.result))
    rows = [_make_row(setting, ratio, pairs) for (setting, ratio), pairs in groups.items()]
    return tuple(sorted(rows, key=lambda row: (*sort_key(row.setting), row.ratio)))


def _make_row(setting: Setting, ratio: float, pairs: Sequence[tuple[Run, Result]]) -> Row:
    results = [result for _, result in pairs]
    gains = {name: gain for name in METRICS if (gain := paired_gain(results, name)) is not None}
    return Row(
        setting=setting,
        ratio=ratio,
        runs=tuple(run for run, _ in pairs),
        results=tuple(results),
        fixmatch=_spreads(results, lambda result: result.fixmatch),
        supervised=_spreads(results, lambda result: result.supervised),
        gains=gains,
        validation=_spreads(results, lambda result: result.validation),
        drift=spread([r.min_drift for r in results if r.min_drift is not None]),
        alarmed=sum(r.alarmed is True for r in results),
        watched=sum(r.alarmed is not None for r in results),
        mask_keep=_mean_mask_keep(results),
        seconds=spread([r.seconds for r in results if r.seconds is not None]),
    )


def _spreads(
    results: Sequence[Result], branch: Callable[[Result], Mapping[str, float]]
) -> dict[str, Spread]:
    found = {}
    for name in METRICS:
        summary = spread([branch(r)[name] for r in results if name in branch(r)])
        if summary is not None:
            found[name] = summary
    return found


def _mean_mask_keep(results: Sequence[Result]) -> MaskKeep | None:
    known = [result.mask_keep for result in results if result.mask_keep is not None]
    if not known:
        return None
    particle = float(np.mean([keep.particle for keep in known]))
    return MaskKeep(particle, float(np.mean([keep.background for keep in known])))


def keep_rates_by_ratio(rows: Sequence[Row]) -> Mapping[float, tuple[KeepRate, ...]]:
    """Return the mean keep rates, over starts, of the models that FixMatch starts from.

    A start is shared by all masks, and counts once for each seed and label draw. Thresholds
    that not all starts have are left out.
    """
    starts: dict[float, dict[tuple[int | None, Draw], tuple[KeepRate, ...]]] = defaultdict(dict)
    for row in rows:
        for result in row.results:
            if result.keep_rates:
                starts[row.ratio][result.seed, result.draw] = result.keep_rates
    return {ratio: _mean_rates(list(tables.values())) for ratio, tables in sorted(starts.items())}


def _mean_rates(tables: Sequence[tuple[KeepRate, ...]]) -> tuple[KeepRate, ...]:
    found = [{rate.threshold: rate for rate in table} for table in tables]
    return tuple(
        KeepRate(
            threshold,
            float(np.mean([table[threshold].particle_keep for table in found])),
            float(np.mean([table[threshold].background_keep for table in found])),
        )
        for threshold in sorted(set.intersection(*(set(table) for table in found)))
    )


def control_by_ratio(rows: Sequence[Row], metric: str) -> Mapping[float, Spread]:
    """Return the supervised control at each ratio over all ``rows``, each control once.

    Rows that differ only in the mask share their controls: one for each seed and label draw.
    """
    controls: dict[float, dict[tuple[int | None, Draw], float]] = defaultdict(dict)
    for row in rows:
        for result in row.results:
            if metric in result.supervised:
                key = (result.seed, result.draw)
                controls[row.ratio][key] = result.supervised[metric]
    return {
        ratio: summary
        for ratio, values in sorted(controls.items())
        if (summary := spread(list(values.values()))) is not None
    }
