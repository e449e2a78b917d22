"""Programs side by side, on the terminal and as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from cryofix.metrics.comparison import Scored
from cryofix.metrics.micrograph_records import MicrographRecord
from cryofix.reporting.console import gain_text, say
from cryofix.reporting.plots import finish, finish_precision_recall, panels


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


def comparison_figure(scored: Sequence[Scored]) -> Figure:
    """Draw precision over recall, and F1 over the share of picks that a threshold leaves."""
    figure, (curve_axis, f1_axis) = panels(10.5, 4.6, columns=2)
    for number, one in enumerate(scored):
        colour = f"C{number}"
        particles = one.pooled
        precision, recall = particles.precision_recall()
        used = np.flatnonzero(particles.matched + particles.unmatched)
        name = one.program.name
        average = particles.average_precision()
        curve_axis.plot(
            recall[used], precision[used], color=colour, label=f"{name}, AP {average:.3f}"
        )
        strict_precision, strict_recall = _strict(one.records)
        curve_axis.plot(
            strict_recall[used], strict_precision[used], color=colour, linestyle=":", linewidth=1
        )
        here = particles.precision(one.threshold), particles.recall(one.threshold)
        curve_axis.plot(here[1], here[0], "o", color=colour)
        right, wrong = (
            np.cumsum(counts[::-1])[::-1] for counts in (particles.matched, particles.unmatched)
        )
        share = (right + wrong)[used] / max(1, int((right + wrong)[0]))
        f1 = 2 * right / np.maximum(1, right + wrong + particles.truth)
        f1_axis.plot(share, f1[used], color=colour, label=name)
    finish_precision_recall(curve_axis, "within d/2 (dotted: d/4; dot: chosen threshold)")
    share_label = "share of picks above the threshold"
    finish(f1_axis, "lower left", xlabel=share_label, ylabel="F1", xlim=(0, 1), ylim=(0, 1.02))
    return figure


def _strict(records: Sequence[MicrographRecord]) -> tuple[Any, Any]:
    total = sum((record.strict for record in records[1:]), records[0].strict)
    return total.precision_recall()
