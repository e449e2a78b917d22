"""The ``SCORES`` of a result: what is measured on each micrograph and how it is summed up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cryofix.errors import CryofixError
from cryofix.formats.coordinates import Particles
from cryofix.scoring import curves
from cryofix.scoring.bootstrap import interval, paired_interval
from cryofix.scoring.curves import FloatArray
from cryofix.scoring.particles import ParticleRecord
from cryofix.scoring.pixels import PixelHistogram

RADIUS_FRACTION = 0.5
STRICT_RADIUS_FRACTION = 0.25


@dataclass(frozen=True)
class Thresholds:
    """Where to cut, chosen on validation micrographs: pixels by p, picks by their score."""

    pixel: float = 0.5
    particle: float = 0.5


@dataclass(frozen=True)
class MicrographRecord:
    """Everything that is kept of one scored micrograph, whatever its size.

    Attributes
    ----------
    name
        The micrograph's name, by which two models are paired.
    pixels
        Its probability map against its target.
    particles, strict
        Its picks against its labels within d/2, and within d/4.
    """

    name: str
    pixels: PixelHistogram
    particles: ParticleRecord
    strict: ParticleRecord

    @classmethod
    def measure(
        cls,
        name: str,
        *,
        probability: ArrayLike,
        target: ArrayLike,
        valid: ArrayLike | None,
        picks: Particles,
        truth: Particles,
        diameter: float,
        ignored: Particles | None = None,
        border: float = 0.0,
    ) -> "MicrographRecord":
        """Score one micrograph; every coordinate is in pixels of the probability map.

        Parameters
        ----------
        name
            Name of the micrograph.
        probability, target, valid
            Maps of shape (rows, columns), as for `PixelHistogram.from_arrays`.
        picks, truth, diameter, ignored, border
            As for `ParticleRecord.from_picks`.
        """
        rows, columns = np.shape(probability)
        half, quarter = (
            ParticleRecord.from_picks(
                picks,
                truth,
                diameter=diameter,
                radius_fraction=fraction,
                ignored=ignored,
                shape=(rows, columns),
                border=border,
            )
            for fraction in (RADIUS_FRACTION, STRICT_RADIUS_FRACTION)
        )
        return cls(name, PixelHistogram.from_arrays(probability, target, valid), half, quarter)


def choose_thresholds(validation: Sequence[MicrographRecord]) -> Thresholds:
    """Return the thresholds of the highest pooled F1 on validation micrographs.

    Raises
    ------
    CryofixError
        If there is no validation micrograph.
    """
    pixels, particles, _ = _pooled(validation)
    return Thresholds(pixels.best_threshold(), particles.best_threshold())


def summarise(
    records: Sequence[MicrographRecord],
    thresholds: Thresholds,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the ``SCORES`` of a set of micrographs, ready for JSON.

    All values are finite floats in [0, 1] (zero division: see ``curves``). A ``ci95`` is
    ``[low, high]`` from a bootstrap over micrographs, or null with fewer than two of them.
    Values without ``macro`` in their path are pooled over micrographs; ``macro`` values are means
    over *all* micrographs.

    Parameters
    ----------
    records
        One for each labelled micrograph of the split, those without picks included.
    thresholds
        From `choose_thresholds` on validation micrographs.
    samples, seed
        Of the bootstrap.

    Raises
    ------
    CryofixError
        If there is no micrograph.
    """
    pixels, particles, strict = _pooled(records)
    resample = {"samples": samples, "seed": seed}

    def ci95(rows: FloatArray, statistic: Any) -> Any:
        return interval(rows, statistic, **resample).as_dict()["ci95"]

    at_half = _pixel_rows(records, 0.5)
    at_chosen = _pixel_rows(records, thresholds.pixel)
    picked = _particle_rows(records, thresholds.particle)
    per_micrograph = [_micrograph_row(record, thresholds) for record in records]
    right, wrong, truth = particles.counts_at(thresholds.particle)

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
                "f1": ci95(at_half, _f1),
                "f1_at_validation_threshold": ci95(at_chosen, _f1),
                "average_precision": ci95(*_curve_rows([_pixel_curve(r) for r in records])),
            },
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
                "precision": ci95(picked, _precision),
                "recall": ci95(picked, _recall),
                "f1": ci95(picked, _f1),
                "average_precision": ci95(*_curve_rows([_particle_curve(r) for r in records])),
            },
        },
        "per_micrograph": per_micrograph,
    }


def paired_gain(
    control: Sequence[MicrographRecord],
    fixmatch: Sequence[MicrographRecord],
    control_thresholds: Thresholds,
    fixmatch_thresholds: Thresholds,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return FixMatch minus control, each ``{"value": x, "ci95": [low, high] or null}``.

    ``pixel_f1`` is at 0.5 for both; ``pixel_f1_at_validation_threshold`` and ``particle_f1`` are
    at each model's own thresholds; ``average_precision`` is that of pixels and
    ``particle_average_precision`` that of picks.

    Parameters
    ----------
    control, fixmatch
        Records of the same micrographs, in any order.
    control_thresholds, fixmatch_thresholds
        Each model's thresholds, chosen on validation micrographs.
    samples, seed
        Of the bootstrap over micrographs, which draws the same micrographs for both.

    Raises
    ------
    CryofixError
        If the two sides are not the same micrographs, or there is none.
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

    def gain(before: FloatArray, after: FloatArray, statistic: Any) -> dict[str, Any]:
        return paired_interval(before, after, statistic, samples=samples, seed=seed).as_dict()

    def curve_gain(curve: Any) -> dict[str, Any]:
        rows, statistic = _curve_rows([curve(record) for record in [*control, *paired]])
        return gain(rows[: len(control)], rows[len(control) :], statistic)

    mine, theirs = fixmatch_thresholds, control_thresholds
    return {
        "pixel_f1": gain(_pixel_rows(control, 0.5), _pixel_rows(paired, 0.5), _f1),
        "pixel_f1_at_validation_threshold": gain(
            _pixel_rows(control, theirs.pixel), _pixel_rows(paired, mine.pixel), _f1
        ),
        "particle_f1": gain(
            _particle_rows(control, theirs.particle), _particle_rows(paired, mine.particle), _f1
        ),
        "average_precision": curve_gain(_pixel_curve),
        "particle_average_precision": curve_gain(_particle_curve),
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


def _macro(rows: list[dict[str, Any]], columns: dict[str, str], ci95: Any) -> dict[str, Any]:
    """Return means of columns over micrographs, and the interval of the mean F1."""
    values = {name: np.array([row[column] for row in rows]) for name, column in columns.items()}
    ones = np.ones(len(rows))
    means: dict[str, Any] = {name: float(value.mean()) for name, value in values.items()}
    means["ci95"] = {"f1": ci95(np.stack([values["f1"], ones], axis=1), _mean)}
    return means


def _pixel_rows(records: Sequence[MicrographRecord], threshold: float) -> FloatArray:
    """Return (right, wrong, truth) of each micrograph's pixels."""
    return np.array([r.pixels.counts_at(threshold) for r in records], dtype=np.float64)


def _particle_rows(records: Sequence[MicrographRecord], threshold: float) -> FloatArray:
    """Return (right, wrong, truth) of each micrograph's picks."""
    return np.array([r.particles.counts_at(threshold) for r in records], dtype=np.float64)


def _pixel_curve(record: MicrographRecord) -> tuple[Any, Any, int]:
    """Return right and wrong pixels by score bin, and the truth."""
    return record.pixels.counts[1], record.pixels.counts[0], record.pixels.truth


def _particle_curve(record: MicrographRecord) -> tuple[Any, Any, int]:
    """Return right and wrong picks by score bin, and the truth."""
    return record.particles.matched, record.particles.unmatched, record.particles.truth


def _curve_rows(histograms: list[tuple[Any, Any, int]]) -> tuple[FloatArray, Any]:
    """Return rows for the bootstrap and the average precision as a statistic of their sums.

    Score bins that no micrograph uses change nothing and are left out, which makes resampling
    a few hundred picks cheap.
    """
    right = np.stack([row[0] for row in histograms])
    wrong = np.stack([row[1] for row in histograms])
    used = (right + wrong).any(axis=0)
    width = int(used.sum())
    truth = np.array([[row[2]] for row in histograms])
    rows = np.concatenate([right[:, used], wrong[:, used], truth], axis=1).astype(np.float64)

    def statistic(sums: FloatArray) -> FloatArray:
        return curves.average_precision(
            sums[:, :width], sums[:, width : 2 * width], sums[:, 2 * width]
        )

    return rows, statistic


def _precision(sums: FloatArray) -> FloatArray:
    return curves.precision(sums[:, 0], sums[:, 1], sums[:, 2])


def _recall(sums: FloatArray) -> FloatArray:
    return curves.recall(sums[:, 0], sums[:, 1], sums[:, 2])


def _f1(sums: FloatArray) -> FloatArray:
    return curves.f1_score(sums[:, 0], sums[:, 1], sums[:, 2])


def _mean(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[:, 0] / sums[:, 1])
