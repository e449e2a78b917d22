"""Programs side by side, on the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cryofix.reporting.console import gain_text, say


def print_comparison(
    results: Mapping[str, Any], micrographs: int, folder: Path, console: Console
) -> None:
    """Print a column for each program.

    Parameters
    ----------
    results
        Content of ``comparison.json``.
    micrographs
        How many were scored.
    folder
        Where the files are.
    console
        Where to print.
    """
    programs = results["programs"]
    first = next(iter(programs))
    table = Table(
        title=f"Picks against the labels of {micrographs} micrographs, within d/2",
        title_justify="left",
    )
    table.add_column("")
    for head in ("F1 [95 %]", "precision", "recall", "AP", "F1, d/4", "macro F1", "threshold"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, scores in programs.items():
        table.add_row(name, *_cells(scores))
    console.print(table)
    for name, scores in programs.items():
        best = scores["best_on_these_micrographs"]
        say(
            console,
            f"{name}: threshold from {scores['threshold_from']}; best possible on these micrographs"
            f" F1 {best['f1']:.3f} at {best['threshold_own']:.4g}, all picks F1"
            f" {scores['all_picks']['f1']:.3f}",
        )
    for name, gain in results["gains"].items():
        say(
            console,
            f"{name} over {first}: F1 {gain_text(gain['particle_f1'])}, AP"
            f" {gain_text(gain['particle_average_precision'])}",
        )
    say(
        console,
        "Labels are incomplete, so precision is a lower bound; intervals are over micrographs.",
    )
    say(console, f"files: {folder}")


def _cells(scores: Mapping[str, Any]) -> list[str]:
    particle = scores["particle"]
    bounds = particle["ci95"]["f1"]
    interval = "" if bounds is None else " [{:.3f}, {:.3f}]".format(*bounds)
    numbers = (
        particle["precision"],
        particle["recall"],
        particle["average_precision"],
        particle["strict"]["f1"],
        particle["macro"]["f1"],
    )
    cells = [f"{number:.3f}" for number in numbers]
    return [f"{particle['f1']:.3f}{interval}", *cells, f"{scores['threshold_own']:.4g}"]
