"""The report on a terminal."""

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cryofix.sweeps.gains import Gain
from cryofix.sweeps.runs import State
from cryofix.sweeps.statistics import Row, Spread
from cryofix.sweeps.summarise import METRIC_TITLES, Summary
from cryofix.sweeps.svg import percent, signed

WIDE = 120
"""Columns from which on the table shows the control, verdict, recall, drift and alarms too."""

_STATE_STYLES = {
    State.FINISHED: "green",
    State.RUNNING: "cyan",
    State.REQUEUED: "cyan",
    State.FAILED: "red",
    State.STALLED: "red",
    State.UNREADABLE: "red",
    State.STOPPED: "yellow",
    State.MISSING: "yellow",
}
_VERDICT_STYLES = {"better": "green", "worse": "red"}


def render(summary: Summary, width: int = WIDE, most_jobs: int = 20) -> RenderableType:
    """Return what a :class:`rich.console.Console` of ``width`` columns prints.

    Names from files stand in :class:`rich.text.Text`, which obeys no markup.
    """
    parts: list[RenderableType] = [_counts(summary)]
    if summary.rows:
        parts.append(_rows(summary, width))
    if summary.sweep.unfinished:
        parts.append(_jobs(summary, most_jobs))
    parts += [Text(f"Note: {note}", style="yellow") for note in summary.notes]
    parts += _best(summary)
    return Group(*parts)


def _counts(summary: Summary) -> Text:
    line = Text(f"Sweep {summary.title}: ", style="bold")
    counted = [(state, summary.sweep.count(state)) for state in State]
    pieces = [Text(f"{n} {state.value}", _STATE_STYLES[state]) for state, n in counted if n]
    return line + Text(", ").join(pieces)


def _rows(summary: Summary, width: int) -> Table:
    wide = width >= WIDE
    table = Table(
        title=f"FixMatch against its control: {METRIC_TITLES[summary.metric]}", box=SIMPLE
    )
    several = len({summary.namer.scene(row.setting) for row in summary.rows}) > 1
    for head in (*(["data"] if several else []), "mask"):
        table.add_column(head, overflow="fold")
    for head in ("labelled", "n", "score", *(["control"] if wide else []), "gain [95 %]"):
        table.add_column(head, justify="right", no_wrap=True)
    if wide:
        table.add_column("verdict", overflow="fold")
    for head in ("recall", "drift", "alarms") if wide else ():
        table.add_column(head, justify="right", no_wrap=True)
    for row in summary.rows:
        scene = [Text(summary.namer.scene(row.setting))] if several else []
        table.add_row(*scene, *_row(row, summary, wide))
    return table


def _row(row: Row, summary: Summary, wide: bool) -> Iterator[Text]:
    gain = row.gains.get(summary.metric)
    verdict = "" if gain is None else gain.verdict
    settings = summary.namer.settings(row.setting)
    yield Text(f"{row.setting.mask} {settings}" if wide else summary.namer.curve(row.setting))
    yield Text(percent(row.ratio))
    yield Text(str(row.n))
    yield _said(row.fixmatch.get(summary.metric))
    if wide:
        yield _said(row.supervised.get(summary.metric))
    yield _said(gain)
    if wide:
        yield Text(verdict, style=_VERDICT_STYLES.get(verdict, ""))
        recall = row.fixmatch.get(summary.metric.split("_")[0] + "_recall")
        yield Text("" if recall is None else f"{recall.mean:.3f}")
        yield Text("" if row.drift is None else signed(row.drift.mean))
        alarms = f"{row.alarmed}/{row.watched}" if row.watched else ""
        yield Text(alarms, "red" if row.alarmed else "")


def _jobs(summary: Summary, most: int) -> Table:
    unfinished = summary.sweep.unfinished
    table = Table(title="Jobs without a result", box=SIMPLE)
    for head in ("job", "state", "why", "overrides"):
        table.add_column(head, overflow="fold")
    for run in unfinished[:most]:
        style = _STATE_STYLES[run.state]
        name, state = Text(run.name), Text(run.state.value, style)
        table.add_row(name, state, Text(run.reason), Text(" ".join(run.overrides)))
    if len(unfinished) > most:
        table.add_row("…", "", f"{len(unfinished) - most} more in report.html", "")
    return table


def _best(summary: Summary) -> Iterator[Text]:
    for choice in summary.best:
        where = f"Best at {percent(choice.row.ratio)} labelled ({choice.scene}): "
        yield Text(where) + Text(choice.line, style="bold green")
        yield Text(f"  {choice.score:.3f} on {choice.source}. {choice.advice}", style="dim")


def _said(found: Gain | Spread | None) -> Text:
    return Text("" if found is None else str(found))
