"""Figures of keep rates: what a threshold would keep, and what each mask did keep."""

import math
from collections.abc import Mapping, Sequence

from cryofix.sweeps.curve_figures import HEIGHT, WIDTH, Axes
from cryofix.sweeps.run_results import KeepRate
from cryofix.sweeps.statistics import Row, keep_rates_by_ratio
from cryofix.sweeps.svg import element, figure, label, percent, signed
from cryofix.sweeps.varied import Namer

LINE_HEIGHT = 22.0
MOST_TICKS = 7


def start_panels(rows: Sequence[Row]) -> Mapping[float, str]:
    """Draw, for each ratio, what a symmetric threshold keeps of the model FixMatch starts from.

    The wedge between the particle and the background line is the drift, written at 0.7, the
    threshold of the reference run.
    """
    tables = keep_rates_by_ratio(rows)
    return {ratio: _start_panel(table) for ratio, table in tables.items() if len(table) > 1}


def _start_panel(rates: Sequence[KeepRate]) -> str:
    thresholds = [rate.threshold for rate in rates]
    axes = Axes((thresholds[0], thresholds[-1]), (0.0, 1.0))
    ticks = thresholds[:: math.ceil(len(thresholds) / MOST_TICKS)]
    parts = axes.frame([(t, f"{t:g}") for t in ticks], "confidence threshold")
    for kind, points in (
        ("background", [(rate.threshold, rate.background_keep) for rate in rates]),
        ("particle", [(rate.threshold, rate.particle_keep) for rate in rates]),
    ):
        line = axes.path(points, class_=f"keep {kind}")
        parts.append(element("g", [element("title", f"{kind} pixels kept"), line]))
    for rate in rates:
        if abs(rate.threshold - 0.7) < 1e-6 and rate.particle_keep > 0 < rate.background_keep:
            x = axes.x(rate.threshold)
            ends = {"y1": axes.y(rate.particle_keep), "y2": axes.y(rate.background_keep)}
            drift = math.log(rate.particle_keep / rate.background_keep)
            parts.append(element("line", x1=x, x2=x, class_="mark", **ends))
            parts.append(
                label(f"drift {signed(drift)}", x + 5, sum(ends.values()) / 2 + 4, "start")
            )
    described = "Shares of particle and background pixels kept, over the confidence threshold"
    return figure(parts, WIDTH, HEIGHT, described)


def mask_panels(rows: Sequence[Row], namer: Namer) -> Mapping[float, str]:
    """Draw, for each ratio, what each mask kept of both classes in the last audit of training."""
    by_ratio: dict[float, list[Row]] = {}
    for row in rows:
        if row.mask_keep is not None:
            by_ratio.setdefault(row.ratio, []).append(row)
    return {ratio: _mask_panel(found, namer) for ratio, found in sorted(by_ratio.items())}


def _mask_panel(rows: Sequence[Row], namer: Namer) -> str:
    """Draw a line for each mask: particle and background keep, and the drift at the right."""
    names = [namer.curve(row.setting) for row in rows]
    left = min(12 + 6.2 * max(len(name) for name in names), 150.0)
    right = 52.0
    most = max([1.0, *(max(_pair(row)) for row in rows)])
    top, bottom = 20.0, 24.0
    height = top + LINE_HEIGHT * len(rows) + bottom

    def x(keep: float) -> float:
        return left + keep / most * (WIDTH - left - right)

    parts = [label("drift", WIDTH - 4, 12, "end", "muted")]
    for tick in (0.0, 0.5, 1.0):
        place = x(tick)
        parts.append(
            element("line", x1=place, x2=place, y1=top - 4, y2=height - bottom, class_="grid")
        )
        parts.append(label(f"{100 * tick:.0f} %", place, height - bottom + 15, kind="muted"))
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = top + (number + 0.5) * LINE_HEIGHT
        particle, background = _pair(row)
        written = signed(math.log(particle / background)) if particle > 0 < background else ""
        told = f"{name}, {percent(row.ratio)}: particle {particle:.3f}, background {background:.3f}"
        shown = name if len(name) < 23 else f"{name[:21]}…"
        parts.append(
            element(
                "g",
                [
                    element("title", told),
                    label(shown, left - 8, y + 4, "end"),
                    element("line", x1=x(particle), x2=x(background), y1=y, y2=y, class_="bond"),
                    element("circle", cx=x(background), cy=y, r=4.5, class_="dot background"),
                    element("circle", cx=x(particle), cy=y, r=4.5, class_="dot particle"),
                    label(written, WIDTH - 4, y + 4, "end"),
                ],
            )
        )
    return figure(parts, WIDTH, height, "What each mask kept of particle and background pixels")


def _pair(row: Row) -> tuple[float, float]:
    """Return what was kept of particle and of background pixels."""
    return (row.mask_keep.particle, row.mask_keep.background) if row.mask_keep else (0.0, 0.0)
