"""Matplotlib's figures as SVG inside a page.

Import this module late: Matplotlib takes a quarter of a second. A figure is drawn in the colours
below, and in the page they follow its light or dark theme. Writing stays text, in the page's font.
"""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, LINE, ACCENT = "#1d2326", "#5f6b70", "#dde2df", "#1f5f99"
PARTICLE, BACKGROUND, BAD = "#d9822b", "#3f7fc4", "#b3361f"
THEME = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    ACCENT: "var(--accent)",
    PARTICLE: "var(--particle)",
    BACKGROUND: "var(--background)",
    BAD: "var(--bad)",
}
"""What stands in a page for a colour of a figure: the variables of ``page.css``."""

SETTINGS: Any = {
    "figure.dpi": 72,  # so that a point is a pixel of the page
    "font.size": 11,
    "font.family": "DejaVu Sans",  # it comes with Matplotlib, so that sizes are the same everywhere
    "text.color": INK,
    "text.parse_math": False,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": LINE,
    "grid.linewidth": 1,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.left": False,
    "lines.linewidth": 2,
    "lines.solid_joinstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "cryofix",
}
_SVG, _LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile("|".join(THEME))
_USELESS = re.compile(r"(?<=\.\d\d)\d+|rotate\(-0 [^)]*\)|font-family: [^;]*;? ?")
_TIP = "tip "
_DATA = re.compile(r"\[(\w+)=([^\]]*)\] ")
ET.register_namespace("", _SVG)


@contextmanager
def style() -> Iterator[None]:
    """Draw with the sizes and colours of a page, on whatever is made inside."""
    with mpl.rc_context(SETTINGS):
        yield


def sized(width_px: float, height_px: float, **more: Any) -> Figure:
    """Return an empty figure of so many pixels of the page, without a background."""
    return Figure(figsize=(width_px / 72, height_px / 72), frameon=False, **more)


def chart(
    size: tuple[float, float], left: float, right: float, top: float, bottom: float
) -> tuple[Figure, Axes]:
    """Return a figure of (width, height) pixels, and axes with so many left around them."""
    (width, height), figure = size, sized(*size)
    across, up = (width - left - right) / width, (height - top - bottom) / height
    return figure, figure.add_axes((left / width, bottom / height, across, up))


def tip(artist: Artist, words: str, **data: object) -> None:
    """Give an artist a tooltip, and attributes ``data-NAME`` that a page's script can find."""
    marks = "".join(f"[{key}={value}] " for key, value in data.items())
    artist.set_gid(f"{_TIP}{marks}{words}")


def inline_svg(figure: Figure, title: str) -> Markup:
    """Return a figure as an ``<svg>`` for a page; the same figure gives the same text.

    ``title`` is what a screen reader says.
    """
    stream = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has other fonts
        figure.savefig(stream, format="svg", metadata=nothing)
    root = ET.fromstring(stream.getvalue())
    referenced = set(re.findall(r"#([\w-]+)", stream.getvalue()))
    for element in root.iter():
        _tidy(element, referenced)
    for useless in ("metadata", f"defs[{{{_SVG}}}style]"):
        for element in root.findall(f"{{{_SVG}}}{useless}"):
            root.remove(element)
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib.update({"width": width, "height": height, "role": "img", "aria-label": title})
    return Markup(ET.tostring(root, encoding="unicode"))


def _tidy(element: ET.Element, referenced: set[str]) -> None:
    """Follow the page's theme and font, turn tips into titles, and leave out what says nothing."""
    for key in ("d", "x", "y", "transform", "style"):
        if key in element.attrib:
            element.set(key, _USELESS.sub("", element.attrib[key]))
    if "style" in element.attrib:
        element.set("style", _COLOUR.sub(lambda found: THEME[found[0]], element.attrib["style"]))
    name = element.get("id", "")
    if name not in referenced:
        element.attrib.pop("id", None)
    if _LINK in element.attrib:
        element.set("href", element.attrib.pop(_LINK))
    if name.startswith(_TIP):
        words = name.removeprefix(_TIP)
        for key, value in _DATA.findall(words):
            element.set(f"data-{key}", value)
        title = ET.Element(f"{{{_SVG}}}title")
        title.text = _DATA.sub("", words)
        element.insert(0, title)
