"""The page of a picking run: one HTML file with pictures, picks, scores and counts inside it."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cryofix.files import atomic_write
from cryofix.formats.label_fit import evenly
from cryofix.picking.pick_summary import BANDS, UNLIKE, Summary
from cryofix.picking.picked import Job, PickSelection, read_result, scores
from cryofix.reporting import figures
from cryofix.reporting.frame_tables import Column, html_table
from cryofix.reporting.numbers import count, plain
from cryofix.reporting.pages import page

MOST_ROWS = 2000
MOST_BARS = 100  # the picks of more micrographs than that are averaged over neighbours
WIDTH, HEIGHT = 400.0, 210.0  # small enough that writing can be read on a phone
LEFT, RIGHT = 48.0, 10.0
COLUMNS = (
    Column("Micrograph", "micrograph", text=True),
    Column("Picks", "picks"),
    Column("Lower scores", "low_scores"),
    Column("Mean score", "mean_score", plain),
    Column("Angstrom per pixel", "pixel_size_angstrom", plain),
    Column("Diameter, px", "diameter_px", lambda value: plain(value, 1)),
    Column("Unlike the rest", UNLIKE, text=True),
)
CURVE = "validation_curve.json"
"""Beside a run's ``checkpoints/``: precision and recall on validation at each threshold."""


def write_page(
    path: Path,
    summary: Summary,
    selection: PickSelection,
    jobs: Sequence[Job],
    model: Path,
    shown: int,
) -> None:
    """Write the page of the finished jobs, with pictures of so many, evenly spread."""
    levels, rows = summary.levels, summary.rows.head(MOST_ROWS)
    odd = summary.unlike.index.tolist()[: max(shown, 0)]
    others = np.setdiff1d(np.arange(len(jobs)), odd)
    evenly_spread = others[evenly(len(others), max(shown - len(odd), 0))]
    chosen = [jobs[index] for index in (*odd, *evenly_spread)]
    picks = summary.rows["picks"]
    content: dict[str, Any] = {
        "summary": summary,
        "model": model,
        "threshold": selection.threshold,
        "source": selection.source,
        "median": count(picks.median()) if len(picks) else "-",
        "levels": levels,
        "start": levels.index(round(selection.threshold, 6)),
        "curve": on_validation(model, levels),
        "at_levels": summary.at_levels[:MOST_ROWS].tolist(),
        "totals": summary.at_levels.sum(axis=0).tolist(),
        "medians": np.median(summary.at_levels, axis=0).tolist() if len(picks) else [],
        "odd": summary.unlike.itertuples(),
        "charts": _charts(summary, selection.threshold) if len(picks) else [],
        "shown": len(chosen),
        "total": len(jobs),
        "pictures": (_picture(job, selection, levels) for job in chosen),
        "most_rows": MOST_ROWS,
        "table": html_table(rows, COLUMNS),
    }
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(page("picks.html", "picks.css", "picks.js", **content))


def on_validation(model: Path, levels: Sequence[float]) -> list[tuple[float, float]]:
    """Return precision and recall of a run's model at each threshold; none where nobody knows."""
    try:
        curve = json.loads((model.parents[1] / CURVE).read_text())
        at = curve["threshold"]
        precision, recall = (np.interp(levels, at, curve[key]) for key in ("precision", "recall"))
        return list(zip(precision.tolist(), recall.tolist(), strict=True))
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return []  # a model without its run folder, or labels by which precision is unknown


def _picture(job: Job, selection: PickSelection, levels: list[float]) -> dict[str, Any]:
    """Return what the page draws of one micrograph.

    The picks of each band of scores are the vertices of one line, whose markers are rings.
    """
    result = read_result(job)
    particles = selection.all(result)
    band = np.searchsorted(levels, scores(particles), side="right") - 1
    rows, columns = result.info.shape
    lines = []
    for index in np.unique(band).tolist():
        its = particles.select(band == index)
        points = (f"{x:.0f},{y:.0f}" for x, y in zip(its.x, its.y, strict=True))
        lines.append((index, " ".join(points)))
    return {
        "name": job.name,
        "jpeg": base64.b64encode(result.thumbnail).decode(),
        "rows": rows,
        "columns": columns,
        "diameter": result.diameter_px or 1.0,
        "bands": lines,
        "counts": [int((band >= index).sum()) for index in range(len(levels))],
    }


def _charts(summary: Summary, threshold: float) -> list[tuple[str, object]]:
    """Return how the picks score, and how many there are in each micrograph."""
    with figures.style():
        histogram, axis = _chart(summary.histogram.tolist(), "score")
        for index, bar in enumerate(axis.patches):
            low, high = index / BANDS, (index + 1) / BANDS
            words = f"score {low:.2f} to {high:.2f}: {count(summary.histogram[index])}"
            figures.tip(bar, words, low=low)
        mark = axis.axvline(BANDS * threshold - 0.5, color=figures.BAD, linewidth=1.5)
        figures.tip(mark, "threshold", mark=threshold, width=WIDTH - LEFT - RIGHT)
        ticks = (0, 0.25, 0.5, 0.75, 1)
        axis.set_xticks([BANDS * tick - 0.5 for tick in ticks], [f"{tick:g}" for tick in ticks])

        names, picks = summary.rows["micrograph"], summary.rows["picks"]
        groups = np.array_split(np.arange(len(picks)), min(len(picks), MOST_BARS))
        means = [float(picks.iloc[group].mean()) for group in groups]
        smallest = 0.002 * max(1.0, *means)  # the script stretches bars, so none may be flat
        drawn = [max(mean, smallest) for mean in means]
        numbers, axis = _chart(drawn, "micrograph", 0.84)
        top = axis.get_ylim()[1]
        for bar, group, mean, height in zip(axis.patches, groups, means, drawn, strict=True):
            at = summary.at_levels[group].mean(axis=0) / height
            first, last = names.iloc[group[0]], names.iloc[group[-1]]
            named = first if len(group) == 1 else f"{first} to {last}, mean"
            stretched = ";".join(f"{value:.4g}" for value in at)
            words = f"{named}: {mean:,.4g}"
            figures.tip(bar, words, stretch=stretched, share=f"{height / top:.4g}", top=top)
        for label, tick in zip(axis.get_yticklabels(), axis.get_yticks(), strict=True):
            figures.tip(label, "picks", tick=int(tick))
        ends = [-0.5, len(means) - 0.5] if len(picks) > 1 else [-0.5]
        axis.set_xticks(ends, ["1", f"{len(picks)}"][: len(ends)])
    of_scores = figures.inline_svg(histogram, "histogram of the scores of all kept picks")
    of_numbers = figures.inline_svg(numbers, "number of picks of each micrograph")
    return [("Scores", of_scores), ("Picks per micrograph, in the order of names", of_numbers)]


def _chart(
    heights: Sequence[int] | Sequence[float], name: str, width: float = 0.95
) -> tuple[Figure, Axes]:
    """Return a bar chart in which bar i is at x = i."""
    figure, axis = figures.chart((WIDTH, HEIGHT), LEFT, RIGHT, top=10.0, bottom=40.0)
    axis.bar(range(len(heights)), heights, width, color=figures.ACCENT)
    ticks = MaxNLocator(3, integer=True).tick_values(0, max(1.0, *heights))
    axis.set(xlim=(-0.5, len(heights) - 0.5), ylim=(0, ticks[-1]), xlabel=name)
    axis.set_yticks(ticks, [f"{tick:,.4g}" for tick in ticks])
    axis.tick_params(length=0, pad=6)
    return figure, axis
