"""The little SVG that the figures need: elements, colour scales and number formats.

Everything that is text passes through :func:`element` and is escaped there.
"""

from collections.abc import Sequence
from html import escape

SEQUENTIAL = ("#2b2f6b", "#2a6f97", "#2f9e8f", "#8cc26a", "#f4e36b")
DIVERGING = ("#a63a1f", "#e8a987", "#f3f1ec", "#93c0dc", "#1f5f99")
ALARM = ("#dfe6e1", "#f0b27a", "#b8321f")
CURVES = ("#4a6fd0", "#1f98ad", "#3fa267", "#a4982a", "#dd8127", "#c94a3f", "#b0569a")
"""Colours that read on white and on near-black alike, so one page serves both themes."""

MINUS = "\N{MINUS SIGN}"


def element(name: str, content: str | Sequence[str] = "", /, **attributes: object) -> str:
    """Return an XML element; a string is escaped text, a sequence is ready-made children.

    Underscores of attribute names become hyphens, a trailing one (``class_``) goes; floats are
    written with two decimals.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = escape(content) if isinstance(content, str) else "".join(content)
    return f"<{name}{written}>{inner}</{name}>"


def _attribute(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else escape(str(value), quote=True)


def label(content: str, x: float, y: float, anchor: str = "middle", kind: str = "") -> str:
    """Return a text element, none for no text; ``kind`` is a CSS class ('head', 'muted', ...)."""
    if not content:
        return ""
    return element("text", content, x=x, y=y, text_anchor=anchor, class_=kind or None)


def figure(children: Sequence[str], width: float, height: float, described: str) -> str:
    """Return an SVG figure of ``width`` x ``height`` CSS pixels with a description."""
    return element(
        "svg",
        children,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        aria_label=described,
    )


def colour(scale: Sequence[str], position: float) -> str:
    """Return the colour at ``position`` (0..1, clipped) of a scale of ``#rrggbb`` anchors."""
    place = min(max(position, 0.0), 1.0) * (len(scale) - 1)
    index = min(int(place), len(scale) - 2)
    low, high = _channels(scale[index]), _channels(scale[index + 1])
    mixed = [round(a + (b - a) * (place - index)) for a, b in zip(low, high, strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def ink_on(background: str) -> str:
    """Return black or white, whichever has the better contrast on a ``#rrggbb`` colour."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in _channels(background))
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#111111" if luminance > 0.179 else "#ffffff"  # where WCAG's contrasts are equal


def _channels(hexadecimal: str) -> tuple[int, int, int]:
    return tuple(int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[return-value]  # three by construction


def fraction(value: float) -> str:
    """Format a score: 0.56."""
    return f"{value:.2f}"


def signed(value: float) -> str:
    """Format a difference with its sign and the decimals of a score: +0.058, or a true minus."""
    return f"{value + 0.0:+.3f}".replace("-", MINUS)  # -0.0 is no loss


def percent(ratio: float) -> str:
    """Format a label ratio: 5 %, 2.5 %."""
    return f"{100 * ratio:.3g} %"
