"""The files that a diagnosis leaves."""

import csv
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.diagnosis.remedy import Change
from cryofix.diagnosis.verdict import words
from cryofix.files import atomic_write, write_json

SCHEMA = 1


def write_files(diagnosis: Diagnosis, folder: Path) -> None:
    """Write ``keep_rates.csv`` and ``diagnosis.json``; all rates are fractions, null is unknown.

    Parameters
    ----------
    diagnosis
        What to write.
    folder
        Where to.
    """
    named = [{"mask": "symmetric", **row} for row in diagnosis.rows]
    named.append({"mask": diagnosis.policy.name, "threshold": None, **diagnosis.rates})
    with atomic_write(folder / "keep_rates.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(named[0]))
        writer.writeheader()
        writer.writerows(named)
    write_json(folder / "diagnosis.json", _plain(_content(diagnosis)))


def _content(diagnosis: Diagnosis) -> dict[str, Any]:
    histogram, course = diagnosis.histogram, diagnosis.course
    scores = None
    if histogram.known:
        scored = histogram.scored()
        scores = {
            "precision": scored.precision(),
            "recall": scored.recall(),
            "f1": scored.f1(),
            "average_precision": scored.average_precision(),
            "ece": scored.calibration_error(),
        }
    return {
        "schema": SCHEMA,
        "source": diagnosis.observation.source,
        "pixels": histogram.pixels,
        "pixels_with_truth": histogram.known,
        "prior": diagnosis.prior,
        "predicted_share": histogram.predicted_share(),
        "mean_p": histogram.mean(),
        "mask": diagnosis.policy.name,
        "mask_says": diagnosis.policy.describe(),
        "equivalent_to": diagnosis.equivalents,
        "verdict": words(diagnosis),
        "keep_rates": diagnosis.rows,
        "mask_keep_rates": diagnosis.rates,
        "particle_threshold": diagnosis.masked.particle_threshold,
        "background_threshold": diagnosis.masked.background_threshold,
        "balance_step": diagnosis.step,
        "outcome": course.outcome,
        "outcome_after_generations": course.until,
        "generations": [asdict(generation) for generation in course.generations],
        "remedy": None if diagnosis.remedy is None else _change(diagnosis.remedy),
        "alternatives": [_change(change) for change in diagnosis.changes],
        "scores": scores,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "overrides": change.overrides,
        "changed_pixels": change.changed,
        "follows_the_teacher": change.follows,
        **change.rates,
    }


def _plain(node: Any) -> Any:
    """Return the content with null for what JSON cannot say: no infinite and no NaN number."""
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
