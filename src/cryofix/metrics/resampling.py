"""Counts of each micrograph as rows for the jackknife, and statistics of their sums."""

from collections.abc import Sequence

import numpy as np

from cryofix.metrics import curves
from cryofix.metrics.curves import FloatArray, IntArray
from cryofix.metrics.jackknife import Statistic
from cryofix.metrics.micrograph_records import MicrographRecord


def pixel_rows(records: Sequence[MicrographRecord], threshold: float) -> FloatArray:
    """Return (right, wrong, truth) of each micrograph's pixels."""
    return np.array([r.pixels.counts_at(threshold) for r in records], dtype=np.float64)


def particle_rows(records: Sequence[MicrographRecord], threshold: float) -> FloatArray:
    """Return (right, wrong, truth) of each micrograph's picks."""
    return np.array([r.particles.counts_at(threshold) for r in records], dtype=np.float64)


def pixel_curve_rows(records: Sequence[MicrographRecord]) -> tuple[FloatArray, Statistic]:
    """Return rows of pixels by score bin, and the average precision of their sums."""
    right = np.stack([r.pixels.counts[1] for r in records])
    wrong = np.stack([r.pixels.counts[0] for r in records])
    return _curve_rows(right, wrong, np.array([r.pixels.truth for r in records]))


def particle_curve_rows(records: Sequence[MicrographRecord]) -> tuple[FloatArray, Statistic]:
    """Return rows of picks by score bin, and the average precision of their sums."""
    right = np.stack([r.particles.matched for r in records])
    wrong = np.stack([r.particles.unmatched for r in records])
    return _curve_rows(right, wrong, np.array([r.particles.truth for r in records]))


def _curve_rows(right: IntArray, wrong: IntArray, truth: IntArray) -> tuple[FloatArray, Statistic]:
    """Join the columns; score bins that nobody uses change nothing and cost time."""
    used = (right + wrong).any(axis=0)
    width = int(used.sum())
    rows = np.concatenate([right[:, used], wrong[:, used], truth[:, None]], axis=1)

    def statistic(sums: FloatArray) -> FloatArray:
        return curves.average_precision(
            sums[:, :width], sums[:, width : 2 * width], sums[:, 2 * width]
        )

    return rows.astype(np.float64), statistic


def precision(sums: FloatArray) -> FloatArray:
    """Return the precision of summed (right, wrong, truth)."""
    return curves.precision(sums[:, 0], sums[:, 1], sums[:, 2])


def recall(sums: FloatArray) -> FloatArray:
    """Return the recall of summed (right, wrong, truth)."""
    return curves.recall(sums[:, 0], sums[:, 1], sums[:, 2])


def f1(sums: FloatArray) -> FloatArray:
    """Return the F1 of summed (right, wrong, truth)."""
    return curves.f1_score(sums[:, 0], sums[:, 1], sums[:, 2])


def mean(sums: FloatArray) -> FloatArray:
    """Return the mean of summed (value, 1)."""
    return np.asarray(sums[:, 0] / sums[:, 1])
