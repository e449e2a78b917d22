"""What was picked, in numbers: a row for each micrograph, sums, and a table for the terminal."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats import MicrographInfo, Particles
from cryofix.picking.jobs import Outcome
from cryofix.picking.picked import Job, Result, read_result

BANDS = 20  # of the histogram of scores
COLUMNS = ("micrograph", "picks", "low_scores", "mean_score", "pixel_size_angstrom", "diameter_px")
MOST_FAILURES = 20  # on the terminal; the table lists all


@dataclass(frozen=True)
class Row:
    """One picked micrograph."""

    name: str
    """Path below the common folder."""
    picks: int
    """At or above the threshold."""
    low: int
    """Further picks below it that are kept."""
    mean_score: float | None
    """Of the picks; None without any."""
    pixel_size_angstrom: float | None
    diameter_px: float | None
    """What counted for this file."""
    seconds: dict[str, float]
    """Of each stage."""


@dataclass(frozen=True)
class Selection:
    """Which of the picks that are kept count."""

    threshold: float
    """Good picks score at least this."""
    keep_above: float
    """Picks that score less are not written anywhere."""
    size: tuple[float | None, float | None] = (None, None)
    """Smallest and largest relative size; None for no limit."""

    @classmethod
    def choose(
        cls,
        validated: Mapping[str, float] | None,
        threshold: float | None,
        keep_above: float,
        size: tuple[float | None, float | None] = (None, None),
    ) -> "Selection":
        """Take the threshold of validation, unless the user gives one.

        Raises CryofixError if there is neither, or one is out of its range.
        """
        if threshold is None and validated is None:
            raise CryofixError(
                "the checkpoint was never validated, so it has no threshold: give threshold=0.5, or"
                " the run folder instead of one of its checkpoints"
            )
        if threshold is None:
            assert validated is not None
            threshold = validated["particle"]
        for key, value in (("threshold", threshold), ("keep_above", keep_above)):
            if not 0 <= value < 1:
                raise CryofixError(f"{key}={value} must lie in [0, 1): it is a score")
        for key, limit in zip(("min_size", "max_size"), size, strict=True):
            if limit is not None and not 0 <= limit < math.inf:
                raise CryofixError(f"{key}={limit} must be finite and not negative")
        smallest, largest = size
        if smallest is not None and largest is not None and not smallest < largest:
            raise CryofixError(f"min_size={smallest} must be below max_size={largest}")
        return cls(float(threshold), float(keep_above), size)

    def good(self, result: Result) -> Particles:
        """Return the picks of one micrograph."""
        return result.filtered(self.threshold, self.size)

    def all(self, result: Result) -> Particles:
        """Return also the picks of low score."""
        return result.filtered(min(self.keep_above, self.threshold), self.size)


@dataclass(frozen=True)
class Summary:
    """All that was picked."""

    rows: list[Row]
    """In the order of the micrographs' names."""
    failures: list[Outcome]
    """What could not be picked."""
    histogram: NDArray[np.int64]
    """Number of kept picks in each of ``BANDS`` bands of score from 0 to 1."""

    @property
    def picks(self) -> int:
        """Number of good picks."""
        return sum(row.picks for row in self.rows)

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Seconds of each stage, summed over micrographs."""
        stages = self.rows[0].seconds if self.rows else {}
        return {stage: sum(row.seconds[stage] for row in self.rows) for stage in stages}


def found(
    jobs: Sequence[Job], selection: Selection
) -> Callable[[Literal["good", "all"]], Iterator[tuple[str, MicrographInfo, Particles]]]:
    """Return a function that reads the picks back, one micrograph in memory at a time."""

    def read(which: Literal["good", "all"]) -> Iterator[tuple[str, MicrographInfo, Particles]]:
        for job in jobs:
            result = read_result(job)
            choose = selection.good if which == "good" else selection.all
            yield job.name, result.info, choose(result)

    return read


def summarise(jobs: Sequence[Job], failures: Sequence[Outcome], selection: Selection) -> Summary:
    """Count what was found.

    Parameters
    ----------
    jobs
        Finished ones.
    failures
        The others.
    selection
        Which picks count.
    """
    rows = []
    histogram = np.zeros(BANDS, dtype=np.int64)
    for job in jobs:
        result = read_result(job)
        good, kept = selection.good(result), selection.all(result)
        assert good.score is not None
        assert kept.score is not None
        histogram += np.histogram(kept.score, BANDS, (0.0, 1.0))[0]
        diameter = result.particles.diameter_px
        rows.append(
            Row(
                name=job.name,
                picks=len(good),
                low=len(kept) - len(good),
                mean_score=float(good.score.mean()) if len(good) else None,
                pixel_size_angstrom=result.info.pixel_size_angstrom,
                diameter_px=float(diameter[0]) if diameter is not None and len(diameter) else None,
                seconds=result.seconds,
            )
        )
    return Summary(rows, list(failures), histogram)


def write_tables(summary: Summary, folder: Path) -> None:
    """Write ``summary.tsv``, a line for each micrograph, and ``failed.tsv`` if any failed."""
    lines = ["\t".join(COLUMNS)]
    for row in summary.rows:
        numbers = (row.mean_score, row.pixel_size_angstrom, row.diameter_px)
        written = ["" if number is None else f"{number:.6g}" for number in numbers]
        lines.append("\t".join([_cell(row.name), str(row.picks), str(row.low), *written]))
    _write(folder / "summary.tsv", lines)
    failed = folder / "failed.tsv"
    failed.unlink(missing_ok=True)  # of an earlier run
    if summary.failures:
        errors = [(_cell(each.job.name), _cell(str(each.error))) for each in summary.failures]
        _write(failed, ["micrograph\terror", *map("\t".join, errors)])


def _cell(text: str) -> str:
    """Return text with whatever would end a cell or a line of a table written out."""
    return text.translate({9: "\\t", 10: "\\n", 13: "\\r"})


def _write(path: Path, lines: Sequence[str]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def print_summary(
    summary: Summary,
    selection: Selection,
    written: dict[str, Path],
    console: Console,
    *,
    skipped: int,
    wall_seconds: float,
) -> None:
    """Print the table of a run and where its files are.

    Parameters
    ----------
    summary, selection
        What was found.
    written
        What to open for each format.
    console
        Where to print.
    skipped
        Micrographs that an earlier run had finished.
    wall_seconds
        Time of this run's picking.
    """
    table = Table(title="Picks", title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    rows = summary.rows
    now = len(rows) - skipped
    table.add_row("micrographs", f"{len(rows)}" + (f" ({skipped} before)" if skipped else ""))
    if summary.failures:
        table.add_row("failed", f"[red]{len(summary.failures)}[/red]")
    table.add_row(f"picks that score {selection.threshold:.3f} or more", f"{summary.picks}")
    if selection.keep_above < selection.threshold:
        low = sum(row.low for row in rows)
        table.add_row(f"further picks down to {selection.keep_above:g}", f"{low}")
    if rows:
        counts = np.array([row.picks for row in rows])
        spread = f"{np.median(counts):.0f} ({counts.min()} to {counts.max()})"
        table.add_row("picks per micrograph, median", spread)
    if now > 0:
        table.add_row("seconds per micrograph", f"{wall_seconds / now:.2f}")
        total = sum(summary.stage_seconds.values())
        shares = [f"{k} {100 * v / total:.0f} %" for k, v in summary.stage_seconds.items()]
        table.add_row("of which", ", ".join(shares))
    console.print(table)
    for name, path in written.items():
        console.print(f"{name + ':':<18} {path}", highlight=False, soft_wrap=True)
    for outcome in summary.failures[:MOST_FAILURES]:
        console.print(f"failed: {outcome.error}", style="red", highlight=False, soft_wrap=True)
    more = len(summary.failures) - MOST_FAILURES
    if more > 0:
        console.print(f"failed: {more} more, see failed.tsv", style="red", highlight=False)
