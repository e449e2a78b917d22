"""Draw the map of thresholds and label ratios, and write its numbers into docs/thresholds.md.

    python docs/study/threshold_map.py [FOLDER] [--layout SWEEP] [--few-labels SWEEP]

runs.csv has a line for each finished run. FOLDER is a sweep of the commands that the page shows,
complete or not: its finished runs are added to runs.csv, or take the place of the same ones there,
so that the map can grow on many machines. All tables and figures, cells.csv and the rule of the
forecast are made from runs.csv; without FOLDER they are made anew. A FOLDER has to be read where it
was trained: with the same version, and on a machine with a GPU if it had one. SWEEP is that of the
reference run's own layout, which is added to layout.csv, or all of docs/how_many_labels.md, in
whose runs the guard should be silent (few_labels.csv).
"""

import argparse
import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forecast_fit
import guard_replay
import numpy as np
import pandas as pd
from marked_page import fill

from cryofix.reporting.figures import sized, style
from cryofix.reporting.frame_tables import Column, markdown_table
from cryofix.reporting.numbers import percent, plain, signed
from cryofix.reporting.plots import save
from cryofix.sweeps.collect import collect
from cryofix.sweeps.heat_maps import ALARM, DIVERGING, FATAL_DRIFT, LEFT, Quantity, draw, size
from cryofix.sweeps.reading import last_change, mapping, read_json, text
from cryofix.sweeps.runs import Run

RATIOS = {"synthetic": (0.05, 0.1, 0.2), "empiar10017": (0.1, 0.2), "masks": (0.05, 0.1, 0.2)}
"""Of each data set; 5 and 10 % both label one of the twelve micrographs of EMPIAR-10017."""
REGIMES = {"ema": "advised", "self": "collapsing"}
VALUES: dict[str, tuple[float | None, ...]] = {
    "symmetric": (0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    "class_aware": (0.5, 0.4, 0.3, 0.2, 0.1, 0.05),
    "soft_weight": (None,),
    "quota": (None,),
}
SEEDS = (0, 1, 2)
SCORES = {
    "f1": "particle F1, of nuclei pixel F1",
    "recall": "pixel recall at 0.5",
    "average_precision": "average precision, of nuclei of pixels",
}
MAPS = {
    **{score: Quantity(f"{words[0].upper()}{words[1:]}", score) for score, words in SCORES.items()},
    "gain": Quantity("Gain of average precision over the control", "gain", DIVERGING),
    "drift": Quantity("Lowest drift", "min_drift", DIVERGING, FATAL_DRIFT),
    "alarms": Quantity("Runs in which the guard spoke", "alarm_share", ALARM),
}
SWEPT = {"symmetric": "threshold", "class_aware": "background_threshold"}
"""The key of each mask that is swept, if there is one."""
FIELDS = ["data", "regime", "mask", "value", "ratio"]
KEY = [*FIELDS, "seed"]
MEASURED = [
    *(f"{branch}_{score}" for branch in ("fixmatch", "supervised") for score in SCORES),
    *("gain", "collapsed", "min_drift", "alarmed"),
]
ORIGIN = ["written", "seconds", "machine"]
DRAWN = ["values", "keys", "setting", "alarm_share"]
"""Columns of cells that only the heat maps need."""
TABLES = ("runs", "layout", "few_labels")
"""The CSV files that everything is made from."""


def read_runs(folder: Path) -> pd.DataFrame:
    """Return a line for each finished run, with the run itself."""
    runs = collect(folder).finished
    return pd.DataFrame(map(line, runs), columns=[*KEY, *MEASURED, *ORIGIN, "run"])


def line(run: Run) -> dict[str, Any]:
    """Return what was measured in a run; the scores of images without particles are of pixels."""
    assert run.folder is not None
    assert run.result is not None
    result, config = run.result, read_json(run.folder / "config.json")
    results = run.folder / "results.json"
    where = mapping(read_json(results).get("environment"))
    row: dict[str, Any] = {name: result[name] for name in ("data", "mask", "ratio", "seed")}
    row["regime"] = REGIMES[text(mapping(config.get("teacher")).get("kind"))]
    row["value"] = result["mask_config"].get(SWEPT.get(result["mask"]))
    for branch, score in itertools.product(("fixmatch", "supervised"), SCORES):
        of_particles, of_pixels = (result[f"{branch}_{n}_{score}"] for n in ("particle", "pixel"))
        pixels = score == "recall" or of_particles is None
        row[f"{branch}_{score}"] = of_pixels if pixels else of_particles
    row["gain"] = row["fixmatch_average_precision"] - row["supervised_average_precision"]
    row["collapsed"] = row["fixmatch_recall"] < 0.5 * row["supervised_recall"]
    row |= {name: result[name] for name in ("min_drift", "alarmed", "seconds")}
    row["written"] = datetime.fromtimestamp(last_change(results), UTC).isoformat(" ", "seconds")
    row["machine"] = (
        f"{text(where.get('device'))} with {where.get('threads')} thread,"
        f" {text(mapping(config.get('trainer')).get('precision'))}, torch"
        f" {text(where.get('torch'))}, {text(where.get('platform'))}"
    )
    return row | {"run": run}


def read_table(path: Path) -> pd.DataFrame:
    """Return the lines of a CSV; none of a file that is not there."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=[*KEY, *ORIGIN])


def new_runs(found: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the lines whose run is not among the known ones, or was made anew."""
    have = set(known[[*KEY, "written"]].astype(str).itertuples(index=False, name=None))
    told = found[[*KEY, "written"]].astype({"value": float}).astype(str)
    return found.loc[[row not in have for row in told.itertuples(index=False, name=None)]]


def together(known: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Add lines to the known ones; a line takes the place of an older one of the same run."""
    if found.empty:
        return known
    order = [*RATIOS, *REGIMES.values(), *VALUES]
    both = pd.concat([known, found]) if len(known) else found
    return (
        both.drop(columns="run", errors="ignore")
        .astype({"value": float})
        .drop_duplicates(KEY, keep="last")
        .sort_values(
            KEY, key=lambda names: names.map(lambda n: order.index(n) if n in order else n)
        )
        .reset_index(drop=True)
    )


def read_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a line for each cell, with means over its runs and the labels of its heat maps."""
    rows = [
        {
            **dict(zip(FIELDS, key, strict=True)),
            "runs": len(group),
            "seeds": " ".join(map(str, sorted(group.seed))),
            **{score: group[f"fixmatch_{score}"].mean() for score in SCORES},
            **{f"control_{score}": group[f"supervised_{score}"].mean() for score in SCORES},
            "gain": group.gain.mean(),
            "min_drift": group.min_drift.mean(),
            "alarms": f"{int(group.alarmed.sum())}/{len(group)}",
            "alarm_share": group.alarmed.mean(),
            "collapsed": int(group.collapsed.sum()),
        }
        for key, group in runs.groupby(FIELDS, sort=False, dropna=False)
    ]
    cells = pd.DataFrame(rows)
    values = ["" if np.isnan(value) else f"{value:g}" for value in cells.value]
    keys = cells["mask"].map(SWEPT).fillna("")
    return cells.assign(values=values, keys=keys, setting=cells["mask"] + " " + values)


def draw_maps(cells: pd.DataFrame, output: Path) -> None:
    """Draw a figure for each quantity: data sets below each other, regimes side by side."""
    panels: Any = dict(iter(cells.groupby(["data", "regime"], sort=False)))
    data, regimes = list(dict.fromkeys(cells.data)), list(dict.fromkeys(cells.regime))
    sizes = {key: size(group) for key, group in panels.items()}
    tall = {name: max(sizes[key][1] for key in sizes if key[0] == name) + 30 for name in data}
    wide = {name: max(sizes[key][0] for key in sizes if key[1] == name) + 20 for name in regimes}
    width, height = sum(wide.values()), sum(tall.values()) + 24
    for name, quantity in MAPS.items():
        scale = quantity.scale(cells)
        with style():
            figure = sized(width, height)
            figure.text(0.5, 1 - 14 / height, quantity.title, weight="bold", ha="center")
            for (row, column), group in panels.items():
                across, up = sizes[row, column]
                left = sum(wide[each] for each in regimes[: regimes.index(column)])
                top = 24 + sum(tall[each] for each in data[: data.index(row)])
                title = f"{row}, {column} regime"
                figure.text((left + LEFT) / width, 1 - (top + 18) / height, title)
                box = left / width, 1 - (top + 24 + up) / height, across / width, up / height
                draw(figure.add_axes(box), group, quantity, scale)
            save(figure, output / f"{name}.png", dpi=110)


def of_planned(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how many of the planned runs of each mask are there."""
    rows = []
    for (data, ratios), regime, (mask, values) in itertools.product(
        RATIOS.items(), REGIMES.values(), VALUES.items()
    ):
        found = runs[(runs.data == data) & (runs.regime == regime) & (runs["mask"] == mask)]
        planned = set(itertools.product(values, ratios, SEEDS))
        done = set(zip(found.value.replace({np.nan: None}), found.ratio, found.seed, strict=True))
        empty = []
        for ratio in ratios:
            open_ = [v for v in values if not any((v, ratio, seed) in done for seed in SEEDS)]
            named = "all" if len(open_) == len(values) else " ".join(f"{v}" for v in open_)
            empty += [f"{percent(ratio)}: {named}"] if open_ else []
        row: dict[str, Any] = dict(zip(FIELDS, (data, regime, mask), strict=False))
        row |= {"planned": len(planned), "finished": len(planned & done)}
        rows.append(row | {"empty": ", ".join(empty)})
    return pd.DataFrame(rows)


def by_threshold(runs: pd.DataFrame) -> str:
    """Return a table of masks and thresholds, over label ratios and seeds."""
    rows = [
        dict(zip(FIELDS, key, strict=False))
        | {
            "runs": len(group),
            "recall": group.fixmatch_recall.mean(),
            "control": group.supervised_recall.mean(),
            "gain": group.gain.mean(),
            "drift": group.min_drift.min(),
            "alarms": int(group.alarmed.sum()),
            "collapsed": int(group.collapsed.sum()),
        }
        for key, group in runs.groupby(FIELDS[:-1], sort=False, dropna=False)
    ]
    columns = [
        *(Column(name, name, text=True) for name in FIELDS[:3]),
        Column("threshold", "value", "{:g}".format, unknown="none"),
        Column("runs", "runs"),
        Column("recall at 0.5", "recall", plain),
        Column("control", "control", plain),
        Column("gain of average precision", "gain", signed),
        Column("lowest drift", "drift", lambda value: signed(value, 2)),
        Column("alarms", "alarms"),
        Column("collapsed", "collapsed"),
    ]
    return markdown_table(pd.DataFrame(rows), columns)


def cure(cells: pd.DataFrame) -> str:
    """Compare the cure, quota masks in the advised regime, with its control in each cell."""
    mine = cells[(cells["mask"] == "quota") & (cells.regime == "advised")]
    if mine.empty:
        return "There is no run of it yet."
    mine = mine.assign(f1_gain=mine.f1 - mine.control_f1)
    columns = [
        Column("data", "data", text=True),
        Column("labels", "ratio", percent),
        Column("runs", "runs"),
        Column("F1", "f1", plain),
        Column("control", "control_f1", plain),
        Column("gain of F1", "f1_gain", signed),
        Column("gain of average precision", "gain", signed),
    ]
    below = int((mine.f1_gain < -0.01).sum())
    return (
        f"{markdown_table(mine, columns)}\n\nIn {below} of {len(mine)} cells its F1 is more than a"
        " point below its control's."
    )


def answer(runs: pd.DataFrame) -> str:
    """Say in two sentences what was found."""
    said = []
    for regime, means in (
        ("advised", "the average as teacher, weight 1"),
        ("collapsing", "the student as teacher, weight 200"),
    ):
        mine = runs[runs.regime == regime]
        if mine.empty:
            continue
        kept = mine.fixmatch_recall / mine.supervised_recall
        worst: Any = mine.iloc[int(kept.to_numpy().argmin())]
        at = f" {worst.value:g}" if worst.value == worst.value else ""
        said.append(
            f"In the {regime} regime ({means}) the recall at 0.5 ended below half of the control's"
            f" in {int(mine.collapsed.sum())} of {len(mine)} runs; the lowest was"
            f" {percent(kept.min(), 0)} of it, with `mask={worst['mask']}`{at} at"
            f" {percent(worst.ratio)} of the labels of {worst.data}, and average precision changed"
            f" by {signed(mine.gain.mean())} in the mean ({signed(mine.gain.min())} to"
            f" {signed(mine.gain.max())})."
        )
    return "\n".join(said)


def origin(runs: pd.DataFrame) -> str:
    """Say when and on which machines the runs were made, and how long they took."""
    rows = [
        {
            "machine": machine,
            "days": " to ".join(dict.fromkeys([min(group.written)[:10], max(group.written)[:10]])),
            "runs": len(group),
            "hours": group.seconds.sum(min_count=1) / 3600,
        }
        for machine, group in runs.groupby("machine", sort=False)
    ]
    columns = [
        Column("machine", "machine", text=True),
        Column("days", "days", text=True),
        Column("runs", "runs"),
        Column("hours of these runs", "hours", "{:.1f}".format, unknown="not recorded"),
    ]
    return markdown_table(pd.DataFrame(rows), columns)


def page_parts(
    runs: pd.DataFrame, layout: pd.DataFrame, few_labels: pd.DataFrame, rule: dict[str, Any]
) -> dict[str, str]:
    """Return all that the page says in numbers."""
    kinds = [Column(name, name, text=True) for name in FIELDS[:3]]
    counts = [Column(name, name) for name in ("finished", "planned")]
    missing = Column("ratio: thresholds without any run", "empty", text=True)
    return {
        "answer": answer(runs),
        "origin": origin(runs),
        "by threshold": by_threshold(runs),
        "cure": cure(read_cells(runs)),
        "missing": markdown_table(of_planned(runs), [*kinds, *counts, missing]),
        **guard_replay.parts(pd.concat([runs, few_labels])),
        **forecast_fit.parts(runs, rule),
        "layout": by_threshold(layout) if len(layout) else "There is no run of it yet.",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--cache", default=str(Path("~/.cache/cryofix").expanduser()))
    parser.add_argument("--layout", type=Path)
    parser.add_argument("--few-labels", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/thresholds"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    runs, layout, few_labels = (read_table(options.output / f"{name}.csv") for name in TABLES)
    if options.folder is not None:
        new = new_runs(read_runs(options.folder), runs)
        new = new.join(forecast_fit.features(new, options.folder, options.cache))
        runs = together(runs, guard_replay.replayed(new)).round(6)  # as they are written
    if options.layout is not None:
        layout = together(layout, read_runs(options.layout))
    if options.few_labels is not None:
        all_of_them = guard_replay.few_labels(options.few_labels)
        if len(all_of_them) < len(few_labels):
            parser.error(
                f"{options.few_labels} lacks runs of the {len(few_labels)} in few_labels.csv"
            )
        few_labels = all_of_them
    rule, runs["probability"] = forecast_fit.fitted(runs)
    cells = read_cells(runs)
    tables = dict(zip(TABLES, (runs, layout, few_labels), strict=True))
    for name, frame in (tables | {"cells": cells.drop(columns=DRAWN)}).items():
        frame.round(6).to_csv(options.output / f"{name}.csv", index=False)
    draw_maps(cells, options.output)
    parts = page_parts(runs, layout, few_labels, rule)
    fill(options.output.with_suffix(".md"), parts)
    forecast_fit.keep(rule)
    print("\n\n".join(parts.values()))


if __name__ == "__main__":
    main()
