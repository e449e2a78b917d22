"""One run's ``results.json`` as a flat record, a row of the frame of all runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryofix.sweeps.reading import Unreadable, integer, mapping, number, read_json, sequence, text

SCHEMA = 1
"""The schema that this module knows; other versions are read as far as the keys agree."""

METRICS: Mapping[str, str] = {
    "particle_f1": "Particle F1",
    "particle_precision": "Particle precision",
    "particle_recall": "Particle recall",
    "particle_average_precision": "Particle average precision",
    "particle_positive_unlabelled_f1": "Particle positive-unlabelled F1",
    "pixel_f1": "Pixel F1 at 0.5",
    "pixel_precision": "Pixel precision at 0.5",
    "pixel_recall": "Pixel recall at 0.5",
    "pixel_f1_at_validation_threshold": "Pixel F1 at the validation threshold",
    "pixel_average_precision": "Pixel average precision",
    "pixel_ece": "Pixel calibration error",
}
"""The title of each score; its name is GROUP_KEY of its place in a SCORES object; all are 0..1."""

CONTROL_ONLY = "supervised only"
"""Stands for the mask of runs with ``method=supervised``, which have no FixMatch scores."""

Result = Mapping[str, Any]
"""What one finished run measured; see :func:`read_run_result`."""


def read_run_result(path: Path) -> Result:
    """Read ``results.json``; what is absent or malformed is None, or empty.

    Scores stand under ``BRANCH_METRIC`` and ``validation_BRANCH_METRIC``, with the branches
    ``supervised`` (the control) and ``fixmatch``. ``keep_rates`` has a tuple (threshold, particle
    keep, background keep) for each threshold, of the model that FixMatch starts from;
    ``particle_keep`` and ``background_keep`` are those of the mask in the last audit.
    ``unequal`` says whether FixMatch and its control took different numbers of steps; nothing but
    the guard could do that before ``stopped_by_guard`` was written. ``run_intervals`` holds the
    95 % interval of each gain over test micrographs. A run whose split has no test micrograph has
    scores on validation alone.

    Raises Unreadable: the file is not a JSON object, or lacks the mask, the ratio or every score,
    so that it cannot be given a row.
    """
    content = read_json(path)
    version, mask = integer(content.get("schema")), text(content.get("mask"), 80)
    ratio = number(content.get("ratio"), 0.0, 1.0)
    supervised, fixmatch = (_scores(content.get(name)) for name in ("supervised", "fixmatch"))
    collapse, steps, validation, rates = (
        mapping(content.get(key)) for key in ("collapse", "steps", "validation", "mask_keep_rates")
    )
    control_validated, validated = (
        _scores(validation.get(name)) if mapping(content.get(name)) else {}
        for name in ("supervised", "fixmatch")
    )
    branches = (supervised, fixmatch, control_validated, validated)
    if not mask or not ratio or not any(branches):
        key = "mask" if not mask else "ratio" if not ratio else "fixmatch"
        raise Unreadable(f"{path.name} has no usable value for '{key}'")
    semi_supervised = bool(fixmatch or validated)
    alarmed, selected = collapse.get("alarmed"), text(content.get("selected"), 20)
    stage, control, taken = (integer(steps.get(key)) for key in ("stage", "supervised", "fixmatch"))
    control = stage if control is None else control
    particle, background = (
        number(rates.get(f"{kind}_keep"), 0.0) for kind in ("particle", "background")
    )
    known = particle is not None and background is not None
    age = "no schema number"
    if version is not None:
        age = f"schema {version}, {'older' if version < SCHEMA else 'newer'} than {SCHEMA}"
    return {
        "data": text(content.get("data"), 80) or "unknown data",
        "mask": mask if semi_supervised else CONTROL_ONLY,
        "mask_config": mapping(content.get("mask_config")) if semi_supervised else {},
        "ratio": ratio,
        **{key: integer(content.get(key)) for key in ("seed", "split_seed", "label_draw")},
        "selected": selected if selected in ("supervised", "fixmatch") else None,
        **_flat("fixmatch", fixmatch),
        **_flat("supervised", supervised),
        **_flat("validation_fixmatch", validated),
        **_flat("validation_supervised", control_validated),
        "tested": bool(fixmatch or supervised),
        "run_intervals": _intervals(content.get("gain")),
        "keep_rates": _keep_rates(content.get("keep_rates")),
        "particle_keep": particle if known else None,
        "background_keep": background if known else None,
        "alarmed": alarmed if isinstance(alarmed, bool) else None,
        "unequal": taken is not None and control is not None and taken != control,
        "stopped_by_guard": content.get("stopped_by_guard") is not False,
        "min_drift": number(collapse.get("min_drift")),
        "seconds": _total(mapping(content.get("seconds"))),
        "note": "" if version == SCHEMA else f"{age}: read as far as its keys are known",
    }


def _scores(value: object) -> Mapping[str, float | None]:
    """Return the scores of a SCORES object, or of a flat one, as validation has; empty if none."""
    branch, found = mapping(value), {}
    for name in METRICS:
        group, _, key = name.partition("_")
        found[name] = number(mapping(branch.get(group)).get(key, branch.get(name)), 0.0, 1.0)
    return found if any(score is not None for score in found.values()) else {}


def _flat(branch: str, scores: Mapping[str, float | None]) -> dict[str, float | None]:
    return {f"{branch}_{name}": scores.get(name) for name in METRICS}


def _intervals(value: object) -> Mapping[str, tuple[float, float]]:
    found = {}
    for name, gain in mapping(value).items():
        ends = [number(end, -1.0, 1.0) for end in sequence(mapping(gain).get("ci95"), 3)]
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None:
            found[name] = (ends[0], ends[1])
    return found


def _keep_rates(value: object) -> tuple[tuple[float, ...], ...]:
    keys = ("threshold", "particle_keep", "background_keep")
    rows: list[Any] = [
        tuple(number(mapping(item).get(key), 0.0, 1.0) for key in keys)
        for item in sequence(value, 200)
    ]
    return tuple(sorted(row for row in rows if None not in row))


def _total(parts: Mapping[str, object]) -> float | None:
    """Return ``seconds.total``, or the sum of the parts."""
    known = [s for part in parts.values() if (s := number(part, 0.0)) is not None]
    total = number(parts.get("total"), 0.0)
    return total if total is not None else (sum(known) if known else None)
