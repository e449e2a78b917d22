"""Figures of a report's page: heat maps, scores over the label ratio, and keep rates.

Import this module late: Matplotlib takes a quarter of a second.
"""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from cryofix.reporting.figures import (
    BACKGROUND,
    INK,
    MUTED,
    PARTICLE,
    chart,
    inline_svg,
    style,
    tip,
)
from cryofix.reporting.numbers import percent, signed
from cryofix.sweeps.heat_maps import LETTER, heat_map, quantities
from cryofix.sweeps.run_results import METRICS
from cryofix.sweeps.statistics import Spread, control_by_ratio, keep_rates_by_ratio

WIDTH = 340
PANEL = (WIDTH, 230), 44, 12, 10, 38
"""Size, and room at the left, right, top and bottom, in pixels."""
CURVE_METRICS = (
    "particle_f1",
    "particle_precision",
    "particle_recall",
    "particle_average_precision",
    "pixel_f1",
    "pixel_recall",
)
CURVES = ("#4a6fd0", "#1f98ad", "#3fa267", "#a4982a", "#dd8127", "#c94a3f", "#b0569a")
"""Colours that read on white and on near-black alike, so one page serves both themes."""


def curve_colours(rows: pd.DataFrame) -> dict[str, str]:
    """Return a colour for the name of each setting, evenly along one scale, in their order."""
    names = list(dict.fromkeys(rows.curve))
    scale = colors.LinearSegmentedColormap.from_list("", CURVES)
    last = max(len(names) - 1, 1)
    return {name: colors.to_hex(scale(number / last)) for number, name in enumerate(names)}


def ratio_curves(rows: pd.DataFrame, runs: pd.DataFrame, metric: str) -> Markup:
    """Draw a score over the label ratio (logarithmic), a line for each setting.

    Whiskers are one standard deviation over the runs; the supervised control is dashed.
    """
    rows = rows.dropna(subset=f"fixmatch_{metric}_mean")
    controls = control_by_ratio(runs, metric)
    with style():
        figure, axis = chart(*PANEL)
        means = [each.mean for each in controls.values()]
        (line,) = axis.plot(list(controls), means, "--", color=MUTED)
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
        described = f"{METRICS[metric]} over the labelled share, one line for each setting"
        return inline_svg(figure, described)


def start_panel(rates: pd.DataFrame) -> Markup:
    """Draw what a symmetric threshold keeps of the model FixMatch starts from.

    The wedge between the particle and the background line is the drift, written at 0.7, the
    threshold of the reference run.
    """
    with style():
        figure, axis = chart(*PANEL)
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
        described = "Shares of particle and background pixels kept, over the confidence threshold"
        return inline_svg(figure, described)


def mask_panel(rows: pd.DataFrame) -> Markup:
    """Draw a line for each mask: particle and background keep, and the drift at the right."""
    shown = [name if len(name) < 23 else f"{name[:21]}…" for name in rows.curve]
    left = min(18 + LETTER * max(map(len, shown)), 150)
    with style():
        figure, axis = chart((WIDTH, 22 * len(rows) + 58), left, 58, 20, 38)
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
    axis.text(1.02, y, words, transform=axis.get_yaxis_transform(), va="center", color=colour)


def figures_of_scene(
    rows: pd.DataFrame, runs: pd.DataFrame, every: pd.DataFrame, metric: str
) -> Mapping[str, Any]:
    """Return all figures of the rows and runs of a scene, with the titles of their cards.

    ``every`` are the rows of all scenes, which share one colour scale for each quantity.
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
            (METRICS[name], ratio_curves(rows, runs, name))
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
