"""The little SVG that the page of picks needs.

Everything that is text passes through :func:`element` and is escaped there.
"""

from collections.abc import Sequence
from html import escape


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
