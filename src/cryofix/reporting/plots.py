"""What the pictures of runs, diagnoses and comparisons have in common: colours, axes, curves.

Import this module late: Matplotlib takes a quarter of a second.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from cryofix.files import atomic_write
from cryofix.reporting.numbers import signed

PARTICLES, BACKGROUND = "#e4572e", "#4c78a8"
SUPERVISED, FIXMATCH = BACKGROUND, PARTICLES
WRONG, NEUTRAL, IGNORED = "#f2c200", "#555555", "#bbbbbb"
FOUND, EXTRA, MISSED, NOT_SCORED = "#56b4e9", "#d55e00", "#f0e442", "#eeeeee"
"""Of what is drawn on a micrograph: all eyes tell them apart, and from grey (Okabe and Ito)."""
RINGS: dict[str, tuple[str, Literal["-", "--", ":"], float]] = {
    "found": (FOUND, "-", 1.6),
    "extra": (EXTRA, "-", 1.6),
    "missed": (MISSED, "--", 2.4),
    "not scored": (NOT_SCORED, ":", 1.2),
}
"""Colour, line and width of the circle around each."""
LEAST_RECALL = 0.01
Place = Literal["best", "upper left", "lower left"]


def save(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a figure atomically."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=dpi, bbox_inches="tight", facecolor="white")


def panels(
    width: float, height: float, rows: int = 1, columns: int = 1, **more: Any
) -> tuple[Figure, NDArray[Any]]:
    """Return a figure of so many inches, and its axes as an array (rows x columns, flat)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **more).ravel()


def finish(axis: Axes, legend: Place | None = None, **settings: Any) -> None:
    """Set titles and limits, and add the grid and, at a place, the legend."""
    axis.set(**settings)
    axis.grid(alpha=0.3)
    if legend is not None:
        axis.legend(loc=legend, framealpha=0.95)


def without_ticks(axes: Iterable[Axes]) -> None:
    """Take the ticks off axes that show images."""
    for axis in axes:
        axis.set(xticks=[], yticks=[])


def draw_circles(
    axis: Axes,
    centres: NDArray[np.float64],
    diameter: float,
    colour: str,
    style: Any = "-",
    width: float = 1.6,
) -> None:
    """Draw a circle about each centre (x, y); ``diameter`` is in units of the axes."""
    size = np.full(len(centres), diameter)
    axis.add_collection(
        EllipseCollection(
            size,
            size,
            np.zeros(len(centres)),
            units="xy",
            offsets=centres,
            offset_transform=axis.transData,
            facecolors="none",
            edgecolors=colour,
            linestyles=style,
            linewidths=width,
            path_effects=[withStroke(linewidth=width + 1.4, foreground="#000000a0")],
        )
    )


def draw_rings(
    axis: Axes, rings: Mapping[str, NDArray[np.float64]], diameter: float, about: str = ""
) -> None:
    """Draw found, missed, extra and not scored particles as circles, with a legend below.

    ``rings`` has the centres (x, y) of each name of `RINGS` that is drawn, ``diameter`` is in units
    of the axes, and ``about`` is the title.
    """
    handles = []
    for name, centres in rings.items():
        colour, style, width = RINGS[name]
        draw_circles(axis, centres, diameter, colour, style, width)
        label = f"{len(centres)} {name}"
        handles.append(Line2D([], [], color=colour, linestyle=style, linewidth=3, label=label))
    axis.set_title(about)
    axis.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.005),
        ncols=len(handles),
        facecolor="#777777",
        labelcolor="white",
        framealpha=1,
    )


def draw_precision_recall(axis: Axes, curve: Any, name: str, colour: str, **line: Any) -> None:
    """Draw precision over recall of a curve of :mod:`cryofix.metrics`, with its average.

    It begins at a recall of `LEAST_RECALL`: the precision of a few predictions leaps up and down.
    """
    precision, recall = curve.precision_recall()
    found = recall >= LEAST_RECALL
    label = f"{name}, AP {curve.average_precision():.3f}"
    axis.plot(recall[found], precision[found], **{"color": colour, "label": label, **line})


def finish_precision_recall(axis: Axes, title: str) -> None:
    """Name the axes of precision over recall."""
    limits = {"xlim": (0, 1), "ylim": (0, 1.02)}
    finish(axis, "lower left", xlabel="recall", ylabel="precision", title=title, **limits)


def draw_keep_rates(
    axis: Axes,
    curve: Sequence[Mapping[str, Any]],
    numbered: Sequence[Mapping[str, Any]],
    every: int = 1,
) -> None:
    """Draw what a symmetric threshold keeps of each predicted class, and the drift between them.

    ``curve`` are the rows of a table of keep rates, ``every`` so many of them have a marker, and
    the drift is written at those of ``numbered`` where there is room for it between the curves.
    """
    thresholds = [row["threshold"] for row in curve]
    keys = ("particle_keep", "background_keep")
    particle, background = (_percents(curve, key) for key in keys)
    axis.fill_between(thresholds, particle, background, color=NEUTRAL, alpha=0.12, linewidth=0)
    for values, colour, label in (
        (particle, PARTICLES, "predicted particles"),
        (background, BACKGROUND, "predicted background"),
    ):
        axis.plot(thresholds, values, "o-", color=colour, label=label, ms=5, markevery=every)
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.8, "lw": 0}
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5, "color": NEUTRAL}
    for row in numbered:
        if row["drift"] is None:
            continue
        low, high = (100 * (row[key] or 0.0) for key in keys)
        if abs(high - low) >= 7:
            drift = signed(row["drift"], 2)
            axis.text(row["threshold"], (low + high) / 2, drift, bbox=box, **style)
    axis.set(xlabel="confidence threshold, max(p, 1-p) >= t", ylabel="kept, %", ylim=(-2, 104))


def _percents(rows: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    values = [row[key] for row in rows]
    return 100 * np.array([np.nan if value is None else value for value in values], dtype=float)
