"""Figures of a report's page: heat maps, scores over the label ratio, and keep rates.

Import this module late: Matplotlib takes a quarter of a second.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from cryofix.reporting.figures import (
    BACKGROUND,
    INK,
    LINE,
    MUTED,
    PARTICLE,
    inline_svg,
    sized,
    style,
    tip,
)
from cryofix.reporting.numbers import percent, plain, signed
from cryofix.sweeps.run_results import METRICS
from cryofix.sweeps.statistics import Spread, control_by_ratio, keep_rates_by_ratio

WIDTH, HEIGHT = 340, 230
LEFT, TOP, ROW = 44, 40, 34
"""Of a heat map: room for ratios and for names of settings, and the height of a cell."""
CELL, GAP = 48, 6
"""Of a heat map: the least width of a cell, and the room between masks."""
LETTER = 6.2
MIN_RANGE = 0.05
"""A colour scale never spans less than this, so that noise looks like noise."""
FATAL_DRIFT = 2.0
"""The colours of drift reach no further, so that the range that matters keeps its shades."""
CURVE_METRICS = (
    "particle_f1",
    "particle_precision",
    "particle_recall",
    "particle_average_precision",
    "pixel_f1",
    "pixel_recall",
)
SEQUENTIAL = ("#2b2f6b", "#2a6f97", "#2f9e8f", "#8cc26a", "#f4e36b")
DIVERGING = ("#a63a1f", "#e8a987", "#f3f1ec", "#93c0dc", "#1f5f99")
ALARM = ("#dfe6e1", "#f0b27a", "#b8321f")
CURVES = ("#4a6fd0", "#1f98ad", "#3fa267", "#a4982a", "#dd8127", "#c94a3f", "#b0569a")
"""Colours that read on white and on near-black alike, so one page serves both themes."""


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
        if row[self.column] is None:
            return ""
        if self.colours is ALARM:
            return str(row.alarms)
        value = row[self.column]
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
    scores = ("particle_f1", "pixel_f1", "particle_recall", "pixel_recall")
    gain = METRICS[metric][0].lower().replace(" f1", " F1")
    return (
        *(Quantity(METRICS[name][0], f"fixmatch_{name}_mean") for name in scores),
        Quantity(f"Gain over control, {gain}", f"gain_{metric}", DIVERGING),
        Quantity("Minimum drift (log-odds)", "min_drift_mean", DIVERGING, FATAL_DRIFT),
        Quantity("Collapse alarms (runs)", "alarm_share", ALARM),
    )


def heat_map(rows: pd.DataFrame, quantity: Quantity, scale: colors.Normalize) -> Markup:
    """Draw settings across and label ratios down; cells without a run are left open."""
    settings = rows.drop_duplicates("setting")
    ratios = sorted(rows.ratio.unique())
    cells = {(row.setting, row.ratio): row for _, row in rows.iterrows()}
    colours = colors.LinearSegmentedColormap.from_list("", quantity.colours)
    heads: list[tuple[float, float, str, dict[str, Any]]] = []
    columns: list[tuple[Any, float, float]] = []
    x = float(LEFT)
    for mask, group in groupby(settings.itertuples(), key=lambda row: str(row.mask)):
        members: list[Any] = list(group)
        width = max(CELL, *(LETTER * len(each.values) + 8 for each in members))
        width = max(width, (6.8 * len(mask) + 8) / len(members))
        named = f"{mask}: {members[0].keys}" if members[0].keys else mask
        named = named if 6.8 * len(named) < width * len(members) else mask
        heads.append((x + width * len(members) / 2, 14, named, {"weight": "bold", "color": INK}))
        for each in members:
            heads.append((x + width / 2, 31, each.values, {"color": MUTED}))
            columns.append((each.setting, x, width))
            x += width
        x += GAP
    width, height = x - GAP + 2, TOP + ROW * len(ratios) + 2
    with style():
        figure = sized(width, height)
        axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axis.axis("off")
        for place, y, words, look in heads:
            axis.text(place, y, words, horizontalalignment="center", **look)
        for number, ratio in enumerate(ratios):
            y = TOP + ROW * number
            axis.text(LEFT - 6, y + 0.62 * ROW, percent(ratio), horizontalalignment="right")
            for setting, left, across in columns:
                box = Rectangle((left + 1, y + 1), across - 2, ROW - 2)
                middle = left + across / 2, y + 0.62 * ROW
                _cell(axis, box, middle, cells.get((setting, ratio)), quantity, scale, colours)
        described = f"Heat map of {quantity.title}: settings across, labelled share down"
        return inline_svg(figure, described)


def _cell(
    axis: Axes,
    box: Rectangle,
    middle: tuple[float, float],
    row: Any,
    quantity: Quantity,
    scale: colors.Normalize,
    colours: colors.Colormap,
) -> None:
    axis.add_patch(box)
    if row is None or row[quantity.column] is None:
        box.set(facecolor="none", edgecolor=LINE, linestyle="--")
        tip(box, "no finished run")
        dash, ink = "\N{EN DASH}", MUTED
    else:
        value = float(row[quantity.column])
        fill = colours(scale(value))
        box.set(facecolor=fill, edgecolor="none")
        tip(box, f"{quantity.title}: {value:.4f}, {row.runs} runs")
        dash, ink = quantity.written(row), ink_on(fill)
    axis.text(*middle, dash, color=ink, horizontalalignment="center")


def ink_on(background: Any) -> str:
    """Return black or white, whichever has the better contrast on a colour."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in colors.to_rgb(background)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#111111" if luminance > 0.179 else "#ffffff"  # where WCAG's contrasts are equal


def curve_colours(rows: pd.DataFrame) -> dict[str, str]:
    """Return a colour for the name of each setting, evenly along one scale, in their order."""
    names = list(dict.fromkeys(rows.curve))
    scale = colors.LinearSegmentedColormap.from_list("", CURVES)
    last = max(len(names) - 1, 1)
    return {name: colors.to_hex(scale(number / last)) for number, name in enumerate(names)}


def _panel(
    height: float = HEIGHT, left: float = 44, right: float = 12, top: float = 10
) -> tuple[Any, Axes]:
    figure = sized(WIDTH, height)
    box = (left / WIDTH, 38 / height, (WIDTH - left - right) / WIDTH, (height - 38 - top) / height)
    return figure, figure.add_axes(box)


def ratio_curves(rows: pd.DataFrame, runs: pd.DataFrame, metric: str) -> Markup:
    """Draw a score over the label ratio (logarithmic), a line for each setting.

    Whiskers are one standard deviation over the runs; the supervised control is dashed.
    """
    rows = rows.dropna(subset=f"fixmatch_{metric}_mean")
    controls = control_by_ratio(runs, metric)
    with style():
        figure, axis = _panel()
        (line,) = axis.plot(
            list(controls), [each.mean for each in controls.values()], "--", color=MUTED
        )
        tip(line, "supervised control", curve=-1)
        every = [*controls.values(), *rows[f"fixmatch_{metric}_spread"]]
        names = curve_colours(rows)
        for number, (name, colour) in enumerate(names.items()):
            mine = rows[rows.curve == name]
            (line,) = axis.plot(mine.ratio, mine[f"fixmatch_{metric}_mean"], color=colour)
            tip(line, name, curve=number)
            aside = 3 * (number - (len(names) - 1) / 2) / 72 if len(names) < 9 else 0
            beside = axis.transData + ScaledTranslation(aside, 0, figure.dpi_scale_trans)
            for _, row in mine.iterrows():
                found: Spread = row[f"fixmatch_{metric}_spread"]
                words = f"{name}, {percent(row.ratio)}: {found} ({row.runs} runs)"
                ends = [found.mean - (found.sd or 0), found.mean + (found.sd or 0)]
                (bar,) = axis.plot([row.ratio] * 2, ends, color=colour, lw=1, transform=beside)
                (dot,) = axis.plot(row.ratio, found.mean, "o", color=colour, markersize=6)
                tip(bar, words, curve=number)
                tip(dot, words, curve=number)
        low = min(each.mean - (each.sd or 0) for each in every)
        high = max(each.mean + (each.sd or 0) for each in every)
        bottom, top = max(math.floor(20 * low) / 20, 0), min(math.ceil(20 * high) / 20, 1)
        if top - bottom < 0.1:
            bottom, top = max(bottom - 0.05, 0), min(top + 0.05, 1)
        axis.set(ylim=(bottom, top), xscale="log", xlabel="labelled share")
        axis.yaxis.set_major_formatter("{x:.2f}")
        ratios = sorted({*rows.ratio, *controls})
        axis.set_xticks(ratios, [percent(ratio) for ratio in ratios])
        axis.minorticks_off()
        described = f"{METRICS[metric][0]} over the labelled share, one line for each setting"
        return inline_svg(figure, described)


def start_panel(rates: pd.DataFrame) -> Markup:
    """Draw what a symmetric threshold keeps of the model FixMatch starts from.

    The wedge between the particle and the background line is the drift, written at 0.7, the
    threshold of the reference run.
    """
    with style():
        figure, axis = _panel()
        for kind, colour in (("background", BACKGROUND), ("particle", PARTICLE)):
            (line,) = axis.plot(rates.index, rates[kind], color=colour)
            tip(line, f"{kind} pixels kept")
        for threshold, particle, background in rates.itertuples():
            if abs(threshold - 0.7) < 1e-6 and particle > 0 < background:
                axis.plot([threshold] * 2, [particle, background], ":", color=MUTED, linewidth=1)
                drift = f" drift {signed(math.log(particle / background))}"
                axis.text(threshold, (particle + background) / 2, drift)
        ticks = list(rates.index[:: math.ceil(len(rates) / 7)])
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set(ylim=(0, 1.02), xlabel="confidence threshold")
        axis.yaxis.set_major_formatter("{x:.2f}")
        return inline_svg(
            figure, "Shares of particle and background pixels kept, over the confidence threshold"
        )


def mask_panel(rows: pd.DataFrame) -> Markup:
    """Draw a line for each mask: particle and background keep, and the drift at the right."""
    shown = [name if len(name) < 23 else f"{name[:21]}…" for name in rows.curve]
    with style():
        figure, axis = _panel(
            22 * len(rows) + 58, min(18 + LETTER * max(map(len, shown)), 150), 58, 20
        )
        for number, (_, row) in enumerate(rows.iterrows()):
            particle, background = float(row.particle_keep), float(row.background_keep)
            words = (
                f"{row.curve}, {percent(row.ratio)}: particle {particle:.3f}, "
                f"background {background:.3f}"
            )
            (bond,) = axis.plot([particle, background], [number] * 2, color=MUTED, alpha=0.5)
            tip(bond, words)
            for keep, colour in ((background, BACKGROUND), (particle, PARTICLE)):
                (dot,) = axis.plot(keep, number, "o", color=colour, markersize=8)
                tip(dot, words)
            drift = signed(math.log(particle / background)) if particle > 0 < background else ""
            _beside(axis, number, drift, INK)
        _beside(axis, -0.9, "drift", MUTED)
        most = max([1.0, *rows.particle_keep, *rows.background_keep])
        axis.set(xlim=(-0.02, most + 0.02), ylim=(len(rows) - 0.5, -0.5))
        axis.set_yticks(range(len(rows)), shown, color=INK)
        axis.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axis.grid(axis="x")
        axis.grid(visible=False, axis="y")
        return inline_svg(figure, "What each mask kept of particle and background pixels")


def _beside(axis: Axes, y: float, words: str, colour: str) -> None:
    axis.text(
        *(1.02, y, words),
        transform=axis.get_yaxis_transform(),
        verticalalignment="center",
        color=colour,
    )


def figures_of_scene(
    rows: pd.DataFrame, runs: pd.DataFrame, every: pd.DataFrame, metric: str
) -> Mapping[str, Any]:
    """Return all figures of the rows that may be compared, with the titles of their cards.

    Parameters
    ----------
    rows, runs
        Of the scene.
    every
        Rows of all scenes, which share one colour scale for each quantity.
    """
    scored = rows[rows.scored.astype(bool)]
    rates = keep_rates_by_ratio(runs)
    kept = rows.dropna(subset="particle_keep")
    several = rows.ratio.nunique() > 1
    by_ratio: Any = kept.groupby("ratio")
    return {
        "maps": [
            (quantity.title, heat_map(scored, quantity, quantity.scale(every)))
            for quantity in quantities(metric)
            if scored[quantity.column].notna().any()
        ],
        "curves": [
            (METRICS[name][0], ratio_curves(rows, runs, name))
            for name in CURVE_METRICS
            if several and scored[f"fixmatch_{name}_mean"].notna().any()
        ],
        "colours": curve_colours(scored),
        "starts": [
            (f"{percent(ratio)} labelled", start_panel(table))
            for ratio, table in rates.items()
            if len(table) > 1
        ],
        "masks": [(f"{percent(ratio)} labelled", mask_panel(found)) for ratio, found in by_ratio],
    }
