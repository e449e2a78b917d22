"""The rows of the table: what was measured, against what, and what it must reach."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    """What is measured."""
    ours: str
    limit: str
    """Both sides with their units."""
    ratio: float
    """What is judged; ratios survive a machine that others use too."""
    target: float
    """The largest ratio that will do, or the smallest if ``at_least``."""
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Whether the ratio is as good as the target."""
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target

    @property
    def wanted(self) -> str:
        """The target in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.target:g}"

    def __str__(self) -> str:
        return f"{self.name}: {self.ours}, {self.limit}, {self.ratio:.3g}, {self.wanted}"


def parser(
    doc: str | None, *, gpu: bool = False, cpu_time: bool = False
) -> argparse.ArgumentParser:
    """Return what a script understands.

    Parameters
    ----------
    doc
        The script's; its first line is the help.
    gpu, cpu_time
        Whether the script can measure on a GPU, and in CPU time.
    """
    options = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    options.add_argument("--rows", type=Path, help="write the rows into this JSON file too")
    if gpu:
        options.add_argument("--gpu", action="store_true", help="measure on the GPU, at its sizes")
    if cpu_time:
        options.add_argument(
            "--cpu-time", action="store_true", help="of one thread, where others use the machine"
        )
    return options


def finish(rows: Sequence[Row], path: Path | None) -> None:
    """Print the rows, and write them for who runs all scripts."""
    for row in rows:
        print(row, flush=True)
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows]))


def read(path: Path) -> list[Row]:
    """Return what :func:`finish` wrote."""
    return [Row(**row) for row in json.loads(path.read_text())]


def table(rows: Iterable[Row], missing: Iterable[tuple[str, str]]) -> str:
    """Return the rows as a Markdown table, and after them names of rows with why they are not."""
    lines = ["| row | ours | against | ratio | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        verdict = "reached" if row.reached else "**missed**"
        cells = row.name, row.ours, row.limit, f"{row.ratio:.3g}", row.wanted, verdict
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"| {name} | | | | | {reason} |" for name, reason in missing]
    return "\n".join(lines) + "\n"
