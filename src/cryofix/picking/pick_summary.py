"""What was picked, in numbers: a row for each micrograph, sums, and a table for the terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from csv import QUOTE_NONE
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cryofix.files import atomic_write
from cryofix.formats import FORMATS, MicrographInfo, Particles
from cryofix.picking.jobs import Outcome
from cryofix.picking.picked import Job, PickSelection, read_result, scores
from cryofix.picking.unlike import on_one_line, unusual_counts
from cryofix.reporting.console import say

BANDS = 20  # of the histogram of scores
COUNTS = ["micrograph", "picks", "low_scores"]
NUMBERS = ["mean_score", "pixel_size_angstrom", "diameter_px"]
UNLIKE = "unlike_the_rest"
STEP = 0.05  # of the page's slider
MOST_FAILURES = 20  # on the terminal; the table lists all
CONTROL = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})  # would end a cell or a line


@dataclass(frozen=True)
class Summary:
    """All that was picked."""

    rows: pd.DataFrame
    """One row for each micrograph, in the order of the names: ``COUNTS``, then ``NUMBERS``, of
    which unknown ones are NaN, then why it looks unlike the rest, ``""`` where it does not."""
    levels: list[float]
    at_levels: NDArray[np.int64]
    """The thresholds that the page offers, and the number of picks at or above each of them, of
    shape (micrographs, levels)."""
    failures: list[Outcome]
    """What could not be picked."""
    histogram: NDArray[np.int64]
    """Number of kept picks in each of ``BANDS`` bands of score from 0 to 1."""
    seconds: dict[str, float]
    """Of each stage, summed over micrographs."""

    @property
    def unlike(self) -> pd.DataFrame:
        """The rows of micrographs that look unlike the rest."""
        return self.rows[self.rows[UNLIKE] != ""]

    @property
    def picks(self) -> int:
        """Number of good picks."""
        return int(self.rows["picks"].sum())


def found(
    jobs: Sequence[Job], selection: PickSelection
) -> Callable[[Literal["good", "all"]], Iterator[tuple[str, MicrographInfo, Particles]]]:
    """Return a function that reads the picks back, one micrograph in memory at a time."""

    def read(which: Literal["good", "all"]) -> Iterator[tuple[str, MicrographInfo, Particles]]:
        choose = selection.good if which == "good" else selection.all
        for job in jobs:
            result = read_result(job)
            yield job.name, result.info, choose(result)

    return read


def summarise(
    jobs: Sequence[Job], failures: Sequence[Outcome], selection: PickSelection
) -> Summary:
    """Count what was found in the finished ``jobs``; ``failures`` are the others."""
    rows, seconds, levels = [], dict[str, float](), slider_levels(selection)
    exact = {round(each, 6): each for each in (selection.lowest, selection.threshold)}
    edges = [exact.get(level, level) for level in levels]
    lines, at_levels = [], np.zeros((len(jobs), len(levels)), dtype=np.int64)
    histogram = np.zeros(BANDS, dtype=np.int64)
    for index, job in enumerate(jobs):
        result = read_result(job)
        for stage, its in result.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + its
        good, kept = selection.good(result), selection.all(result)
        histogram += np.histogram(scores(kept), BANDS, (0.0, 1.0))[0]
        # Ascending, so that those from a place on are those that reach a level.
        at_levels[index] = len(kept) - np.searchsorted(np.sort(scores(kept)), edges)
        lines.append(on_one_line(good, result.info.shape, result.diameter_px or 1.0))
        mean = float(scores(good).mean()) if len(good) else None
        counts, pixel_size = (len(good), len(kept) - len(good)), result.info.pixel_size_angstrom
        rows.append((job.name, *counts, mean, pixel_size, result.diameter_px))
    frame = pd.DataFrame(rows, columns=[*COUNTS, *NUMBERS]).astype(dict.fromkeys(NUMBERS, float))
    counts_unlike = unusual_counts([row[1] for row in rows])
    frame[UNLIKE] = [
        "; ".join(filter(None, pair)) for pair in zip(counts_unlike, lines, strict=True)
    ]
    return Summary(frame, levels, at_levels, list(failures), histogram, seconds)


def slider_levels(selection: PickSelection) -> list[float]:
    """Return the thresholds that the page offers, ascending, the chosen one among them."""
    steps = np.arange(np.ceil(selection.lowest / STEP - 1e-9), 1 / STEP) * STEP
    levels = (selection.lowest, selection.threshold, *steps)
    return sorted({round(float(level), 6) for level in levels})


def write_tables(summary: Summary, folder: Path) -> None:
    """Write ``summary.tsv``, a line for each micrograph, and ``failed.tsv`` if any failed."""
    _write(folder / "summary.tsv", summary.rows)
    failed = folder / "failed.tsv"
    failed.unlink(missing_ok=True)  # of an earlier run
    if summary.failures:
        errors = [(each.job.name, str(each.error)) for each in summary.failures]
        _write(failed, pd.DataFrame(errors, columns=["micrograph", "error"]))


def _write(path: Path, frame: pd.DataFrame) -> None:
    """Write a table whose texts are written out where they would end a cell or a line."""
    plain = frame.map(lambda cell: cell.translate(CONTROL) if isinstance(cell, str) else cell)
    with atomic_write(path) as temporary:
        plain.to_csv(temporary, sep="\t", index=False, float_format="%.6g", quoting=QUOTE_NONE)


def print_summary(
    summary: Summary,
    selection: PickSelection,
    written: Mapping[str, Path],
    console: Console,
    *,
    skipped: int,
    wall_seconds: float,
    with_low_scores: bool,
) -> None:
    """Print the table of a run, and what to open for each format.

    An earlier run had finished ``skipped`` micrographs; this run picked for ``wall_seconds``.
    ``with_low_scores`` says whether formats that carry scores hold those below the threshold.
    """
    table = Table(title="Picks", title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    counts = summary.rows["picks"]
    now = len(counts) - skipped
    table.add_row("micrographs", f"{len(counts)}" + (f" ({skipped} before)" if skipped else ""))
    if summary.failures:
        table.add_row("failed", f"[red]{len(summary.failures)}[/red]")
    table.add_row(f"picks that score {selection.threshold:.3f} or more", f"{summary.picks}")
    table.add_row("threshold", f"{selection.threshold:.3f}, {selection.source}")
    if selection.keep_above < selection.threshold:
        low = summary.rows["low_scores"].sum()
        table.add_row(f"further picks down to {selection.keep_above:g}", f"{low}")
    if len(counts):
        spread = f"{counts.median():.0f} ({counts.min()} to {counts.max()})"
        table.add_row("picks per micrograph, median", spread)
    if now > 0:
        table.add_row("seconds per micrograph", f"{wall_seconds / now:.2f}")
        total = sum(summary.seconds.values())
        shares = [f"{k} {100 * v / total:.0f} %" for k, v in summary.seconds.items()]
        table.add_row("shares of this time", ", ".join(shares))
    console.print(table)
    say(console, *(f"{name + ':':<18} {path}" for name, path in written.items()))
    scored = [name for name in written if name in FORMATS and FORMATS[name].takes_low_scores]
    if with_low_scores and scored and (low := int(summary.rows["low_scores"].sum())):
        say(
            console,
            f"{', '.join(scored)}: {summary.picks} of {summary.picks + low} picks reach the"
            f" threshold {selection.threshold:.3f}; low_scores=false leaves the others out",
            style="yellow",
        )
    odd = [f"  {row.micrograph}: {row.unlike_the_rest}" for row in summary.unlike.itertuples()]
    if (more := len(odd) - MOST_FAILURES) > 0:
        odd[MOST_FAILURES:] = [f"  {more} more, see summary.tsv"]
    if odd:
        say(console, "look first at these, which are unlike the rest:", *odd, style="yellow")
    failed = [f"failed: {outcome.error}" for outcome in summary.failures]
    if (more := len(failed) - MOST_FAILURES) > 0:
        failed[MOST_FAILURES:] = [f"failed: {more} more, see failed.tsv"]
    say(console, *failed, style="red")
