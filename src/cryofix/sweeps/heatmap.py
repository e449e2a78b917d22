"""Heat maps: settings across, label ratios down, one panel for each quantity."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from cryofix.sweeps.statistics import Row
from cryofix.sweeps.summarise import METRIC_TITLES
from cryofix.sweeps.svg import (
    ALARM,
    DIVERGING,
    SEQUENTIAL,
    colour,
    element,
    figure,
    fraction,
    ink_on,
    label,
    percent,
    signed,
)
from cryofix.sweeps.varied import Namer, Setting

ROW_HEIGHT = 34.0
LEFT = 40.0  # the ratio labels
TOP = 40.0  # mask names and values
GAP = 5.0  # between masks
MIN_RANGE = 0.05  # a colour scale never spans less than this, so that noise looks like noise
FATAL_DRIFT = 2.0  # colours saturate here, so that the range that matters keeps its shades


@dataclass(frozen=True)
class Quantity:
    """What one panel shows."""

    title: str
    value: Callable[[Row], float | None]
    written: Callable[[Row], str]
    scale: str  # 'sequential', 'diverging' (centred on zero) or 'alarm' (0..1)
    saturation: float = math.inf  # a diverging scale reaches no further


def quantities(metric: str) -> tuple[Quantity, ...]:
    """Return the panels of the report; the gain is that of ``metric``."""
    return (
        _score("particle_f1"),
        _score("pixel_f1"),
        _score("particle_recall"),
        _score("pixel_recall"),
        Quantity(
            f"Gain over control, {METRIC_TITLES[metric].lower().replace(' f1', ' F1')}",
            lambda row: row.gains[metric].mean if metric in row.gains else None,
            lambda row: signed(row.gains[metric].mean),
            "diverging",
        ),
        Quantity(
            "Minimum drift (log-odds)",
            lambda row: row.drift.mean if row.drift else None,
            lambda row: signed(row.drift.mean) if row.drift else "",
            "diverging",
            FATAL_DRIFT,
        ),
        Quantity(
            "Collapse alarms (runs)",
            lambda row: row.alarmed / row.watched if row.watched else None,
            lambda row: f"{row.alarmed}/{row.watched}",
            "alarm",
        ),
    )


def _score(name: str) -> Quantity:
    return Quantity(
        METRIC_TITLES[name],
        lambda row: row.fixmatch[name].mean if name in row.fixmatch else None,
        lambda row: fraction(row.fixmatch[name].mean),
        "sequential",
    )


@dataclass(frozen=True)
class Grid:
    """The rows of one scene as a grid of settings x ratios."""

    settings: tuple[Setting, ...]
    ratios: tuple[float, ...]
    cells: Mapping[tuple[Setting, float], Row]


def make_grid(rows: Sequence[Row]) -> Grid:
    """Arrange rows; their order gives the order of the settings."""
    return Grid(
        tuple(dict.fromkeys(row.setting for row in rows)),
        tuple(sorted({row.ratio for row in rows})),
        {(row.setting, row.ratio): row for row in rows},
    )


def heat_map(rows: Sequence[Row], namer: Namer, quantity: Quantity) -> str:
    """Draw one panel as SVG; cells without a run are left open."""
    grid = make_grid(rows)
    colours = _colours([quantity.value(row) for row in rows], quantity)
    parts: list[str] = []
    x = LEFT
    for mask, group in groupby(grid.settings, key=lambda setting: setting.mask):
        settings = list(group)
        heads = [namer.values(setting) for setting in settings]
        cell = max(44.0, *(5.7 * len(head) + 6 for head in heads))
        cell = max(cell, (6.4 * len(mask) + 6) / len(settings))
        key = " / ".join(name for name, _ in namer.mask_values(settings[0]))
        middle = x + cell * len(settings) / 2
        named = f"{mask}: {key}" if key else mask
        named = named if 6.4 * len(named) < cell * len(settings) else mask
        parts.append(label(named, middle, 14, kind="head"))
        for setting, head in zip(settings, heads, strict=True):
            parts.append(label(head, x + cell / 2, 31, kind="muted"))
            for number, ratio in enumerate(grid.ratios):
                row = grid.cells.get((setting, ratio))
                y = TOP + number * ROW_HEIGHT
                parts.append(_cell(row, quantity, colours, x, y, cell))
            x += cell
        x += GAP
    for number, ratio in enumerate(grid.ratios):
        parts.append(label(percent(ratio), LEFT - 6, TOP + (number + 0.62) * ROW_HEIGHT, "end"))
    height = TOP + ROW_HEIGHT * len(grid.ratios) + 2
    described = f"Heat map of {quantity.title}: settings across, labelled share down"
    return figure(parts, x - GAP + 2, height, described)


def _cell(
    row: Row | None,
    quantity: Quantity,
    colours: Callable[[float], str],
    x: float,
    y: float,
    width: float,
) -> str:
    value = None if row is None else quantity.value(row)
    box = {"x": x + 1, "y": y + 1, "width": width - 2, "height": ROW_HEIGHT - 2, "rx": 4}
    middle = {"x": x + width / 2, "y": y + 0.62 * ROW_HEIGHT, "text_anchor": "middle"}
    if row is None or value is None:
        parts = [
            element("rect", class_="open", **box),
            element("text", "–", class_="muted", **middle),  # noqa: RUF001 - a dash for 'nothing'
        ]
        return element("g", [element("title", "no finished run"), *parts])
    fill = colours(value)
    return element(
        "g",
        [
            element("title", f"{quantity.title}: {value:.4f}, {row.n} runs"),
            element("rect", fill=fill, **box),
            element("text", quantity.written(row), style=f"fill:{ink_on(fill)}", **middle),
        ],
    )


def _colours(values: Sequence[float | None], quantity: Quantity) -> Callable[[float], str]:
    """Return the colour of a value, on a scale that spans the panel's values."""
    known = [value for value in values if value is not None]
    if quantity.scale == "alarm":
        return lambda value: colour(ALARM, value)
    if quantity.scale == "diverging":
        reach = max([abs(value) for value in known], default=0.0)
        reach = min(max(reach, MIN_RANGE), quantity.saturation)
        return lambda value: colour(DIVERGING, 0.5 + value / (2 * reach))
    low, high = min(known, default=0.0), max(known, default=1.0)
    if high - low < MIN_RANGE:
        middle = (low + high) / 2
        low, high = middle - MIN_RANGE / 2, middle + MIN_RANGE / 2
    return lambda value: colour(SEQUENTIAL, (value - low) / (high - low))
