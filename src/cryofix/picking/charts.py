"""The two charts of the page: how picks score, and how many there are in each micrograph."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryofix.picking.pick_summary import Row
from cryofix.sweeps.svg import element, figure, label

WIDTH, HEIGHT = 400.0, 210.0  # small enough that writing can be read on a phone
LEFT, RIGHT, TOP, BOTTOM = 48.0, 10.0, 10.0, 40.0
MOST_BARS = 100  # more micrographs than that are averaged over neighbours


def histogram_chart(histogram: NDArray[np.int64], threshold: float) -> str:
    """Draw the numbers of kept picks in equal bands of score, and the threshold."""
    bands = len(histogram)
    top = _ceiling(float(histogram.max(initial=0)))
    width = _across(1 / bands)
    parts = _scale(top)
    for index, count in enumerate(histogram.tolist()):
        low = (index + 0.5) / bands < threshold
        height = (HEIGHT - TOP - BOTTOM) * count / top
        title = f"score {index / bands:.2f} to {(index + 1) / bands:.2f}: {count:,}"
        parts.append(
            element(
                "rect",
                [element("title", title)],
                x=LEFT + index * width + 0.5,
                y=HEIGHT - BOTTOM - height,
                width=width - 1.0,
                height=height,
                class_="bar low" if low else "bar",
            )
        )
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(label(f"{tick:g}", LEFT + _across(tick), HEIGHT - BOTTOM + 16, kind="muted"))
    parts.append(label("score", LEFT + _across(0.5), HEIGHT - 6, kind="muted"))
    x = LEFT + _across(threshold)
    parts.append(
        element(
            "line",
            id="mark",
            class_="mark threshold",
            x1=x,
            x2=x,
            y1=TOP,
            y2=HEIGHT - BOTTOM,
            data_left=LEFT,
            data_width=_across(1.0),
        )
    )
    return figure(parts, WIDTH, HEIGHT, "histogram of the scores of all picks that are kept")


def picks_chart(rows: Sequence[Row]) -> str:
    """Draw the number of picks of each micrograph; of many, means over neighbours."""
    groups = np.array_split(np.arange(len(rows)), min(len(rows), MOST_BARS))
    means = [float(np.mean([rows[i].picks for i in group])) for group in groups]
    top = _ceiling(max(means, default=0.0))
    width = _across(1 / len(groups))
    parts = _scale(top)
    for index, (group, mean) in enumerate(zip(groups, means, strict=True)):
        height = (HEIGHT - TOP - BOTTOM) * mean / top
        first, last = rows[group[0]].name, rows[group[-1]].name
        named = first if len(group) == 1 else f"{first} to {last}, mean"
        parts.append(
            element(
                "rect",
                [element("title", f"{named}: {mean:,.4g}")],
                x=LEFT + index * width + width * 0.08,
                y=HEIGHT - BOTTOM - height,
                width=width * 0.84,
                height=height,
                class_="bar",
            )
        )
    parts.append(label("1", LEFT, HEIGHT - BOTTOM + 16, kind="muted"))
    if len(rows) > 1:
        end = LEFT + _across(1.0)
        parts.append(label(f"{len(rows)}", end, HEIGHT - BOTTOM + 16, "end", kind="muted"))
    parts.append(label("micrograph", LEFT + _across(0.5), HEIGHT - 6, kind="muted"))
    return figure(parts, WIDTH, HEIGHT, "number of picks of each micrograph")


def _across(share: float) -> float:
    return share * (WIDTH - LEFT - RIGHT)


def _ceiling(value: float) -> float:
    """Return a round number at or above ``value``, never 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    steps = (step * power for step in (1, 1.5, 2, 3, 4, 5, 7.5, 10))
    return float(next(step for step in steps if step >= value))


def _scale(top: float) -> list[str]:
    """Return grid lines and numbers of the y axis."""
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(label(f"{share * top:,.4g}", LEFT - 6, y + 4, "end", "muted"))
    return parts
