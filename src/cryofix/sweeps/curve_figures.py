"""Line figures: the axes they share, and scores over the label ratio."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryofix.sweeps.statistics import Row, control_by_ratio
from cryofix.sweeps.summarise import METRIC_TITLES
from cryofix.sweeps.svg import CURVES, colour, element, figure, label, percent
from cryofix.sweeps.varied import Namer, Setting

WIDTH, HEIGHT = 340.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 12.0, 10.0, 34.0
CURVE_METRICS = (
    "particle_f1",
    "particle_precision",
    "particle_recall",
    "particle_average_precision",
    "pixel_f1",
    "pixel_recall",
)


@dataclass(frozen=True)
class Axes:
    """From data to pixels of a panel."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Return the horizontal place of a value; a range without extent is centred."""
        low, high = self.x_range
        share = (value - low) / (high - low) if high > low else 0.5
        return LEFT + 8 + share * (WIDTH - LEFT - RIGHT - 16)

    def y(self, value: float) -> float:
        """Return the vertical place of a value (upwards), kept within the panel."""
        low, high = self.y_range
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def path(self, points: Sequence[tuple[float, float]], **attributes: object) -> str:
        """Return a line through the points."""
        steps = " L".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        return element("path", d=f"M{steps}", fill="none", **attributes)

    def frame(self, x_ticks: Sequence[tuple[float, str]], x_title: str) -> list[str]:
        """Return grid lines, tick labels and the title of the horizontal axis."""
        low, high = self.y_range
        step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.25) if (high - low) / s < 6.5)
        parts = []
        for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
            y = self.y(number * step)
            parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(label(f"{number * step:.2f}", LEFT - 6, y + 4, "end", "muted"))
        for value, written in x_ticks:
            parts.append(label(written, self.x(value), HEIGHT - BOTTOM + 15, kind="muted"))
        parts.append(label(x_title, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, kind="muted"))
        return parts


def curve_colours(settings: Sequence[Setting]) -> Mapping[Setting, str]:
    """Return a colour for each setting, evenly along one scale, in the order given."""
    last = max(len(settings) - 1, 1)
    return {setting: colour(CURVES, i / last) for i, setting in enumerate(settings)}


def ratio_curves(rows: Sequence[Row], namer: Namer, metric: str) -> str:
    """Draw a score over the label ratio (logarithmic), a line for each setting.

    Whiskers are one standard deviation over the runs; the supervised control is dashed.
    """
    shown = [row for row in rows if metric in row.fixmatch]
    controls = control_by_ratio(rows, metric)
    ratios = sorted({row.ratio for row in shown} | controls.keys())
    ends = [
        end
        for summary in (*(row.fixmatch[metric] for row in shown), *controls.values())
        for end in (summary.mean - (summary.sd or 0), summary.mean + (summary.sd or 0))
    ]
    axes = Axes((math.log(ratios[0]), math.log(ratios[-1])), _rounded(min(ends), max(ends)))
    parts = axes.frame([(math.log(r), percent(r)) for r in ratios], "labelled share")
    if controls:
        points = [(math.log(ratio), summary.mean) for ratio, summary in controls.items()]
        control = axes.path(points, class_="control")
        parts.append(element("g", [element("title", "supervised control"), control], data_curve=-1))
    settings = list(dict.fromkeys(row.setting for row in shown))
    colours = curve_colours(settings)
    for number, setting in enumerate(settings):
        mine = [row for row in shown if row.setting == setting]
        points = [(math.log(row.ratio), row.fixmatch[metric].mean) for row in mine]
        drawn = [axes.path(points, stroke=colours[setting], stroke_width=2)]
        shift = 3.0 * (number - (len(settings) - 1) / 2) if len(settings) < 9 else 0.0
        for row in mine:
            drawn.append(_point(row, metric, axes, colours[setting], shift, namer))
        parts.append(element("g", drawn, data_curve=number))
    described = f"{METRIC_TITLES[metric]} over the labelled share, one line for each setting"
    return figure(parts, WIDTH, HEIGHT, described)


def _point(row: Row, metric: str, axes: Axes, stroke: str, shift: float, namer: Namer) -> str:
    summary = row.fixmatch[metric]
    x, y = axes.x(math.log(row.ratio)), axes.y(summary.mean)
    sd = summary.sd or 0.0
    spread = f" ± {sd:.3f}" if summary.sd is not None else ""
    name = f"{namer.curve(row.setting)}, {percent(row.ratio)}"
    return element(
        "g",
        [
            element("title", f"{name}: {summary.mean:.3f}{spread} ({summary.n} runs)"),
            element(
                "line",
                x1=x + shift,
                x2=x + shift,
                y1=axes.y(summary.mean - sd),
                y2=axes.y(summary.mean + sd),
                stroke=stroke,
            ),
            element("circle", cx=x, cy=y, r=3.5, fill=stroke),
        ],
    )


def _rounded(low: float, high: float) -> tuple[float, float]:
    """Return a range that holds [low, high], with ends on twentieths, within [0, 1]."""
    bottom = max(math.floor(low * 20) / 20, 0.0)
    top = min(math.ceil(high * 20) / 20, 1.0)
    return (bottom, top) if top - bottom >= 0.1 else (max(bottom - 0.05, 0.0), min(top + 0.05, 1.0))
