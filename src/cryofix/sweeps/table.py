"""The report as CSV: a line for each setting and ratio, and one for each run; numbers in full."""

import csv
import io
import json
from collections.abc import Mapping, Sequence

from cryofix.sweeps.run_results import METRICS, Result
from cryofix.sweeps.statistics import Row
from cryofix.sweeps.summarise import Summary


def csv_table(summary: Summary) -> str:
    """Return the table with a head line; cells of unknown values are empty."""
    return _written([_cells(row, summary) for row in summary.rows])


def runs_table(summary: Summary) -> str:
    """Return a table of all finished runs, in the order of the rows that they belong to."""
    return _written(
        [_what(row, summary) | _of_run(result) for row in summary.rows for result in row.results]
    )


def _written(lines: Sequence[Mapping[str, object]]) -> str:
    stream = io.StringIO()
    if lines:
        writer = csv.DictWriter(stream, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return stream.getvalue()


def _of_run(result: Result) -> dict[str, object]:
    split_seed, label_draw = result.draw
    cells: dict[str, object] = {
        "seed": result.seed,
        "split_seed": split_seed,
        "label_draw": label_draw,
        "selected": result.selected,
    }
    for branch, scores in (("fixmatch", result.fixmatch), ("supervised", result.supervised)):
        cells |= {f"{branch}_{name}": scores.get(name) for name in METRICS}
    keep = result.mask_keep
    return cells | {
        "validation_particle_f1": result.validation.get("particle_f1"),
        "min_drift": result.min_drift,
        "collapse_alarm": result.alarmed,
        "particle_keep": None if keep is None else keep.particle,
        "background_keep": None if keep is None else keep.background,
        "seconds": result.seconds,
    }


def _what(row: Row, summary: Summary) -> dict[str, object]:
    return {
        "data": _inert(row.setting.data),
        "mask": _inert(row.setting.mask),
        "settings": _inert(summary.namer.settings(row.setting)),
        "mask_config": json.dumps(dict(row.setting.mask_config)),
        "other_overrides": json.dumps(dict(row.setting.others)),
        "ratio": row.ratio,
    }


def _cells(row: Row, summary: Summary) -> dict[str, object]:
    cells = _what(row, summary) | {
        "runs": row.n,
        "seeds": " ".join(sorted({str(r.seed) for r in row.results if r.seed is not None})),
        "label_draws": len({r.draw for r in row.results}),
    }
    for branch, scores in (("fixmatch", row.fixmatch), ("supervised", row.supervised)):
        for name in METRICS:
            summarised = scores.get(name)
            cells[f"{branch}_{name}_mean"] = None if summarised is None else summarised.mean
            cells[f"{branch}_{name}_sd"] = None if summarised is None else summarised.sd
    for name in METRICS:
        gain = row.gains.get(name)
        low, high = (None, None) if gain is None or gain.interval is None else gain.interval
        cells[f"gain_{name}"] = None if gain is None else gain.mean
        cells[f"gain_{name}_low95"] = low
        cells[f"gain_{name}_high95"] = high
        cells[f"gain_{name}_worst"] = None if gain is None else gain.worst
    gain = row.gains.get(summary.metric)
    cells["verdict"] = "" if gain is None else gain.verdict
    cells["interval_basis"] = "" if gain is None else gain.basis
    cells["min_drift_mean"] = None if row.drift is None else row.drift.mean
    cells["min_drift_worst"] = None if row.drift is None else row.drift.low
    cells["collapse_alarms"] = row.alarmed if row.watched else None
    cells["particle_keep"] = None if row.mask_keep is None else row.mask_keep.particle
    cells["background_keep"] = None if row.mask_keep is None else row.mask_keep.background
    cells["seconds_mean"] = None if row.seconds is None else row.seconds.mean
    return cells


def _inert(cell: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@"} else cell
