"""The report as a page, as Markdown, as CSV and on a terminal; and writing its files."""

import io
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.text import Text

from cryofix.errors import CryofixError
from cryofix.files import atomic_write, explain_os_error
from cryofix.reporting.frame_tables import (
    escape_markdown,
    html_table,
    markdown_code,
    markdown_table,
    terminal_table,
)
from cryofix.reporting.numbers import percent
from cryofix.reporting.pages import fragment, page
from cryofix.sweeps.report_tables import (
    JOB_COLUMNS,
    STATE_STYLES,
    jobs_frame,
    row_columns,
    rows_csv,
    runs_csv,
    shown_rows,
    terminal_columns,
)
from cryofix.sweeps.selection import SELECTION_COLUMNS
from cryofix.sweeps.summarise import CAVEATS, SweepSummary

WIDE = 120
"""Columns from which on the table shows the control, verdict, recall, drift and alarms too."""
MOST_JOBS = 500
"""A page lists no more jobs without a result."""


def html(summary: SweepSummary) -> str:
    """Return the whole page."""
    from cryofix.sweeps.sweep_figures import figures_of_scene  # Matplotlib takes its time

    rows, runs, jobs = summary.rows, summary.runs, summary.sweep.unfinished
    chosen = summary.selection
    figures, table = {}, Markup("")
    if not rows.empty:
        table = html_table(shown_rows(rows), row_columns(summary, page=True))
        for scene, group in rows.groupby("scene", sort=False):
            mine = runs[runs.scene == scene]
            figures[scene] = figures_of_scene(group, mine, rows, summary.metric)
    content = page(
        "report.html",
        summary=summary,
        figures=[(scene, found) for scene, found in figures.items() if found["maps"]],
        table=table,
        jobs=html_table(jobs_frame(jobs[:MOST_JOBS]), JOB_COLUMNS) if jobs else "",
        selection="" if chosen.empty else html_table(chosen, SELECTION_COLUMNS),
        more_jobs=len(jobs) - MOST_JOBS,
        caveats=CAVEATS,
    )
    return "".join(content)


def markdown(summary: SweepSummary) -> str:
    """Return the whole report; everything that came from files is escaped."""
    rows, jobs, chosen = summary.rows, summary.sweep.unfinished, summary.selection
    return fragment(
        "report.md",
        summary=summary,
        table="" if rows.empty else markdown_table(rows, row_columns(summary)),
        maps=list(_maps(summary)),
        jobs=markdown_table(jobs_frame(jobs), JOB_COLUMNS) if jobs else "",
        selection="" if chosen.empty else markdown_table(chosen, SELECTION_COLUMNS),
        caveats=CAVEATS,
        escape=escape_markdown,
        code=markdown_code,
    )


def _maps(summary: SweepSummary) -> Iterator[tuple[str, str, list[str], list[list[str]]]]:
    """Yield a table of settings x ratios for each quantity of the heat maps."""
    from cryofix.sweeps.heat_maps import quantities

    if summary.rows.empty:
        return
    scored = summary.rows[summary.rows.scored.astype(bool)]
    for scene, rows in scored.groupby("scene", sort=False):
        for quantity in quantities(summary.metric):
            if rows[quantity.column].isna().all():
                continue
            cells = {(row.setting, row.ratio): quantity.written(row) for _, row in rows.iterrows()}
            settings = rows.drop_duplicates("setting")
            body = [
                [percent(ratio), *(cells.get((setting, ratio), "") for setting in settings.setting)]
                for ratio in sorted(rows.ratio.unique())
            ]
            yield quantity.title, str(scene), list(settings.curve), body


def render(summary: SweepSummary, width: int = WIDE, most_jobs: int = 20) -> RenderableType:
    """Return what a :class:`rich.console.Console` of ``width`` columns prints."""
    counts = [
        Text(f"{n} {state.value}", STATE_STYLES[state]) for state, n in summary.states.items()
    ]
    parts: list[RenderableType] = [
        Text(f"Sweep {summary.title}: ", style="bold") + Text(", ").join(counts)
    ]
    if not summary.rows.empty:
        title = f"FixMatch against its control: {summary.metric_title}"
        columns = terminal_columns(summary, width >= WIDE)
        parts.append(terminal_table(shown_rows(summary.rows), columns, title))
    if jobs := summary.sweep.unfinished:
        table = terminal_table(jobs_frame(jobs[:most_jobs]), JOB_COLUMNS, "Jobs without a result")
        if len(jobs) > most_jobs:
            table.add_row("…", "", f"{len(jobs) - most_jobs} more in report.html", "")
        parts.append(table)
    if not summary.selection.empty:
        title = f"Which branch to use: {summary.metric_title} on test"
        parts.append(terminal_table(summary.selection, SELECTION_COLUMNS, title))
    parts += [Text(f"Note: {note}", style="yellow") for note in summary.notes]
    for choice in summary.best:
        where = f"Best at {percent(choice.row.ratio)} labelled ({choice.row.scene}): "
        parts.append(Text(where) + Text(choice.line, style="bold green"))
        parts.append(Text(f"  {choice.score:.3f} on {choice.source}. {choice.advice}", style="dim"))
    return Group(*parts)


def write_report(summary: SweepSummary, folder: str | Path) -> list[Path]:
    """Write ``report.html``, ``.md``, ``.csv``, ``runs.csv`` and ``gains.png``; return their paths.

    Without a gain there is no picture of gains.

    Raises CryofixError: the folder cannot be written.
    """
    from cryofix.sweeps.gains_figure import gains_figure  # Matplotlib takes its time

    contents = {
        "report.html": html(summary).encode(),
        "report.md": markdown(summary).encode(),
        "report.csv": rows_csv(summary.rows).encode(),
        "runs.csv": runs_csv(summary.runs).encode(),
    }
    figure = gains_figure(summary.rows, summary.metric_title)
    if figure is not None:
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=120, facecolor="white")
        contents["gains.png"] = drawn.getvalue()
    paths = [Path(folder) / name for name in contents]
    try:
        for path, content in zip(paths, contents.values(), strict=True):
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
    except OSError as error:  # it names the file
        raise CryofixError(f"{explain_os_error(error)}, with output=FOLDER") from error
    return paths
