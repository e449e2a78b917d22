"""What a finished run says on the terminal."""

import logging
import shlex
import warnings
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cryofix.reporting.numbers import NOT_MEASURED, gain_with_interval
from cryofix.reporting.run_lines import keep_rate_line, pick_command

NOISE = ("lightning.pytorch", "lightning.fabric", "lightning_fabric", "pytorch_lightning")
ROWS = [
    (kind, name)
    for kind in ("pixel", "particle")
    for name in ("precision", "recall", "f1", "average_precision")
]
ROWS_OF_PARTIAL_LABELS = [
    ("pixel", "recall"),
    ("particle", "recall"),
    ("particle", "recall_at_expected"),
    ("particle", "positive_unlabelled_f1"),
]
LABELS = {
    "f1": "F1",
    "average_precision": "average precision",
    "recall_at_expected": "recall at the expected number of picks",
    "positive_unlabelled_f1": "positive-unlabelled F1",
}
BRANCHES = {"supervised": "supervised control", "fixmatch": "FixMatch"}
METHODS = {
    "fixmatch": "FixMatch",
    "mean_teacher": "mean teacher",
    "self_training": "self-training",
    "unimatch": "UniMatch",
}
GAINS = {
    ("pixel", "f1"): "pixel_f1",
    ("pixel", "average_precision"): "average_precision",
    ("particle", "f1"): "particle_f1",
    ("particle", "average_precision"): "particle_average_precision",
}


def say(console: Console, *lines: str, style: str | None = None) -> None:
    """Print lines as they are: no markup, no colours of numbers, no breaks at the right edge."""
    for line in lines:
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def quieten() -> None:
    """Keep Lightning's hints about its own use from between a user's lines."""
    for name in NOISE:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")


def print_run_summary(
    results: Mapping[str, Any], folder: Path, console: Console, images: str | None = None
) -> None:
    """Print the table of scores of a run's ``results.json``, the keep rates, and where all is.

    The last line is the command that picks, in ``images`` where the run had such.
    """
    counts = results["micrographs"]
    blocks = results.get("validation_blocks")
    console.print()
    say(
        console,
        f"{results['data']}: {counts['labelled']} labelled, {counts['unlabelled']} unlabelled,"
        f" {counts['validation']} validation, {counts['test']} test micrographs;"
        f" ratio {results['ratio']:g}, seed {results['seed']}"
        + (f"; blocks of the labelled ones kept for validation: {blocks}" if blocks else ""),
    )
    console.print(_table(*_scores(results)))
    if not tested(results):
        say(console, "test scores: not measured, because this split has no test micrograph")
    elif "ci95_reason" in results["supervised"]["pixel"]:
        say(console, f"no intervals: {results['supervised']['pixel']['ci95_reason']}")
    line = keep_rate_line(results)
    if line:
        say(console, line)
    steps = results["steps"]
    taken = {"the control": steps.get("supervised", steps["stage"])}
    taken["FixMatch"] = steps.get("fixmatch", taken["the control"])
    fewer, more = sorted(taken, key=lambda name: taken[name])
    if taken[fewer] < taken[more]:
        by_guard = fewer == "FixMatch" and results.get("stopped_by_guard", True)
        say(
            console,
            f"{'the guard (guard.action=stop)' if by_guard else 'a callback'} stopped {fewer} at"
            f" step {taken[fewer]} of {steps['stage']}; {more} took {taken[more]}, so the gains"
            " compare unequal training",
            style="yellow",
        )
    selected = results["selected_by"]
    known = (name for name in ("supervised", "fixmatch") if name in selected)
    branches = ", ".join(f"{name} {selected[name]:.3f}" for name in known)
    line = f"selected: [bold]{results['selected']}[/bold] ({selected['score']}: {branches})"
    console.print(line, highlight=False)
    particle = results[results["selected"]].get("particle")
    if particle is not None:
        threshold = f"{particle['threshold']:.3f}, from {results['thresholds_from']}"
        say(console, f"picking threshold: {threshold}")
    say(
        console,
        f"run folder: {folder}",
        f"pictures:   {folder / 'figures'}",
        f"page:       {folder / 'index.html'}",
        f"dashboard:  tensorboard --logdir {shlex.quote(str(folder))}",
        *([] if particle is None else [f"next:       {pick_command(folder, images)}"]),
    )


def result_line(results: Mapping[str, Any]) -> str:
    """Return one line of a run among many: F1 of both, the gain, what was selected."""
    where = "" if tested(results) else " on validation (test not measured)"
    partial = not tested(results) and scored_partially(results)
    score = "positive_unlabelled_f1" if partial else "f1"
    kind = kinds_of(results["supervised"])[-1]
    found = _score(results, "supervised", kind, score)
    line = f"{kind} {LABELS[score]}{where}: supervised control {found}"
    if results["fixmatch"] is not None:
        method = METHODS.get(results["method"], results["method"])
        line += f", {method} {_score(results, 'fixmatch', kind, score)}"
        if tested(results):
            line += f", gain {gain_text(results['gain'][f'{kind}_f1'])}"
    return f"{line}; selected: {results['selected']}"


def tested(results: Mapping[str, Any]) -> bool:
    """Say whether the split has test micrographs; without any, every score on test is null."""
    return results["supervised"]["pixel"]["f1"] is not None


def kinds_of(scores: Mapping[str, Any]) -> list[str]:
    """Return the kinds of scores: of pixels, and of particles unless masks were learnt."""
    return [kind for kind in ("pixel", "particle") if kind in scores]


def _rows_of(scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(kind, name) for kind, name in ROWS if kind in scores]


def scored_partially(results: Mapping[str, Any]) -> bool:
    """Say whether the labels of validation are partial."""
    return results["validation"]["supervised"]["pixel_f1"] is None


def _score(results: Mapping[str, Any], branch: str, kind: str, name: str) -> str:
    """Return a score on test, or on validation where the split has no test micrograph."""
    known = results[branch][kind].get(name)
    score = results["validation"][branch][f"{kind}_{name}"] if known is None else known
    return NOT_MEASURED if score is None else f"{score:.3f}"


def score_rows(results: Mapping[str, Any]) -> tuple[str, list[str], list[tuple[str, ...]]]:
    """Return the title, the heads and the rows of the scores of a run's ``results.json``."""
    title, heads, cells, rows = _scores(results)
    return title, ["", *heads], [(_label(*row), *cells(*row)) for row in rows]


def _scores(
    results: Mapping[str, Any],
) -> tuple[str, list[str], Callable[[str, str], list[str]], list[tuple[str, str]]]:
    title = "Scores on test micrographs"
    if not tested(results):
        title = "Scores on validation, where thresholds and model are chosen: optimistic"
    rows = _rows_of(results["supervised"])
    partial = not tested(results) and scored_partially(results)
    if partial:
        title = "Scores on validation, whose labels are partial: precision and F1 are not measured"
        rows = ROWS_OF_PARTIAL_LABELS
    heads = ["supervised control"]
    if results["fixmatch"] is not None:
        method = METHODS.get(results["method"], results["method"])
        heads += [f"{method}, {results['mask']}"]
        if not partial:
            heads += ["gain [95 % interval]"]

    def cells(kind: str, name: str) -> list[str]:
        shown = [_score(results, "supervised", kind, name)]
        if results["fixmatch"] is not None:
            shown.append(_score(results, "fixmatch", kind, name))
            if not partial:
                gain = GAINS.get((kind, name))
                shown.append("" if gain is None else gain_text(results["gain"][gain]))
        return shown

    return title, heads, cells, rows


def _table(
    title: str,
    heads: list[str],
    cells: Callable[[str, str], list[str]],
    rows: list[tuple[str, str]],
) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for head in heads:
        table.add_column(head, justify="right")
    for _, group in groupby(rows, key=itemgetter(0)):
        for kind, name in group:
            table.add_row(_label(kind, name), *cells(kind, name))
        table.add_section()
    return table


def _label(kind: str, name: str) -> str:
    note = " at 0.5" if kind == "pixel" and name != "average_precision" else ""
    return f"{kind} {LABELS.get(name, name)}{note}"


def print_scores(
    scores: Mapping[str, Any], micrographs: int, folder: Path, console: Console
) -> None:
    """Print the ``SCORES`` of one model, with their intervals, and where the files are."""

    def cells(kind: str, name: str) -> list[str]:
        low_high = scores[kind]["ci95"].get(name)
        interval = "" if low_high is None else "[{:.3f}, {:.3f}]".format(*low_high)
        return [f"{scores[kind][name]:.3f}", interval]

    title = f"Scores on {micrographs} micrograph{'' if micrographs == 1 else 's'}"
    console.print(_table(title, ["value", "95 % interval"], cells, _rows_of(scores)))
    if "ci95_reason" in scores["pixel"]:
        say(console, f"no intervals: {scores['pixel']['ci95_reason']}")
    thresholds = (
        f"thresholds: p {scores['pixel']['threshold']:.3f} for pixels (F1 there"
        f" {scores['pixel']['f1_at_validation_threshold']:.3f})"
    )
    if "particle" in scores:
        thresholds += f", {scores['particle']['threshold']:.3f} for particles"
    say(console, thresholds)
    say(console, f"files: {folder}")


def gain_text(gain: Mapping[str, Any]) -> str:
    """Return a gain with its interval, for example ``+0.021 [-0.003, +0.044]``."""
    if gain["value"] is None:
        return NOT_MEASURED
    return gain_with_interval(gain["value"], gain["ci95"])
