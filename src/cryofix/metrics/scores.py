"""The ``SCORES`` of a result: what is measured on each micrograph and how it is summed up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cryofix.errors import CryofixError
from cryofix.metrics import jackknife
from cryofix.metrics.curves import Counts, Curve, FloatArray
from cryofix.metrics.jackknife import (
    FEWEST,
    Bounds,
    Statistic,
    curve_rows,
    interval,
    paired_interval,
    rows_at,
    too_few,
)
from cryofix.metrics.particles import (
    RADIUS_FRACTION,
    STRICT_RADIUS_FRACTION,
    MicrographRecord,
    Thresholds,
    particle_records,
    pooled_particles,
    pooled_pixels,
)

MEASURES = ("precision", "recall", "f1")
GIVEN = ("threshold", "radius_fraction")  # in the scores, but not measured on their micrographs


def choose_thresholds(validation: Sequence[MicrographRecord]) -> Thresholds:
    """Return the thresholds of the highest pooled F1 on validation micrographs.

    Raises CryofixError if there is no validation micrograph.
    """
    pixel = pooled_pixels(validation).best_threshold()
    if not particle_records(validation):
        return Thresholds(pixel)
    return Thresholds(pixel, pooled_particles(validation).best_threshold())


def summarise_scores(records: Sequence[MicrographRecord], thresholds: Thresholds) -> dict[str, Any]:
    """Return the ``SCORES`` of a set of micrographs, ready for JSON.

    All values are finite floats in [0, 1] (zero division: see `curves.Counts`). A ``ci95`` is
    ``[low, high]`` over micrographs, or null with fewer than three of them, and then
    ``ci95_reason`` says so.
    Records of masks have no ``particle`` scores.
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
    pixels, pixel_curves = pooled_pixels(records), [record.pixels for record in records]

    def ci95(rows: FloatArray, statistic: Statistic) -> Bounds:
        return interval(rows, statistic).bounds

    at_half = rows_at(pixel_curves, 0.5)
    at_chosen = rows_at(pixel_curves, thresholds.pixel)
    per_micrograph = [_micrograph_row(record, thresholds) for record in records]
    unknown = {"ci95_reason": too_few(len(records))} if len(records) < FEWEST else {}
    scores = {
        "pixel": {
            **_measures(pixels, 0.5),
            "threshold": thresholds.pixel,
            "f1_at_validation_threshold": pixels.f1(thresholds.pixel),
            "average_precision": pixels.average_precision(),
            "ece": pixels.calibration_error(),
            "ece_predicted_particles": pixels.calibration_error(predicted_particles=True),
            "dice": pixels.f1(0.5),
            "prior": pixels.prior,
            "macro": _macro(per_micrograph, {"f1": "pixel_f1"}, ci95),
            "ci95": {
                "f1": ci95(at_half, jackknife.f1),
                "f1_at_validation_threshold": ci95(at_chosen, jackknife.f1),
                "average_precision": ci95(*curve_rows(pixel_curves)),
            },
            **unknown,
        }
    }
    if particle_curves := particle_records(records):
        particles = pooled_particles(records)
        strict = pooled_particles(records, strict=True)
        picked = rows_at(particle_curves, thresholds.particle)
        scores["particle"] = {
            **_measures(particles, thresholds.particle),
            "threshold": thresholds.particle,
            "average_precision": particles.average_precision(),
            "radius_fraction": RADIUS_FRACTION,
            **_picks(particles.counts_at(thresholds.particle)),
            "strict": {
                **_measures(strict, thresholds.particle),
                "average_precision": strict.average_precision(),
                "radius_fraction": STRICT_RADIUS_FRACTION,
            },
            "macro": _macro(per_micrograph, {name: f"particle_{name}" for name in MEASURES}, ci95),
            "ci95": {
                "precision": ci95(picked, jackknife.precision),
                "recall": ci95(picked, jackknife.recall),
                "f1": ci95(picked, jackknife.f1),
                "average_precision": ci95(*curve_rows(particle_curves)),
            },
            **unknown,
        }
    return {**scores, "per_micrograph": per_micrograph}


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
    ``particle_average_precision`` that of picks. Records of masks have no gains of particles.

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
    both = [*control, *(by_name[name] for name in names)]
    pixels, picks = [each.pixels for each in both], particle_records(both)

    def gain(before: FloatArray, after: FloatArray, statistic: Statistic) -> dict[str, Any]:
        return paired_interval(before, after, statistic).as_dict()

    def f1_gain(curves: Sequence[Curve], before: float, after: float) -> dict[str, Any]:
        ours, theirs = curves[: len(names)], curves[len(names) :]
        return gain(rows_at(ours, before), rows_at(theirs, after), jackknife.f1)

    def curve_gain(curves: Sequence[Curve]) -> dict[str, Any]:
        rows, statistic = curve_rows(curves)
        return gain(rows[: len(names)], rows[len(names) :], statistic)

    mine, theirs = fixmatch_thresholds, control_thresholds
    gains = {
        "pixel_f1": f1_gain(pixels, 0.5, 0.5),
        "pixel_f1_at_validation_threshold": f1_gain(pixels, theirs.pixel, mine.pixel),
        "average_precision": curve_gain(pixels),
    }
    if picks:
        gains["particle_f1"] = f1_gain(picks, theirs.particle, mine.particle)
        gains["particle_average_precision"] = curve_gain(picks)
    return gains


def not_measured(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores or gains of the same keys in which every measured value is null.

    ``ci95_reason`` says why, and ``per_micrograph`` is empty.
    """
    reason = {"ci95_reason": "no test micrograph"} if "ci95" in measured else {}
    unknown: dict[str, Any] = {
        key: not_measured(value) if isinstance(value, Mapping) else value if key in GIVEN else None
        for key, value in measured.items()
    }
    return unknown | reason | ({"per_micrograph": []} if "per_micrograph" in measured else {})


def _measures(curve: Curve, threshold: float) -> dict[str, float]:
    """Return precision, recall and F1 at a threshold."""
    counts = curve.counts_at(threshold)
    return {name: float(getattr(counts, name)) for name in MEASURES}


def _picks(counts: Counts) -> dict[str, int]:
    """Return how many labels and picks there are, and how many belong together."""
    right, wrong, truth = counts
    return {"truth": truth, "picks": right + wrong, "matched": right}


def _micrograph_row(record: MicrographRecord, thresholds: Thresholds) -> dict[str, Any]:
    """Return one row of ``per_micrograph``."""
    row = {
        "name": record.name,
        "pixel_f1": record.pixels.f1(0.5),
        "pixel_f1_at_validation_threshold": record.pixels.f1(thresholds.pixel),
    }
    if record.particles is None:
        return row
    picked = _measures(record.particles, thresholds.particle)
    return {
        **row,
        **{f"particle_{name}": value for name, value in picked.items()},
        **_picks(record.particles.counts_at(thresholds.particle)),
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
    means["ci95"] = {"f1": ci95(np.stack([values["f1"], ones], axis=1), jackknife.mean)}
    return means
