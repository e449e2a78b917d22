"""One picture of all gains: every run's own, their mean, and its interval."""

from itertools import groupby

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cryofix.reporting.numbers import percent
from cryofix.reporting.plots import panels

RUNS, MEAN, ZERO = "#4c78a8", "#222222", "#999999"
LINE_INCHES = 0.23
MOST_ROWS = 80  # more are a wall of dots; the tables hold all


def gains_figure(rows: pd.DataFrame, metric_title: str) -> Figure | None:
    """Draw the paired gain of each run in a metric; None without a gain.

    A line for each setting and ratio, grouped by data: dots are runs, the diamond is their mean,
    the bar its 95 % interval (none for a single run). ``rows`` has the columns ``scene``,
    ``curve``, ``ratio``, ``gain`` and ``differences`` of
    :func:`cryofix.sweeps.statistics.rows_frame`.
    """
    if not rows.empty:
        rows = rows.dropna(subset="gain")[:MOST_ROWS]
    if rows.empty:
        return None
    shown = [row for _, row in rows.sort_values(["scene", "ratio"], kind="stable").iterrows()]
    groups = [(scene, list(group)) for scene, group in groupby(shown, key=lambda row: row.scene)]
    lines = len(shown) + len(groups)
    figure, (axis,) = panels(8, 1.2 + LINE_INCHES * lines)
    axis.axvline(0, color=ZERO, linewidth=1, zorder=0)
    names: list[str] = []
    for scene, group in groups:
        names.append(scene)
        for row in group:
            gain, height = row.gain, len(names)
            heights = [height] * len(row.differences)
            axis.plot(row.differences, heights, "o", color=RUNS, alpha=0.5, ms=4)
            if gain.interval is not None:
                axis.plot(gain.interval, [height] * 2, color=MEAN, lw=1.3)
            axis.plot(gain.mean, height, "D", color=MEAN, ms=4)
            names.append(f"{row.curve}, {percent(row.ratio)}")
    axis.set_ylim(lines - 0.4, -0.6)
    heads = {scene for scene, _ in groups}
    for tick in axis.set_yticks(range(lines), names, fontsize=8, parse_math=False):
        if tick.label1.get_text() in heads:
            tick.label1.set_fontweight("bold")
    axis.set_xlabel(f"{metric_title}, FixMatch minus its control", loc="right")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    handles = [
        Line2D([], [], color=RUNS, marker="o", alpha=0.5, ms=4, ls="", label="a run"),
        Line2D([], [], color=MEAN, marker="D", ms=4, lw=1.3, label="mean and its 95 % interval"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return figure
