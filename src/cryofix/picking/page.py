"""The page of a picking run: one HTML file with pictures, picks, scores and counts inside it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cryofix.files import atomic_write
from cryofix.formats.label_fit import evenly
from cryofix.picking.pick_summary import BANDS, Summary
from cryofix.picking.picked import Job, PickSelection, read_result, scores
from cryofix.reporting import figures
from cryofix.reporting.frame_tables import Column, html_table
from cryofix.reporting.numbers import count, plain
from cryofix.reporting.pages import page

STEP = 0.05  # of the slider
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
    Column("Diameter", "diameter_px", lambda value: plain(value, 1)),
)


def write_page(
    path: Path,
    summary: Summary,
    selection: PickSelection,
    jobs: Sequence[Job],
    model: Path,
    shown: int,
) -> None:
    """Write the page of the finished jobs, with pictures of so many, evenly spread."""
    levels = slider_levels(selection)
    chosen = [jobs[index] for index in evenly(len(jobs), max(shown, 0))]
    picks = summary.rows["picks"]
    content: dict[str, Any] = {
        "summary": summary,
        "model": model,
        "threshold": selection.threshold,
        "source": selection.source,
        "median": count(picks.median()) if len(picks) else "-",
        "levels": levels,
        "start": levels.index(round(selection.threshold, 6)),
        "charts": _charts(summary, selection.threshold) if len(picks) else [],
        "shown": len(chosen),
        "total": len(jobs),
        "pictures": (_picture(job, selection, levels) for job in chosen),
        "most_rows": MOST_ROWS,
        "table": html_table(summary.rows.head(MOST_ROWS), COLUMNS),
    }
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(page("picks.html", "picks.css", "picks.js", **content))


def slider_levels(selection: PickSelection) -> list[float]:
    """Return the thresholds that the slider offers, ascending, the chosen one among them."""
    steps = np.arange(np.ceil(selection.lowest / STEP - 1e-9), 1 / STEP) * STEP
    levels = (selection.lowest, selection.threshold, *steps)
    return sorted({round(float(level), 6) for level in levels})


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
            bar.set_alpha(1.0 if (low + high) / 2 >= threshold else 0.35)
            words = f"score {low:.2f} to {high:.2f}: {count(summary.histogram[index])}"
            figures.tip(bar, words)
        mark = axis.axvline(BANDS * threshold - 0.5, color=figures.BAD, linewidth=1.5)
        figures.tip(mark, "threshold", mark=threshold, width=WIDTH - LEFT - RIGHT)
        ticks = (0, 0.25, 0.5, 0.75, 1)
        axis.set_xticks([BANDS * tick - 0.5 for tick in ticks], [f"{tick:g}" for tick in ticks])

        names, picks = summary.rows["micrograph"], summary.rows["picks"]
        groups = np.array_split(np.arange(len(picks)), min(len(picks), MOST_BARS))
        means = [float(picks.iloc[group].mean()) for group in groups]
        numbers, axis = _chart(means, "micrograph", 0.84)
        for bar, group, mean in zip(axis.patches, groups, means, strict=True):
            first, last = names.iloc[group[0]], names.iloc[group[-1]]
            named = first if len(group) == 1 else f"{first} to {last}, mean"
            figures.tip(bar, f"{named}: {mean:,.4g}")
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
    ticks = MaxNLocator(3).tick_values(0, max(1.0, *heights))
    axis.set(xlim=(-0.5, len(heights) - 0.5), ylim=(0, ticks[-1]), xlabel=name)
    axis.set_yticks(ticks, [f"{tick:,.4g}" for tick in ticks])
    axis.tick_params(length=0, pad=6)
    return figure, axis
