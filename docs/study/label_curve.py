"""Draw the runs of `experiment=how_many_labels`, and write the tables of docs/how_many_labels.md.

    python docs/study/label_curve.py [FOLDER] [--topaz scores.csv] [--page docs/how_many_labels.md]

FOLDER is the sweep; scores.csv is of `python -m benchmarks.topaz_clicks`. What they hold is added
to runs.csv in the folder of the page's name (a line for each run and program), or takes the place
of the same runs there. From it table.csv (mean, and the paired gain of FixMatch over its control
with its 95 % interval by Student's t over repetitions) and curve.png are made. The page's other
tables are written from candidates.csv, views.csv, suggest.csv and partial_selection.csv there.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from marked_page import fill
from matplotlib.lines import Line2D

from cryofix.reporting.frame_tables import Column, markdown_table
from cryofix.reporting.numbers import gain_with_interval, plain, signed
from cryofix.reporting.plots import FIXMATCH, NEUTRAL, SUPERVISED, panels, save
from cryofix.sweeps.gains import t_interval

SCORES = {"average_precision": "particle average precision", "f1": "particle F1"}
PROGRAMS = {"supervised": "control", "fixmatch": "FixMatch"}
CELL = ["data", "noise", "clicks"]
WHOLE = {"one micrograph": 1000.0, "all micrographs": 4000.0}  # places on the axis of clicks
COLOURS = {"control": SUPERVISED, "FixMatch": FIXMATCH, "Topaz": NEUTRAL}
ASIDE = {"control": 0.97, "FixMatch": 1.03, "Topaz": 1.0}  # so that dots do not lie on each other


def read_runs(folder: Path) -> pd.DataFrame:
    """Return a line for each finished run and program.

    Without a number of clicks, micrographs are labelled completely: one of them, or all.
    """
    rows = []
    for path in sorted(folder.glob("*/results.json")):
        found: dict[str, Any] = json.loads(path.read_text())
        data = json.loads((path.parent / "config.json").read_text())["data"]
        labelled = json.loads((path.parent / "splits.json").read_text())["labelled"]
        whole = "one micrograph" if len(labelled) == 1 else "all micrographs"
        clicks = data["labelled_particles"]
        selected = found["selected"]
        for branch, program in PROGRAMS.items():
            particle = found[branch]["particle"]
            rows.append(
                {
                    "data": found["data"],
                    "noise": data["added_noise"],
                    "clicks": whole if clicks is None else str(clicks),
                    "seed": found["seed"],
                    "program": program,
                    "selected": branch == selected,
                    **{score: particle[score] for score in SCORES},
                }
            )
    return pd.DataFrame(rows)


def together(known: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Add lines to the known ones; a line takes the place of an older one of the same run."""
    key = [*CELL, "seed", "program"]
    return pd.concat([known, found], ignore_index=True).drop_duplicates(key, keep="last")


def tabulate(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a line for each cell and score."""
    rows = []
    for cell, group in runs.groupby(CELL, sort=False):
        for score in SCORES:
            by_program = group.pivot_table(index="seed", columns="program", values=score)
            row = dict(zip(CELL, cell, strict=True)) | {"score": score, "runs": len(by_program)}
            row |= {str(name): mean for name, mean in by_program.mean().items()}
            row["Topaz runs"] = int(by_program["Topaz"].count()) if "Topaz" in by_program else 0
            gains = (by_program["FixMatch"] - by_program["control"]).dropna().tolist()
            bounds = t_interval(gains) or (np.nan, np.nan)
            rows.append(row | {"gain": np.mean(gains), "low": bounds[0], "high": bounds[1]})
    table = pd.DataFrame(rows)
    order = table["clicks"].map(place)
    return (
        table.assign(order=order)
        .sort_values(["data", "noise", "score", "order"])
        .drop(columns="order")
    )


def place(clicks: str) -> float:
    """Return where a number of clicks stands on the axis."""
    return WHOLE.get(clicks) or float(clicks)


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw each repetition as a dot and the means as lines."""
    sets = runs[["data", "noise"]].drop_duplicates().to_numpy().tolist()
    width = 3.6 * len(sets)
    figure, every = panels(width, 6.8, 2, len(sets), sharex=True, sharey="row")
    axes = every.reshape(2, len(sets))
    names = sorted(runs["clicks"].unique(), key=place)
    for column, (data, noise) in enumerate(sets):
        here = runs[(runs["data"] == data) & (runs["noise"] == noise)]
        for axis, (score, title) in zip(axes[:, column], SCORES.items(), strict=True):
            for program, colour in COLOURS.items():
                group = here[here["program"] == program]
                at = group["clicks"].map(place).astype(float) * ASIDE[program]
                means = group.groupby(at)[score].mean()
                axis.plot(at, group[score], ".", color=colour, alpha=0.4)
                axis.plot(means.index, means, "D-", color=colour, markersize=4)
            axis.set(xscale="log", ylabel=title if column == 0 else "")
            axis.set_xticks([place(name) for name in names], [name.split()[0] for name in names])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        axes[0, column].set_title(f"{data}" + (f", added_noise={noise:g}" if noise else ""))
        axes[1, column].set_xlabel("clicks, or one whole micrograph")
    handles = [
        Line2D([], [], color=colour, marker="D", markersize=4, label=f"{name}, mean")
        for name, colour in COLOURS.items()
    ]
    handles.append(Line2D([], [], color=NEUTRAL, marker=".", ls="", alpha=0.4, label="one run"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    save(figure, path)


def curve_table(table: pd.DataFrame) -> str:
    """Return what was measured as Markdown, a line for each cell and score."""

    def gain(row: int) -> str:
        low, value, high = table[["low", "gain", "high"]].to_numpy(float)[row]
        return gain_with_interval(value, None if np.isnan(low) else (low, high))

    def topaz(row: int) -> str:
        mean, runs = table[["Topaz", "Topaz runs"]].to_numpy(float)[row]
        return "" if np.isnan(mean) else f"{plain(mean)} ({runs:.0f})"

    columns = [
        Column("data", "data", text=True),
        Column("`data.added_noise`", "noise", "{:g}".format),
        Column("clicks", "clicks", text=True),
        Column("score", "score", lambda score: SCORES[score], text=True),
        Column("runs", "runs"),
        *(Column(name, name, plain) for name in PROGRAMS.values()),
        Column("Topaz (its runs)", "row", topaz),
        Column("gain of FixMatch [95 %]", "row", gain),
    ]
    return markdown_table(table.assign(row=range(len(table))), columns)


def selection(runs: pd.DataFrame, partial: pd.DataFrame) -> str:
    """Return as Markdown how often validation chose the worse branch, and what that cost.

    Parameters
    ----------
    runs
        With complete labels in validation micrographs.
    partial
        Choices by a few labels there, made by partial_selection.py.
    """
    own = runs[runs["program"].isin(PROGRAMS.values())]
    both = own.pivot_table(index=[*CELL, "seed"], columns="program", values=["f1", "selected"])
    control, fixmatch, chosen = (
        both["f1", "control"],
        both["f1", "FixMatch"],
        both["selected", "FixMatch"] > 0,
    )
    names = [f"{data}_{noise:g}_{clicks}_{seed}" for data, noise, clicks, seed in both.index]
    same = np.isin(names, partial["run"])
    choices: dict[str, tuple[str, Any, Any, Any]] = {
        "all": ("complete", control, fixmatch, chosen),
        "with 30 clicks": ("complete", control[same], fixmatch[same], chosen[same]),
        "the same": (
            "10 particles in each micrograph",
            partial["control_f1"],
            partial["fixmatch_f1"],
            partial["FixMatch"] > partial["control"],
        ),
    }
    rows = []
    for name, (labels, control, fixmatch, chosen) in choices.items():
        taken = fixmatch.where(chosen, control)
        lost, beside = np.maximum(control, fixmatch) - taken, taken - control
        rows.append(
            {
                "runs": name,
                "labels": labels,
                "choices": len(taken),
                "wrong": int((lost > 0).sum()),
                "mean": lost.mean(),
                "most": lost.max(),
                "below": int((beside < -0.01).sum()),
                "lowest": beside.min(),
            }
        )
    columns = [
        Column("runs", "runs", text=True),
        Column("labels of validation", "labels", text=True),
        Column("choices", "choices"),
        Column("the branch with the lower F1", "wrong"),
        Column("F1 lost on average", "mean", "{:.4f}".format),
        Column("at most", "most", "{:.4f}".format),
        Column("a point or more below the control", "below"),
        Column("lowest gain", "lowest", lambda value: signed(value, 4)),
    ]
    return markdown_table(pd.DataFrame(rows), columns)


def candidate_table(candidates: pd.DataFrame) -> str:
    """Return what was tried as Markdown; repetitions of a candidate are averaged."""
    cell = ["candidate", "noise", "steps"]
    scores = ["control_average_precision", "fixmatch_average_precision"]
    means = candidates.groupby(cell, sort=False)[scores].mean()
    seeds = candidates.groupby(cell, sort=False)["seed"].agg(", ".join)
    columns = [
        Column("setting", "candidate", text=True),
        Column("`data.added_noise`", "noise", "{:g}".format),
        Column("seeds", "seed"),
        Column("steps", "steps"),
        Column("control", scores[0], plain),
        Column("FixMatch", scores[1], plain),
    ]
    return markdown_table(means.join(seeds).reset_index(), columns)


def averaged_maps(runs: pd.DataFrame) -> str:
    """Compare averages of probability maps, over seeds, as Markdown."""
    cell = ["start", "noise", "maps"]
    groups = runs.groupby(cell, sort=False)
    table = groups[list(SCORES)].mean().join(groups["seed"].agg(", ".join)).reset_index()
    columns = [
        Column("start", "start", text=True),
        Column("`data.added_noise`", "noise", "{:g}".format),
        Column("seeds", "seed"),
        Column("maps", "maps", text=True),
        *(Column(title, score, plain) for score, title in SCORES.items()),
    ]
    return markdown_table(table, columns)


def suggested(runs: pd.DataFrame) -> str:
    """Compare a suggested second micrograph with one at random, by seed, as Markdown."""
    scores = {"control": "control_average_precision", "FixMatch": "fixmatch_average_precision"}
    table = pd.DataFrame({"seed": sorted(set(runs["seed"]))})
    columns = [Column("seed", "seed")]
    for name, score in scores.items():
        for choice in ("suggested", "random"):
            mine = runs[runs["second_micrograph"] == choice].set_index("seed")[score]
            table[f"{name}, {choice}"] = table["seed"].map(mine)
            columns.append(Column(f"{name}, {choice}", f"{name}, {choice}", plain))
    return markdown_table(table, columns)


def page_parts(runs: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Return the page's tables, of the runs and of the other CSV files in the folder."""
    candidates = pd.read_csv(folder / "candidates.csv", dtype={"seed": str})
    return {
        "curve": curve_table(tabulate(runs)),
        "selection": selection(runs, pd.read_csv(folder / "partial_selection.csv")),
        "candidates": candidate_table(candidates),
        "averaged": averaged_maps(pd.read_csv(folder / "views.csv", dtype={"seed": str})),
        "suggested": suggested(pd.read_csv(folder / "suggest.csv")),
    }


def main() -> None:
    """Write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--topaz", type=Path)
    parser.add_argument("--page", type=Path, default=Path("docs/how_many_labels.md"))
    options = parser.parse_args()
    output = options.page.with_suffix("")
    runs = pd.read_csv(output / "runs.csv", dtype={"clicks": str})
    if options.folder is not None:
        runs = together(runs, read_runs(options.folder))
    if options.topaz is not None:
        topaz = pd.read_csv(options.topaz, dtype={"clicks": str})
        topaz = topaz[topaz["program"] == "topaz"].assign(program="Topaz")
        runs = together(runs, topaz[[*CELL, "seed", "program", *SCORES]])
    runs = runs.round(4)
    runs.to_csv(output / "runs.csv", index=False)
    tabulate(runs).round(4).to_csv(output / "table.csv", index=False)
    draw(runs, output / "curve.png")
    fill(options.page, page_parts(runs, output))


if __name__ == "__main__":
    main()
