"""Draw the map of thresholds and label ratios, and write its numbers into docs/thresholds.md.

    python docs/study/threshold_map.py FOLDER [--cache CACHE] [--layout SWEEP] [--few-labels SWEEP]

FOLDER is the sweep, complete or not, of the commands that the page shows. runs.csv and guard.csv
have a line for each finished run, cells.csv one for each cell, and there is a figure for each
quantity. The rule of the forecast is fitted anew, by forecast_fit.py. SWEEP is that of the
reference run's own layout, which changes its table alone, or that of docs/how_many_labels.md, whose
runs are added to those in which the guard should be silent.
"""

import argparse
import itertools
from dataclasses import replace
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
from cryofix.sweeps.heat_maps import DIVERGING, LEFT, Quantity, draw, quantities, size
from cryofix.sweeps.reading import last_change, mapping, read_json, text
from cryofix.sweeps.runs import Run
from cryofix.sweeps.statistics import rows_frame, runs_frame
from cryofix.sweeps.varied import Setting

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
    "drift": replace(quantities("pixel_f1")[-2], title="Lowest drift"),
    "alarms": replace(quantities("pixel_f1")[-1], title="Runs in which the guard spoke"),
}
FIELDS = ["data", "regime", "mask", "value", "ratio"]


def read_runs(folder: Path) -> pd.DataFrame:
    """Return a line for each finished run, with the columns of `runs_frame` and this page's."""
    runs = runs_frame(collect(folder).finished)
    runs["setting"] = runs["setting"].map(without_guard)
    runs["regime"] = [REGIMES[teacher(run)] for run in runs.run]
    runs["value"] = [swept(setting) for setting in runs.setting]
    for branch in ("fixmatch", "supervised"):
        for score in SCORES:
            pixel = runs[f"{branch}_pixel_{score}"]
            particle = pixel if score == "recall" else runs[f"{branch}_particle_{score}"]
            runs[f"{branch}_{score}"] = particle.where(particle.notna(), pixel).astype(float)
    runs["gain"] = runs.fixmatch_average_precision - runs.supervised_average_precision
    runs["collapsed"] = runs.fixmatch_recall < 0.5 * runs.supervised_recall
    return runs


def without_guard(setting: Setting) -> Setting:
    """Return a setting without the keys of a guard that only reports, which changes no training."""
    others = [pair for pair in setting.others if not pair[0].startswith("guard.")]
    return replace(setting, others=tuple(others))


def teacher(run: Run) -> str:
    """Return the kind of a run's teacher."""
    assert run.folder is not None
    return text(mapping(read_json(run.folder / "config.json").get("teacher")).get("kind"))


def swept(setting: Setting) -> float | None:
    """Return the value of the mask that is swept, if there is one."""
    key = "background_threshold" if setting.mask == "class_aware" else "threshold"
    found = dict(setting.mask_config).get(key)
    return None if found is None else float(found)


def read_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a report on these runs, with this page's columns."""
    cells = rows_frame(runs, "pixel_average_precision")
    groups = [runs[runs.run.isin(members)] for members in cells.members]
    for key in FIELDS:
        cells[key] = [group[key].iloc[0] for group in groups]
    for score in SCORES:
        cells[score] = [group[f"fixmatch_{score}"].mean() for group in groups]
        cells[f"control_{score}"] = [group[f"supervised_{score}"].mean() for group in groups]
    cells["gain"] = [group.gain.mean() for group in groups]
    cells["collapsed"] = [int(group.collapsed.sum()) for group in groups]
    return cells


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
            "drift": group.min_drift.astype(float).min(),
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
    """Say when and on what machine the runs were made, and how long they took."""
    written = [last_change(run.folder / "results.json") for run in runs.run]
    first, last = (datetime.fromtimestamp(f(written), UTC).date() for f in (min, max))
    where = mapping(read_json(runs.run.iloc[0].folder / "results.json").get("environment"))
    steps = mapping(read_json(runs.run.iloc[-1].folder / "results.json").get("steps"))
    hours = runs.seconds.astype(float).sum() / 3600
    days = f"{first}" if first == last else f"{first} to {last}"
    return (
        f"{len(runs)} runs of {days}, {hours:.1f} hours in all: {steps.get('burn_in')} steps on"
        f" labels, then {steps.get('stage')} of FixMatch and of its control, on"
        f" {text(where.get('device'))} with {where.get('threads')} thread, torch"
        f" {text(where.get('torch'))}, {text(where.get('platform'))}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", default=str(Path("~/.cache/cryofix").expanduser()))
    parser.add_argument("--layout", type=Path)
    parser.add_argument("--few-labels", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/thresholds"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    runs = read_runs(options.folder)
    cells, planned = read_cells(runs), of_planned(runs)
    scores = [f"{branch}_{score}" for branch in ("fixmatch", "supervised") for score in SCORES]
    shown = [*FIELDS, "seed", *scores, "gain", "min_drift", "alarmed", "collapsed"]
    controls = [f"control_{score}" for score in SCORES]
    means = ["runs", "seeds", *SCORES, *controls, "gain", "min_drift_mean", "alarms", "collapsed"]
    for name, frame, columns in (("runs", runs, shown), ("cells", cells, [*FIELDS, *means])):
        frame[columns].infer_objects().round(4).to_csv(options.output / f"{name}.csv", index=False)
    draw_maps(cells, options.output)
    watched = guard_replay.replayed(runs)
    if options.few_labels is not None:
        watched = pd.concat([watched, guard_replay.few_labels(options.few_labels)])
    watched.to_csv(options.output / "guard.csv", index=False)
    kinds = [Column(name, name, text=True) for name in FIELDS[:3]]
    counts = [Column(name, name) for name in ("finished", "planned")]
    missing = Column("ratio: thresholds without any run", "empty", text=True)
    parts = {
        "answer": answer(runs),
        "origin": origin(runs),
        "by threshold": by_threshold(runs),
        "cure": cure(cells),
        "missing": markdown_table(planned, [*kinds, *counts, missing]),
        **guard_replay.parts(watched),
        **forecast_fit.parts(options.folder, options.cache, options.output),
    }
    if options.layout is not None:
        parts["layout"] = by_threshold(read_runs(options.layout))
    fill(options.output.with_suffix(".md"), parts)
    print("\n\n".join(parts.values()))


if __name__ == "__main__":
    main()
