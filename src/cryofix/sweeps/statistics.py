"""From runs to rows: means, spreads and gains over repetitions."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cryofix.sweeps.gains import ALONE, Draw, Gain, holm, paired_gain
from cryofix.sweeps.run_results import METRICS, KeepRate, MaskKeep, Result
from cryofix.sweeps.runs import Run
from cryofix.sweeps.varied import Setting, setting_of, sort_key


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (None for one value) of ``n`` values."""

    n: int
    mean: float
    sd: float | None
    low: float  # smallest value
    high: float  # largest value

    def __str__(self) -> str:
        """Write mean and standard deviation."""
        return f"{self.mean:.3f}" + ("" if self.sd is None else f" ± {self.sd:.3f}")


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


def make_rows(runs: Sequence[Run]) -> tuple[Row, ...]:
    """Group finished runs by setting and ratio; the order is that of the table."""
    groups: dict[tuple[Setting, float], list[tuple[Run, Result]]] = defaultdict(list)
    for run in runs:
        if run.result is not None:
            groups[setting_of(run, run.result), run.result.ratio].append((run, run.result))
    rows = [_make_row(setting, ratio, pairs) for (setting, ratio), pairs in groups.items()]
    for metric in METRICS:
        rows = _judged_together(rows, metric)
    return tuple(sorted(rows, key=lambda row: (*sort_key(row.setting), row.ratio)))


def _judged_together(rows: Sequence[Row], metric: str) -> list[Row]:
    """Take back 'better' and 'worse' where that many rows may say so by chance."""
    entered = [
        (number, gain.p)
        for number, row in enumerate(rows)
        if (gain := row.gains.get(metric)) is not None and gain.p is not None and gain.enough
    ]
    judged = list(rows)
    for (number, _), rejected in zip(entered, holm([p for _, p in entered]), strict=True):
        gain = rows[number].gains[metric]
        if gain.verdict in ALONE and not rejected:
            changed = replace(gain, verdict=ALONE[gain.verdict])
            judged[number] = replace(rows[number], gains={**rows[number].gains, metric: changed})
    return judged


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
