"""One run's ``results.json`` as a typed record, whatever version of cryofix wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryofix.sweeps.reading import Unreadable, integer, mapping, number, read_json, sequence, text

SCHEMA = 1
"""The schema that this module knows; other versions are read as far as the keys agree."""

METRICS: Mapping[str, tuple[str, str]] = {
    "particle_f1": ("particle", "f1"),
    "particle_precision": ("particle", "precision"),
    "particle_recall": ("particle", "recall"),
    "particle_average_precision": ("particle", "average_precision"),
    "pixel_f1": ("pixel", "f1"),
    "pixel_precision": ("pixel", "precision"),
    "pixel_recall": ("pixel", "recall"),
    "pixel_f1_at_validation_threshold": ("pixel", "f1_at_validation_threshold"),
    "pixel_average_precision": ("pixel", "average_precision"),
    "pixel_ece": ("pixel", "ece"),
}
"""Our flat name of each score, and where it stands in a SCORES object; all are fractions 0..1."""

Scores = Mapping[str, float]


@dataclass(frozen=True)
class KeepRate:
    """What a symmetric threshold keeps of one model's predictions; fractions 0..1."""

    threshold: float
    particle_keep: float
    background_keep: float


@dataclass(frozen=True)
class MaskKeep:
    """What the mask kept of each predicted class in the last audit of training; 0..1."""

    particle: float
    background: float


CONTROL_ONLY = "supervised only"
"""Stands for the mask of runs with ``method=supervised``, which have no FixMatch scores."""


@dataclass(frozen=True)
class Result:
    """What one finished run measured on its test micrographs."""

    data: str
    mask: str
    mask_config: Mapping[str, object]  # the mask's settings as written; the values may be nested
    ratio: float  # labelled share of the training micrographs, 0 < ratio <= 1
    seed: int | None
    draw: tuple[int | None, int | None]  # split_seed and label_draw: which micrographs are what
    supervised: Scores  # the control: by name of METRICS, only those that were there
    fixmatch: Scores
    validation: Scores  # of FixMatch; empty if the file has none
    validation_control: Scores  # of the control, likewise
    selected: str | None  # on validation: supervised or fixmatch
    run_intervals: Mapping[str, tuple[float, float]]  # 95 %, over test micrographs, of each gain
    keep_rates: tuple[KeepRate, ...]  # of the model that FixMatch starts from, by threshold
    mask_keep: MaskKeep | None
    alarmed: bool | None
    stopped: bool  # whether the guard ended FixMatch before its control
    min_drift: float | None  # log-odds; negative starves particles
    seconds: float | None
    notes: tuple[str, ...] = ()


def read_result(path: Path) -> Result:
    """Read ``results.json``; absent or malformed optional keys are left out.

    Raises Unreadable: the file is not a JSON object, or lacks the mask, the ratio or every score,
    so that it cannot be given a row.
    """
    content = read_json(path)
    mask = text(content.get("mask"), 80)
    ratio = number(content.get("ratio"), 0.0, 1.0)
    supervised, fixmatch = _scores(content.get("supervised")), _scores(content.get("fixmatch"))
    if not mask or not ratio or not (supervised or fixmatch):
        key = "mask" if not mask else "ratio" if not ratio else "fixmatch"
        raise Unreadable(f"{path.name} has no usable value for '{key}'")
    collapse = mapping(content.get("collapse"))
    alarmed, selected = collapse.get("alarmed"), text(content.get("selected"), 20)
    return Result(
        data=text(content.get("data"), 80) or "unknown data",
        mask=mask if fixmatch else CONTROL_ONLY,
        mask_config=mapping(content.get("mask_config")) if fixmatch else {},
        ratio=ratio,
        seed=integer(content.get("seed")),
        draw=(integer(content.get("split_seed")), integer(content.get("label_draw"))),
        supervised=supervised,
        fixmatch=fixmatch,
        validation=_validation(content, "fixmatch"),
        validation_control=_validation(content, "supervised"),
        selected=selected if selected in ("supervised", "fixmatch") else None,
        run_intervals=_intervals(content.get("gain")),
        keep_rates=_keep_rates(content.get("keep_rates")),
        mask_keep=_mask_keep(content.get("mask_keep_rates")),
        alarmed=alarmed if isinstance(alarmed, bool) else None,
        stopped=_stopped(content.get("steps")),
        min_drift=number(collapse.get("min_drift")),
        seconds=_total_seconds(content.get("seconds")),
        notes=_schema_notes(content.get("schema")),
    )


def _stopped(value: object) -> bool:
    steps = mapping(value)
    taken, stage = integer(steps.get("fixmatch")), integer(steps.get("stage"))
    return taken is not None and stage is not None and taken < stage


def _schema_notes(schema: object) -> tuple[str, ...]:
    version = integer(schema)
    if version == SCHEMA:
        return ()
    if version is None:
        return ("no schema number: read as far as its keys are known",)
    age = "older" if version < SCHEMA else "newer"
    return (f"schema {version}, {age} than {SCHEMA}: read as far as its keys are known",)


def _scores(value: object) -> Scores:
    """Return the known scores of a SCORES object (or of a flat one) that are fractions."""
    branch = mapping(value)
    found = {}
    for name, (group, key) in METRICS.items():
        raw = mapping(branch.get(group)).get(key, branch.get(name))
        score = number(raw, 0.0, 1.0)
        if score is not None:
            found[name] = score
    return found


def _validation(content: Mapping[str, object], branch: str) -> Scores:
    """Return a branch's scores on validation; the first results had particle F1 alone."""
    found = _scores(mapping(content.get("validation")).get(branch))
    selected_by = mapping(content.get("selected_by"))
    if not found and selected_by.get("score") == "particle F1 on validation":
        score = number(selected_by.get(branch), 0.0, 1.0)
        return {} if score is None else {"particle_f1": score}
    return found


def _mask_keep(value: object) -> MaskKeep | None:
    rates = mapping(value)
    particle = number(rates.get("particle_keep"), 0.0)
    background = number(rates.get("background_keep"), 0.0)
    return None if particle is None or background is None else MaskKeep(particle, background)


def _intervals(value: object) -> Mapping[str, tuple[float, float]]:
    found = {}
    for name, gain in mapping(value).items():
        ends = [number(end, -1.0, 1.0) for end in sequence(mapping(gain).get("ci95"), 3)]
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None:
            found[name] = (ends[0], ends[1])
    return found


def _keep_rates(value: object) -> tuple[KeepRate, ...]:
    rows = []
    for item in sequence(value, 200):
        entry = mapping(item)
        threshold = number(entry.get("threshold"), 0.0, 1.0)
        particle = number(entry.get("particle_keep"), 0.0, 1.0)
        background = number(entry.get("background_keep"), 0.0, 1.0)
        if threshold is not None and particle is not None and background is not None:
            rows.append(KeepRate(threshold, particle, background))
    return tuple(sorted(rows, key=lambda row: row.threshold))


def _total_seconds(value: object) -> float | None:
    """Return ``seconds.total``, or the sum of the parts, or the number itself."""
    if isinstance(value, dict):
        parts = mapping(value)
        total = number(parts.get("total"), 0.0)
        known = [s for part in parts.values() if (s := number(part, 0.0)) is not None]
        return total if total is not None else (sum(known) if known else None)
    return number(value, 0.0)
