"""The ``SCORES`` of a result: what is measured on each micrograph and how it is summed up."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cryofix.errors import CryofixError
from cryofix.metrics import resampling
from cryofix.metrics.curves import FloatArray
from cryofix.metrics.jackknife import FEWEST, Bounds, Statistic, interval, paired_interval, too_few
from cryofix.metrics.micrograph_records import (
    RADIUS_FRACTION,
    STRICT_RADIUS_FRACTION,
    MicrographRecord,
    Thresholds,
)
from cryofix.metrics.particles import ParticleRecord
from cryofix.metrics.pixels import PixelHistogram

__all__ = ["MicrographRecord", "Thresholds", "choose_thresholds", "paired_gain", "summarise"]


def choose_thresholds(validation: Sequence[MicrographRecord]) -> Thresholds:
    """Return the thresholds of the highest pooled F1 on validation micrographs.

    Raises CryofixError if there is no validation micrograph.
    """
    pixels, particles, _ = _pooled(validation)
    return Thresholds(pixels.best_threshold(), particles.best_threshold())


def summarise(records: Sequence[MicrographRecord], thresholds: Thresholds) -> dict[str, Any]:
    """Return the ``SCORES`` of a set of micrographs, ready for JSON.

    All values are finite floats in [0, 1] (zero division: see ``curves``). A ``ci95`` is
    ``[low, high]`` over micrographs, or null with fewer than three of them, and then
    ``ci95_reason`` says so.
    Values without ``macro`` in their path are pooled over micrographs; ``macro`` values are means
    over *all* micrographs.

    Raises CryofixError if there is no micrograph.

    Parameters
    ----------
    records
        One for each labelled micrograph of the split, those without picks included.
    thresholds
        From `choose_thresholds` on validation micrographs.
    """
    pixels, particles, strict = _pooled(records)

    def ci95(rows: FloatArray, statistic: Statistic) -> Bounds:
        return interval(rows, statistic).bounds

    at_half = resampling.pixel_rows(records, 0.5)
    at_chosen = resampling.pixel_rows(records, thresholds.pixel)
    picked = resampling.particle_rows(records, thresholds.particle)
    per_micrograph = [_micrograph_row(record, thresholds) for record in records]
    right, wrong, truth = particles.counts_at(thresholds.particle)
    unknown = {"ci95_reason": too_few(len(records))} if len(records) < FEWEST else {}

    return {
        "pixel": {
            "precision": pixels.precision(0.5),
            "recall": pixels.recall(0.5),
            "f1": pixels.f1(0.5),
            "threshold": thresholds.pixel,
            "f1_at_validation_threshold": pixels.f1(thresholds.pixel),
            "average_precision": pixels.average_precision(),
            "ece": pixels.calibration_error(),
            "ece_predicted_particles": pixels.calibration_error(predicted_particles=True),
            "dice": pixels.dice(0.5),
            "prior": pixels.prior,
            "macro": _macro(per_micrograph, {"f1": "pixel_f1"}, ci95),
            "ci95": {
                "f1": ci95(at_half, resampling.f1),
                "f1_at_validation_threshold": ci95(at_chosen, resampling.f1),
                "average_precision": ci95(*resampling.pixel_curve_rows(records)),
            },
            **unknown,
        },
        "particle": {
            "precision": particles.precision(thresholds.particle),
            "recall": particles.recall(thresholds.particle),
            "f1": particles.f1(thresholds.particle),
            "threshold": thresholds.particle,
            "average_precision": particles.average_precision(),
            "radius_fraction": RADIUS_FRACTION,
            "truth": truth,
            "picks": right + wrong,
            "matched": right,
            "strict": {
                "precision": strict.precision(thresholds.particle),
                "recall": strict.recall(thresholds.particle),
                "f1": strict.f1(thresholds.particle),
                "average_precision": strict.average_precision(),
                "radius_fraction": STRICT_RADIUS_FRACTION,
            },
            "macro": _macro(
                per_micrograph,
                {name: f"particle_{name}" for name in ("precision", "recall", "f1")},
                ci95,
            ),
            "ci95": {
                "precision": ci95(picked, resampling.precision),
                "recall": ci95(picked, resampling.recall),
                "f1": ci95(picked, resampling.f1),
                "average_precision": ci95(*resampling.particle_curve_rows(records)),
            },
            **unknown,
        },
        "per_micrograph": per_micrograph,
    }


def paired_gain(
    control: Sequence[MicrographRecord],
    fixmatch: Sequence[MicrographRecord],
    control_thresholds: Thresholds,
    fixmatch_thresholds: Thresholds,
) -> dict[str, dict[str, Any]]:
    """Return FixMatch minus control, each ``{"value": x, "ci95": [low, high] or null}``.

    With fewer than three micrographs ``ci95`` is null, and ``ci95_reason`` says so.

    ``pixel_f1`` is at 0.5 for both; ``pixel_f1_at_validation_threshold`` and ``particle_f1`` are
    at each model's own thresholds; ``average_precision`` is that of pixels and
    ``particle_average_precision`` that of picks.

    Raises CryofixError if the two sides are not the same micrographs, or there is none.

    Parameters
    ----------
    control, fixmatch
        Records of the same micrographs, in any order.
    control_thresholds, fixmatch_thresholds
        Each model's thresholds, chosen on validation micrographs.
    """
    by_name = {record.name: record for record in fixmatch}
    names = [record.name for record in control]
    if not names or set(names) != set(by_name) or len(names) != len(fixmatch):
        odd = sorted(set(names) ^ set(by_name))
        raise CryofixError(
            f"a paired gain needs the same micrographs for both models, but {len(control)} and "
            f"{len(fixmatch)} were scored (not shared: {', '.join(odd[:5]) or 'none'}): score "
            "both on one split"
        )
    paired = [by_name[name] for name in names]
    both = [*control, *paired]

    def gain(before: FloatArray, after: FloatArray, statistic: Statistic) -> dict[str, Any]:
        return paired_interval(before, after, statistic).as_dict()

    def curve_gain(rows: FloatArray, statistic: Statistic) -> dict[str, Any]:
        return gain(rows[: len(control)], rows[len(control) :], statistic)

    mine, theirs = fixmatch_thresholds, control_thresholds
    return {
        "pixel_f1": gain(
            resampling.pixel_rows(control, 0.5), resampling.pixel_rows(paired, 0.5), resampling.f1
        ),
        "pixel_f1_at_validation_threshold": gain(
            resampling.pixel_rows(control, theirs.pixel),
            resampling.pixel_rows(paired, mine.pixel),
            resampling.f1,
        ),
        "particle_f1": gain(
            resampling.particle_rows(control, theirs.particle),
            resampling.particle_rows(paired, mine.particle),
            resampling.f1,
        ),
        "average_precision": curve_gain(*resampling.pixel_curve_rows(both)),
        "particle_average_precision": curve_gain(*resampling.particle_curve_rows(both)),
    }


def _pooled(
    records: Sequence[MicrographRecord],
) -> tuple[PixelHistogram, ParticleRecord, ParticleRecord]:
    """Return the summed records."""
    if not records:
        raise CryofixError(
            "no labelled micrograph to score: give the split at least one with coordinates"
        )
    return (
        sum((record.pixels for record in records), PixelHistogram.empty()),
        sum((record.particles for record in records), ParticleRecord.empty()),
        sum((record.strict for record in records), ParticleRecord.empty()),
    )


def _micrograph_row(record: MicrographRecord, thresholds: Thresholds) -> dict[str, Any]:
    """Return one row of ``per_micrograph``."""
    right, wrong, truth = record.particles.counts_at(thresholds.particle)
    return {
        "name": record.name,
        "pixel_f1": record.pixels.f1(0.5),
        "pixel_f1_at_validation_threshold": record.pixels.f1(thresholds.pixel),
        "particle_precision": record.particles.precision(thresholds.particle),
        "particle_recall": record.particles.recall(thresholds.particle),
        "particle_f1": record.particles.f1(thresholds.particle),
        "truth": truth,
        "picks": right + wrong,
        "matched": right,
    }


def _macro(
    rows: list[dict[str, Any]],
    columns: dict[str, str],
    ci95: Callable[[FloatArray, Statistic], Bounds],
) -> dict[str, Any]:
    """Return means of columns over micrographs, and the interval of the mean F1."""
    values = {name: np.array([row[column] for row in rows]) for name, column in columns.items()}
    ones = np.ones(len(rows))
    means: dict[str, Any] = {name: float(value.mean()) for name, value in values.items()}
    means["ci95"] = {"f1": ci95(np.stack([values["f1"], ones], axis=1), resampling.mean)}
    return means
