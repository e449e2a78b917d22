"""One picture of all gains: every run's own, their mean, and its interval."""

from itertools import groupby

from matplotlib.figure import Figure

from cryofix.reporting.numbers import percent
from cryofix.reporting.plots import panels
from cryofix.sweeps.summarise import SweepSummary

RUNS, MEAN, ZERO = "#4c78a8", "#222222", "#999999"
LINE_INCHES = 0.23
MOST_ROWS = 80  # more are a wall of dots; the tables hold all
ROOM = 0.08  # beside the outermost dots, as a share of their range


def gains_figure(summary: SweepSummary) -> Figure | None:
    """Draw the paired gain of each run in the sweep's metric; None without a gain.

    A line for each setting and ratio, grouped by data: dots are runs, the diamond is their mean,
    the bar its 95 % interval (none for a single run), cut off where it leaves all dots behind.
    """
    shown = summary.rows
    if not shown.empty:
        shown = shown.dropna(subset="gain")[:MOST_ROWS]
    if shown.empty:
        return None
    rows = [row for _, row in shown.sort_values(["scene", "ratio"], kind="stable").iterrows()]
    groups = [(scene, list(group)) for scene, group in groupby(rows, key=lambda row: row.scene)]
    lines = len(rows) + len(groups)
    figure, (axis,) = panels(8, 0.8 + LINE_INCHES * lines)
    axis.axvline(0, color=ZERO, linewidth=1, zorder=0)
    names: list[str] = []
    for scene, group in groups:
        names.append(scene)
        for row in group:
            gain, height = row.gain, len(names)
            heights = [height] * len(row.differences)
            axis.plot(row.differences, heights, "o", color=RUNS, alpha=0.5, ms=4)
            if gain.interval is not None:
                axis.plot(gain.interval, [height] * 2, color=MEAN, lw=1.3, scalex=False)
            axis.plot(gain.mean, height, "D", color=MEAN, ms=4)
            names.append(f"{row.curve}, {percent(row.ratio)}")
    every = [0.0, *(each for row in rows for each in row.differences)]
    room = ROOM * (max(every) - min(every)) or 0.01
    axis.set_xlim(min(every) - room, max(every) + room)
    axis.set_ylim(lines - 0.4, -0.6)
    heads = {scene for scene, _ in groups}
    for tick in axis.set_yticks(range(lines), names, fontsize=8, parse_math=False):
        if tick.label1.get_text() in heads:
            tick.label1.set_fontweight("bold")
    axis.set_xlabel(f"{summary.metric_title}, FixMatch minus its control")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    return figure
