"""Precision, recall, F1 and average precision from counts over one fixed grid of thresholds.

Pixels and particles are both scored by counting, for each score bin, how many positives were
right and how many were wrong. Counts add up over micrographs, so pooling and resampling
micrographs are sums, and everything else is a formula on the last axis of an array of counts.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_EVEN_STEPS = 3000
_STEPS_PER_OCTAVE = 8


def _threshold_grid() -> NDArray[np.float32]:
    """Return the left edges of the score bins: even steps, refined where networks saturate.

    3000 even steps have 0.5, every multiple of 0.01 and every multiple of 1/15 (the bins of the
    calibration error) among their edges. An over-confident or a collapsed network puts nearly
    all its scores into the first or the last of them, where its ranking would be lost. So the
    ends are cut on in constant ratio: by 8 to the octave from 0.005 down to 3e-10, and above
    0.995 until 1.6e-7 are left, about float32's resolution.
    """
    even = np.arange(_EVEN_STEPS) / _EVEN_STEPS
    halvings = np.arange(24 * _STEPS_PER_OCTAVE) / _STEPS_PER_OCTAVE
    tail = 16 / _EVEN_STEPS * 2.0**-halvings
    towards_one = 1 - tail[: 15 * _STEPS_PER_OCTAVE + 1]
    return np.unique(np.concatenate([even, tail, towards_one]).astype(np.float32))


EDGES: NDArray[np.float32] = _threshold_grid()
"""Left edges of the score bins, float32, ascending, the first is 0; the last bin includes 1."""
EDGES.flags.writeable = False
BINS: int = len(EDGES)


def checked_scores(scores: ArrayLike, what: str) -> NDArray[np.float32]:
    """Return ``scores`` flat as float32 and make sure that they are probabilities.

    Float32 is what networks give and what thresholds are compared in: a float32 0.7 passes
    the threshold 0.7, although it is smaller than the float64 of that name.

    Raises CryofixError if a value is NaN or outside [0, 1].
    """
    flat: NDArray[np.float32] = np.asarray(scores, dtype=np.float32).ravel()
    # NaN fails both comparisons, so it is caught here as well.
    if flat.size and not (flat.min() >= 0 and flat.max() <= 1):
        bad = "NaN" if np.isnan(flat).any() else f"{flat.min():g} to {flat.max():g}"
        raise CryofixError(
            f"{what} must lie in [0, 1], but hold {bad}: apply the sigmoid to logits, "
            "and look for a diverged loss if they are NaN"
        )
    return flat


def score_bins(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the index of the bin of each score in [0, 1]: ``EDGES[i] <= score < EDGES[i + 1]``."""
    return np.searchsorted(EDGES, scores, side="right") - 1


def threshold_index(threshold: float) -> int:
    """Return the index of the first edge at or above ``threshold``.

    Exact for the edges themselves, which include all multiples of 0.01; any other threshold is
    rounded up by less than 1/3000. A threshold above the last edge takes the last edge.
    """
    return min(int(np.searchsorted(EDGES, np.float32(threshold), side="left")), BINS - 1)


class Counts(NamedTuple):
    """Right and wrong predictions, and what there was to find: numbers, or arrays of one shape.

    `average_precision`, `best_threshold` and `at_or_above` read ``right`` and ``wrong`` by score
    bin on the last axis, not cumulated; ``truth`` has the shape of the other axes.
    """

    right: Any
    wrong: Any
    truth: Any
    """It may exceed the sum of ``right``: some particles are found at no threshold."""

    @property
    def precision(self) -> FloatArray:
        """Share of the predictions that are right.

        Without any prediction it is 0 where there was something to find (a model that says
        nothing earns nothing) and 1 on an empty micrograph, where silence is right.
        """
        right, wrong, truth = self._floats()
        return _ratio(right, right + wrong, otherwise=np.where(truth == 0, 1.0, 0.0))

    @property
    def recall(self) -> FloatArray:
        """Share of the truth that is found; without truth, 1 if nothing was predicted, else 0."""
        right, wrong, truth = self._floats()
        return _ratio(right, truth, otherwise=np.where(right + wrong == 0, 1.0, 0.0))

    @property
    def f1(self) -> FloatArray:
        """2 right / (right + wrong + truth), which is also the Dice coefficient.

        It is 1 where nothing was predicted and nothing was there, never NaN.
        """
        right, wrong, truth = self._floats()
        return _ratio(2 * right, right + wrong + truth, otherwise=1.0)

    @property
    def average_precision(self) -> FloatArray:
        """Step-wise sum of precision times gain in recall, in [0, 1]; 0 without truth."""
        right, _, truth = self._floats()
        hits, misses, _ = self.at_or_above()
        at_each = _ratio(hits, hits + misses, otherwise=0.0)
        return _ratio((at_each * right).sum(axis=-1), truth, otherwise=0.0)

    def best_threshold(self) -> float:
        """Return the threshold with the highest F1; of several, the one nearest to 0.5."""
        f1 = self.at_or_above().f1
        candidates = np.flatnonzero(f1 == f1.max())
        return float(EDGES[candidates[np.argmin(np.abs(EDGES[candidates] - 0.5))]])

    def at_or_above(self) -> "Counts":
        """Return the counts at or above each edge."""
        right, wrong, truth = self._floats()
        right, wrong = (np.flip(np.cumsum(np.flip(n, -1), axis=-1), -1) for n in (right, wrong))
        return Counts(right, wrong, truth)

    def _floats(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return float64, in which the counts below 2^53 are exact."""
        right, wrong, truth = (np.asarray(part, dtype=np.float64) for part in self)
        return right, wrong, truth


@dataclass(frozen=True)
class Curve:
    """Counts by score bin and what is read from them: a base for pixels and for picks."""

    @property
    def binned(self) -> Counts:
        """What was right and wrong in each score bin, shape (BINS,), and what was there."""
        raise NotImplementedError

    def counts_at(self, threshold: float) -> Counts:
        """Return integer counts at ``score >= threshold``, exact as in `threshold_index`."""
        right, wrong, truth = self.binned
        first = threshold_index(threshold)
        return Counts(int(right[first:].sum()), int(wrong[first:].sum()), truth)

    def precision(self, threshold: float = 0.5) -> float:
        """Share of what is predicted that is right; a lower bound where labels are incomplete."""
        return float(self.counts_at(threshold).precision)

    def recall(self, threshold: float = 0.5) -> float:
        """Share of the truth that is predicted."""
        return float(self.counts_at(threshold).recall)

    def f1(self, threshold: float = 0.5) -> float:
        """Harmonic mean of precision and recall."""
        return float(self.counts_at(threshold).f1)

    def average_precision(self) -> float:
        """Step-wise average precision over the grid of thresholds; 0 without any truth."""
        return float(self.binned.average_precision)

    def best_threshold(self) -> float:
        """Threshold of the highest F1: for validation micrographs, never for test ones."""
        return self.binned.best_threshold()

    def precision_recall(self) -> tuple[FloatArray, FloatArray]:
        """Return precision and recall at each edge of `EDGES`, shape (BINS,) each."""
        above = self.binned.at_or_above()
        return above.precision, above.recall


def _ratio(numerator: Any, denominator: Any, otherwise: Any) -> FloatArray:
    """Divide, with ``otherwise`` where the denominator is 0."""
    empty = np.equal(denominator, 0)
    quotient: FloatArray = np.where(empty, otherwise, numerator / np.where(empty, 1, denominator))
    return quotient
