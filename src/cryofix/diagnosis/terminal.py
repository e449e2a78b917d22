"""The diagnosis on a terminal."""

from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.diagnosis.forecast import Forecast
from cryofix.diagnosis.verdict import words
from cryofix.metrics.rates import Rates
from cryofix.reporting.console import say

COLUMNS = {
    "kept %": "kept",
    "particle share %": "particle_share",
    "particle keep %": "particle_keep",
    "background keep %": "background_keep",
    "drift": "drift",
    "share / prior": "share_over_prior",
}
BY_TRUTH = {
    "true particles kept %": "true_particle_keep",
    "true background kept %": "true_background_keep",
    "pseudo-label precision %": "pseudo_precision",
    "pseudo-label recall %": "pseudo_recall",
}
SOON = 10  # generations; a slower drift has the labels of every step against it
NUMBERS = {"drift": "{:+.2f}", "share_over_prior": "{:.2f}"}  # the others are percents


def show(
    diagnosis: Diagnosis, folder: Path, console: Console, forecast: Forecast | None = None
) -> None:
    """Print tables, verdict, forecast and where the files are: ``folder``."""
    histogram, verdict = diagnosis.histogram, words(diagnosis)
    console.print()
    say(console, f"{diagnosis.observation.source}: {histogram.pixels:,} pixels")
    console.print(_table(diagnosis, "What a mask keeps, by predicted class", COLUMNS))
    if histogram.known:
        console.print(_table(diagnosis, "The same, by true class", BY_TRUTH))
    say(console, diagnosis.policy.describe())
    for equivalent in diagnosis.equivalents:
        say(console, f"on these pixels it is the same as {equivalent}")
    said = [verdict[key] for key in ("finding", "outlook", "note")]
    body = Text("\n".join(f"{text[0].upper()}{text[1:]}." for text in said))
    frame = _colour(diagnosis)
    console.print(Panel(body, title="Verdict", title_align="left", border_style=frame))
    console.print(Text(f"Remedy: {verdict['remedy']}."), soft_wrap=True)
    if forecast is not None:
        console.print(Text(f"Forecast: {forecast}."), soft_wrap=True)
    remedy = diagnosis.remedy
    if remedy is not None and not verdict["remedy"].startswith("no change"):
        console.print(Text("add this to the training command:"))
        console.print(Text(f"  {remedy.overrides}", style="bold"), soft_wrap=True)
    say(console, f"files: {folder}")


def _colour(diagnosis: Diagnosis) -> str:
    course = diagnosis.course
    if course.outcome == "holds":
        return "green"
    recovers = course.outcome == "collapses" and course.until == 0 and diagnosis.step > 0
    return "yellow" if recovers or course.until > SOON else "red"


def _table(diagnosis: Diagnosis, title: str, columns: dict[str, str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("threshold")
    for column in columns:
        table.add_column(column, justify="right")
    for row in diagnosis.rows:
        table.add_row(f"{row['threshold']:.2f}", *_cells(row, columns))
    table.add_section()
    table.add_row("this mask", *_cells(diagnosis.rates, columns))
    return table


def _cells(row: Rates, columns: dict[str, str]) -> list[str]:
    values = [(NUMBERS.get(key, "{:.1%}"), row.get(key)) for key in columns.values()]
    return ["-" if value is None else text.format(value).rstrip("%") for text, value in values]
