"""What can be measured where some particles have no label.

A pick without a label may be right there, so that nobody can count wrong picks. Recall of the
labels can be counted, and how many picks there are against how many particles are expected: if the
labels are drawn at random from the particles, about recall times the expected number are right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryofix.metrics.curves import EDGES, Counts, Curve, FloatArray
from cryofix.metrics.particles import MicrographRecord, Thresholds, pooled_particles, pooled_pixels
from cryofix.metrics.pixels import PixelHistogram


@dataclass(frozen=True)
class Expectation:
    """How many particles there are, labelled or not."""

    prior: float
    """Share of particle pixels."""
    disc_px: float
    """Area of the disc of one particle, in pixels of the maps."""

    def particles(self, pixels: int) -> float:
        """Return the number of particles in an area of so many pixels."""
        return self.prior * pixels / self.disc_px

    def thresholds(self, records: Sequence[MicrographRecord]) -> Thresholds:
        """Return where there are, over all micrographs together, as many positives as expected.

        It is never so in each of them: some may be empty.
        """
        pixels, particles = pooled_pixels(records), pooled_particles(records)
        area = pixels.pixels
        return Thresholds(
            threshold_of(pixels, self.prior * area),
            threshold_of(particles, self.particles(area)),
            by_count=True,
        )

    def pixels_at_half(self, pixels: PixelHistogram) -> Counts:
        """Return about what complete labels would count of pixels with p >= 0.5."""
        return completed(pixels.counts_at(0.5), self.prior * pixels.pixels)

    def scores(self, records: Sequence[MicrographRecord]) -> dict[str, float]:
        """Return what can be measured on partially labelled micrographs, or parts of them.

        ``particle_recall_at_expected`` is recall of as many best picks as particles are expected:
        with complete labels F1 would be the same. ``particle_positive_unlabelled_f1`` is the
        highest :func:`positive_unlabelled_f1` at any threshold. ``pixel_recall`` is at 0.5.
        """
        pixels, particles = pooled_pixels(records), pooled_particles(records)
        expected = self.particles(pixels.pixels)
        return {
            "particle_recall_at_expected": particles.recall(threshold_of(particles, expected)),
            "particle_positive_unlabelled_f1": float(
                positive_unlabelled_f1(particles.binned, expected).max()
            ),
            "pixel_recall": pixels.recall(0.5),
        }


def completed(counts: Counts, expected: float) -> Counts:
    """Return about what complete labels would count, from those of partial ones.

    Of the picks, right and wrong, recall times ``expected`` are right, and not more than there are.
    """
    right, wrong, truth = (np.asarray(part, dtype=np.float64) for part in counts)
    picks = right + wrong
    found = np.minimum(expected * right / np.maximum(truth, 1), picks)
    return Counts(found, picks - found, np.asarray(expected))


def positive_unlabelled_f1(binned: Counts, expected: float) -> FloatArray:
    """Return the positive-unlabelled F1 of Lee and Liu (2003) at each edge of the score bins.

    Theirs is recall squared over the share that is predicted positive. Times ``expected`` over all,
    it is precision times recall, in [0, 1], and like F1 it is high only where both are.
    """
    counts = completed(binned.at_or_above(), expected)
    product: FloatArray = counts.precision * counts.recall
    return product.clip(0.0, 1.0)


def threshold_of(curve: Curve, expected: float) -> float:
    """Return the highest threshold at which the number of positives is nearest to ``expected``."""
    right, wrong, _ = curve.binned.at_or_above()
    away = np.abs(right + wrong - expected)
    return float(EDGES[np.flatnonzero(away == away.min())[-1]])
