"""What the comparison with Topaz found, as a table and as JSON."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cryofix.experiment.comparison import Scored, gains
from cryofix.files import atomic_write, write_json
from cryofix.reporting.console import gain_text

TITLES = {
    "cryofix_1": "cryofix, 1 label",
    "topaz_1": "Topaz, 1 label",
    "cryofix_2": "cryofix, 2 labels",
    "topaz_2": "Topaz, 2 labels",
    "topaz_pretrained": "Topaz, pretrained",
}
COLUMNS = (
    *("", "F1 [95 %]", "precision", "recall", "average precision"),
    *("training, s", "its CPU, s", "picking, s a micrograph"),
)


def write_report(folder: Path, measured: Mapping[str, Any]) -> None:
    """Print the table, and write it as ``report.md`` and everything as ``report.json``.

    Parameters
    ----------
    folder
        Where to write.
    measured
        What ``Comparison.measure`` returns.
    """
    scored: Mapping[str, Scored] = measured["scored"]
    rows: Mapping[str, Any] = measured["rows"]
    scores = {name: one.as_dict() for name, one in scored.items()}
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [_row(TITLES[name], rows[name], scores[name]["particle"]) for name in TITLES]
    lines.append("")
    paired = {}
    for count in (1, 2):
        ours, theirs = f"cryofix_{count}", f"topaz_{count}"
        paired[ours] = gains([scored[theirs], scored[ours]])[ours]
        f1, precision = (paired[ours][key] for key in ("particle_f1", "particle_average_precision"))
        faster = [
            rows[each]["seconds_per_micrograph"] / rows[ours]["seconds_per_micrograph"]
            for each in (theirs, "topaz_pretrained")
        ]
        branches = ", ".join(f"{key} {f1:.3f}" for key, f1 in rows[ours]["branches"].items())
        lines.append(
            f"{TITLES[ours]}, over Topaz's with the same: F1 {gain_text(f1)}, average precision"
            f" {gain_text(precision)}; picks {faster[0]:.1f} x faster than it and {faster[1]:.1f} x"
            f" than the pretrained one. Selected {rows[ours]['selected']} (F1 of {branches});"
            f" {rows[ours]['control_seconds']:.0f} s of the training were the control's."
        )
    trainings = [row["training"] for row in rows.values() if "training" in row]
    machine = {
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "loads before trainings": [training["load_before"] for training in trainings],
        "torch": torch.__version__,
        "dates": sorted({training["date"] for training in trainings}),
    }
    lines.append(
        f"Topaz's normalisation: {measured['normalise_seconds']:.2f} s a micrograph, in no column. "
        + "; ".join(f"{key}: {value}" for key, value in machine.items())
    )
    text = "\n".join(lines)
    print(text)
    with atomic_write(folder / "report.md") as temporary:
        temporary.write_text(text + "\n")
    others = {key: measured[key] for key in ("rows", "normalise_seconds", "settings", "topaz")}
    write_json(
        folder / "report.json", {**others, "scores": scores, "gains": paired, "machine": machine}
    )


def _row(title: str, row: Mapping[str, Any], particle: Mapping[str, Any]) -> str:
    f1 = f"{particle['f1']:.3f}"
    if particle["ci95"]["f1"] is not None:
        f1 += " [{:.3f}, {:.3f}]".format(*particle["ci95"]["f1"])
    numbers = [f"{particle[key]:.3f}" for key in ("precision", "recall", "average_precision")]
    training = row.get("training")
    times = (
        [f"{training[key]:.0f}" for key in ("seconds", "cpu_seconds")] if training else ["-"] * 2
    )
    cells = [title, f1, *numbers, *times, f"{row['seconds_per_micrograph']:.2f}"]
    return f"| {' | '.join(cells)} |"
