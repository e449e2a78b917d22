"""One table in three forms: a pandas frame as HTML, as Markdown and on a terminal.

Texts of cells come from files that nobody vouches for, and stay texts in each form: HTML and
Markdown escape them, and :class:`rich.text.Text` obeys no markup.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from cryofix.reporting.pages import fragment

if TYPE_CHECKING:
    import pandas as pd

Cell = Callable[[Any], str]
"""From a value of the frame to what stands in its cell."""

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


@dataclass(frozen=True)
class Column:
    """How a column of a frame is shown."""

    title: str
    of: str
    """Name of the frame's column."""
    show: Cell = str
    html: Cell | None = None
    """For a page, where it differs; markup is kept as it is, and a string is escaped."""
    markdown: Cell | None = None
    """Ready Markdown, where it differs; what ``show`` gives is escaped."""
    key: Callable[[Any], object] | None = None
    """What a page sorts by; otherwise the value itself."""
    style: Cell | None = None
    """rich's style on a terminal."""
    text: bool = False
    """Whether the cells are texts, aligned to the left and folded; numbers stand at the right."""
    css: str = ""
    """Further classes of the cells in a page."""
    unknown: str = ""
    """What stands in the cell of an unknown value (None, NaN), in every form."""


def html_table(frame: "pd.DataFrame", columns: Sequence[Column]) -> Markup:
    """Return a ``<table>`` that a click on a column's head sorts."""
    return fragment("table.html", columns=columns, rows=_rows(frame, columns, _html))


def markdown_table(frame: "pd.DataFrame", columns: Sequence[Column]) -> str:
    """Return a table with a bar between two cells."""
    heads = [column.title for column in columns]
    rule = [":--" if column.text else "--:" for column in columns]
    lines = (heads, rule, *_rows(frame, columns, _markdown))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def terminal_table(frame: "pd.DataFrame", columns: Sequence[Column], title: str) -> Table:
    """Return a table that a :class:`rich.console.Console` prints."""
    table = Table(title=title, box=SIMPLE)
    for column in columns:
        if column.text:
            table.add_column(column.title, overflow="fold")
        else:
            table.add_column(column.title, justify="right", no_wrap=True)
    for cells in _rows(frame, columns, _terminal):
        table.add_row(*cells)
    return table


def escape_markdown(content: str) -> str:
    """Return a text of which a Markdown reader obeys nothing."""
    return _MARKDOWN.sub(r"\\\1", content)


def markdown_code(content: str) -> str:
    """Return inline code that a backtick or a bar in ``content`` cannot break out of."""
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", content)), default=0))
    pad = " " if fence != "`" else ""
    return f"{fence}{pad}{content}{pad}{fence}".replace("|", "\\|")


def _rows(
    frame: "pd.DataFrame", columns: Sequence[Column], cell: Callable[[Column, Any], Any]
) -> list[tuple[Any, ...]]:
    cells = (
        [cell(column, None if v is None or v != v else v) for v in frame[column.of]]
        for column in columns
    )
    return list(zip(*cells, strict=True))


def _html(column: Column, value: Any) -> tuple[str, object]:
    """Return what the cell shows and what it is sorted by."""
    if value is None:
        return column.unknown, ""
    return (column.html or column.show)(value), value if column.key is None else column.key(value)


def _markdown(column: Column, value: Any) -> str:
    if value is None:
        return column.unknown
    if column.markdown is not None:
        return column.markdown(value)
    return escape_markdown(column.show(value)) if column.text else column.show(value)


def _terminal(column: Column, value: Any) -> Text:
    if value is None:
        return Text(column.unknown)
    return Text(column.show(value), style=column.style(value) if column.style else "")
