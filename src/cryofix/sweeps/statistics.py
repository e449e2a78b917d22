"""From runs to rows: frames of all runs, and of their means, spreads and gains over repetitions."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cryofix.reporting.numbers import plain
from cryofix.sweeps.gains import DRAW, gain_over_seeds, paired_differences, take_back_chance
from cryofix.sweeps.run_results import METRICS
from cryofix.sweeps.runs import Run
from cryofix.sweeps.varied import Names, make_names, setting_of, sort_key

ROW = ("data", "mask", "settings", "mask_config", "other_overrides", "ratio")
"""Columns that say what a row is about."""
START = ["ratio", "seed", *DRAW]
"""What a burn-in and its supervised control depend on; all masks share them."""


class Spread(NamedTuple):
    """Mean and sample standard deviation of some values; None of one value."""

    mean: float
    sd: float | None

    def __str__(self) -> str:
        """Write mean and standard deviation."""
        return plain(self.mean) + ("" if self.sd is None else f" ± {plain(self.sd)}")


def spread(values: "Sequence[float] | pd.Series[Any]") -> Spread | None:
    """Summarise the known values; none at all give None."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    return Spread(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None)


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a line for each finished run: its result, its :class:`Setting`, and the run itself.

    Unknown values are None. Lines stand in the order of the table's rows.
    """
    lines = [
        {**run.result, "run": run, "setting": setting_of(run, run.result)}
        for run in runs
        if run.result is not None
    ]
    lines.sort(key=lambda line: (*sort_key(line["setting"]), line["ratio"]))
    names = make_names(list(dict.fromkeys(line["setting"] for line in lines)))
    for line in lines:
        setting = line["setting"]
        line |= {
            **names[setting]._asdict(),
            "mask_config": json.dumps(dict(setting.mask_config)),
            "other_overrides": json.dumps(dict(setting.others)),
        }
    return pd.DataFrame(lines, dtype=object)


def rows_frame(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a line for each setting and ratio, with statistics over its runs.

    It has the columns of ``report.csv`` and the :class:`Names` of settings. ``gain`` is the
    :class:`cryofix.sweeps.gains.Gain` of ``metric``, and columns that end in ``_spread`` hold a
    :class:`Spread`.
    """
    if runs.empty:
        return pd.DataFrame()
    rows = [_row(group, metric) for _, group in runs.groupby(["setting", "ratio"], sort=False)]
    for row, gain in zip(rows, take_back_chance([row["gain"] for row in rows]), strict=True):
        row |= {
            "gain": gain,
            "verdict": gain.verdict if gain else "",
            "interval_basis": gain.basis if gain else "",
        }
    return pd.DataFrame(rows, dtype=object)


def _row(runs: pd.DataFrame, metric: str) -> dict[str, Any]:
    first = runs.iloc[0]
    branches = ("fixmatch", "supervised", "validation_fixmatch")
    scores = [f"{branch}_{name}" for branch in branches for name in METRICS]
    spreads = {name: spread(runs[name]) for name in (*scores, "min_drift", "seconds")}
    watched, drifts = runs.alarmed.dropna(), runs.min_drift.dropna()
    row: dict[str, Any] = {
        **{name: first[name] for name in (*ROW, "setting", *Names._fields)},
        "runs": len(runs),
        "seeds": " ".join(sorted({str(seed) for seed in runs.seed.dropna()})),
        "label_draws": len(runs[DRAW].drop_duplicates()),
        "members": tuple(runs.run),
        "scored": any(spreads[f"fixmatch_{name}"] for name in METRICS),
        "tested": bool(runs.tested.any()),
    }
    for name, found in spreads.items():
        mean, sd = found or (None, None)
        row |= {f"{name}_spread": found, f"{name}_mean": mean, f"{name}_sd": sd}
    gains = {name: gain_over_seeds(runs, name) for name in METRICS}
    for name, gain in gains.items():
        low, high = (gain and gain.interval) or (None, None)
        row |= {f"gain_{name}": gain and gain.mean, f"gain_{name}_worst": gain and gain.worst}
        row |= {f"gain_{name}_low95": low, f"gain_{name}_high95": high}
    for name in ("particle_keep", "background_keep"):
        keep = spread(runs[name])
        row[name] = keep and keep.mean
    return row | {
        "gain": gains[metric],
        "differences": tuple(paired_differences(runs, metric)),
        "min_drift_worst": min(drifts) if len(drifts) else None,
        "collapse_alarms": int(watched.sum()) if len(watched) else None,
        "alarms": f"{int(watched.sum())}/{len(watched)}" if len(watched) else None,
        "alarm_share": watched.sum() / len(watched) if len(watched) else None,
    }


def control_by_ratio(runs: pd.DataFrame, metric: str) -> dict[float, Spread]:
    """Return the supervised control at each ratio, each control that masks share once."""
    column = f"supervised_{metric}"
    controls = runs.dropna(subset=column).drop_duplicates(START, keep="last")
    groups: Any = controls.groupby("ratio")[column]
    return {ratio: found for ratio, values in groups if (found := spread(values)) is not None}


def keep_rates_by_ratio(runs: pd.DataFrame) -> dict[float, pd.DataFrame]:
    """Return the mean keep rates, over starts, of the models that FixMatch starts from.

    Each frame has the columns ``particle`` and ``background``, by threshold; thresholds that not
    all starts have are left out.
    """
    starts = runs[runs.keep_rates.map(len) > 0].drop_duplicates(START, keep="last")
    means: dict[float, pd.DataFrame] = {}
    groups: Any = starts.groupby("ratio").keep_rates
    for ratio, tables in groups:
        every = pd.DataFrame(
            [rate for table in tables for rate in table],
            columns=["threshold", "particle", "background"],
        ).groupby("threshold")
        means[ratio] = every.mean()[every.size() == len(tables)]
    return means
