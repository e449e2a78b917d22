"""The files that a diagnosis leaves."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.diagnosis.forecast import Forecast
from cryofix.diagnosis.remedy import Change
from cryofix.diagnosis.verdict import words
from cryofix.files import atomic_write, write_json

SCHEMA = 1


def write_files(diagnosis: Diagnosis, folder: Path, forecast: Forecast | None = None) -> None:
    """Write ``keep_rates.csv`` and ``diagnosis.json``; all rates are fractions, null is unknown."""
    named = [{"mask": "symmetric", **row} for row in diagnosis.rows]
    named.append({"mask": diagnosis.policy.name, "threshold": None, **diagnosis.rates})
    with atomic_write(folder / "keep_rates.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(named[0]))
        writer.writeheader()
        writer.writerows(named)
    # JSON knows neither infinite numbers nor NaN: null stands for them.
    content = _content(diagnosis) | {"forecast": forecast and asdict(forecast)}
    content = json.loads(json.dumps(content), parse_constant=lambda _: None)
    write_json(folder / "diagnosis.json", content)


def _content(diagnosis: Diagnosis) -> dict[str, Any]:
    histogram, course = diagnosis.histogram, diagnosis.course
    scored = histogram.scored() if histogram.known else None
    scores = (
        None
        if scored is None
        else {
            "precision": scored.precision(),
            "recall": scored.recall(),
            "f1": scored.f1(),
            "average_precision": scored.average_precision(),
            "ece": scored.calibration_error(),
        }
    )
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
        "remedy": diagnosis.remedy and _change(diagnosis.remedy),
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
