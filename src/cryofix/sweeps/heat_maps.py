"""Heat maps of a report: settings across, label ratios down, one for each quantity.

Import this module late: Matplotlib takes a quarter of a second.
"""

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from cryofix.reporting.figures import INK, LINE, MUTED, inline_svg, sized, style, tip
from cryofix.reporting.numbers import percent, plain, signed
from cryofix.sweeps.run_results import METRICS

LEFT, TOP, ROW = 44, 40, 34
"""Of a heat map: room for ratios and for names of settings, and the height of a cell."""
CELL, GAP = 48, 6
"""Of a heat map: the least width of a cell, and the room between masks."""
LETTER = 6.2
MIN_RANGE = 0.05
"""A colour scale never spans less than this, so that noise looks like noise."""
FATAL_DRIFT = 2.0
"""The colours of drift reach no further, so that the range that matters keeps its shades."""
SEQUENTIAL = ("#2b2f6b", "#2a6f97", "#2f9e8f", "#8cc26a", "#f4e36b")
DIVERGING = ("#a63a1f", "#e8a987", "#f3f1ec", "#93c0dc", "#1f5f99")
ALARM = ("#dfe6e1", "#f0b27a", "#b8321f")


@dataclass(frozen=True)
class Quantity:
    """What one heat map shows: a column of the rows."""

    title: str
    column: str
    colours: tuple[str, ...] = SEQUENTIAL
    reach: float = math.inf
    """A scale about zero reaches no further."""

    def written(self, row: Any) -> str:
        """Return what stands in a cell."""
        value = row[self.column]
        if self.colours is ALARM and value is not None:
            return str(row.alarms)
        return signed(value) if self.colours is DIVERGING else plain(value, 2)

    def scale(self, rows: pd.DataFrame) -> colors.Normalize:
        """Return the scale that all heat maps of this quantity share."""
        known = rows[self.column].dropna().astype(float)
        if self.colours is ALARM:
            return colors.Normalize(0, 1)
        if self.colours is DIVERGING:
            reach = min(max([*known.abs(), MIN_RANGE]), self.reach)
            return colors.Normalize(-reach, reach)
        middle, half = (known.max() + known.min()) / 2, (known.max() - known.min()) / 2
        half = max(half, MIN_RANGE / 2)
        return colors.Normalize(middle - half, middle + half)


def quantities(metric: str) -> tuple[Quantity, ...]:
    """Return what a report has heat maps of; the gain is that of ``metric``."""
    scores = dict.fromkeys((metric, "particle_f1", "pixel_f1", "particle_recall", "pixel_recall"))
    gain = METRICS[metric].lower().replace(" f1", " F1")
    return (
        *(Quantity(METRICS[name], f"fixmatch_{name}_mean") for name in scores),
        Quantity(f"Gain over control, {gain}", f"gain_{metric}", DIVERGING),
        Quantity("Minimum drift (log-odds)", "min_drift_mean", DIVERGING, FATAL_DRIFT),
        Quantity("Collapse alarms (runs)", "alarm_share", ALARM),
    )


def heat_map(rows: pd.DataFrame, quantity: Quantity, scale: colors.Normalize) -> Markup:
    """Draw settings across and label ratios down; cells without a run are left open."""
    with style():
        figure = sized(*size(rows))
        draw(figure.add_axes((0, 0, 1, 1)), rows, quantity, scale)
        described = f"Heat map of {quantity.title}: settings across, labelled share down"
        return inline_svg(figure, described)


def size(rows: pd.DataFrame) -> tuple[float, float]:
    """Return width and height of a heat map in pixels."""
    _, left, width = _columns(rows)[-1]
    return left + width + 2, TOP + ROW * rows.ratio.nunique() + 2


def _columns(rows: pd.DataFrame) -> list[tuple[Any, float, float]]:
    """Return the settings with the left edge and the width of their columns."""
    settings = rows.drop_duplicates("setting")[["setting", "mask", "keys", "values"]]
    columns, x = list[tuple[Any, float, float]](), float(LEFT)
    for mask, group in groupby(settings.itertuples(), key=lambda row: str(row.mask)):
        members: list[Any] = list(group)
        width = max(CELL, *(LETTER * len(each.values) + 8 for each in members))
        width = max(width, (6.8 * len(mask) + 8) / len(members))
        for each in members:
            columns.append((each, x, width))
            x += width
        x += GAP
    return columns


def draw(axis: Axes, rows: pd.DataFrame, quantity: Quantity, scale: colors.Normalize) -> None:
    """Draw a heat map on axes of its `size`, inside of `style`."""
    columns, (width, height) = _columns(rows), size(rows)
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.axis("off")
    middle: dict[str, Any] = {"horizontalalignment": "center"}
    for mask, group in groupby(columns, key=lambda column: str(column[0].mask)):
        members = list(group)
        (first, left, _), (_, last, across) = members[0], members[-1]
        named = f"{mask}: {first.keys}" if first.keys else mask
        named = named if 6.8 * len(named) < last + across - left else mask
        axis.text((left + last + across) / 2, 14, named, weight="bold", color=INK, **middle)
        for each, left, across in members:
            axis.text(left + across / 2, 31, each.values, color=MUTED, **middle)
    cells = {(row.setting, row.ratio): row for _, row in rows.iterrows()}
    colours = colors.LinearSegmentedColormap.from_list("", quantity.colours)
    for number, ratio in enumerate(sorted(rows.ratio.unique())):
        y = TOP + ROW * number
        axis.text(LEFT - 6, y + 0.62 * ROW, percent(ratio), horizontalalignment="right")
        for each, left, across in columns:
            row = cells.get((each.setting, ratio))
            box = axis.add_patch(Rectangle((left + 1, y + 1), across - 2, ROW - 2))
            if row is None or row[quantity.column] is None:
                box.set(facecolor="none", edgecolor=LINE, linestyle="--")
                tip(box, "no finished run")
                words, ink = "\N{EN DASH}", MUTED
            else:
                value = float(row[quantity.column])
                fill = colours(scale(value))
                box.set(facecolor=fill, edgecolor="none")
                tip(box, f"{quantity.title}: {value:.4f}, {row.runs} runs")
                words, ink = quantity.written(row), ink_on(fill)
            axis.text(left + across / 2, y + 0.62 * ROW, words, color=ink, **middle)


def ink_on(background: Any) -> str:
    """Return black or white, whichever has the better contrast on a colour."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in colors.to_rgb(background)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#111111" if luminance > 0.179 else "#ffffff"  # where WCAG's contrasts are equal
