"""What a diagnosis starts from: a teacher's probabilities, however they came about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cryofix.diagnosis.streaming import Pair
from cryofix.errors import CryofixError
from cryofix.masking import PolicyContext
from cryofix.metrics.bins import CENTRES, MIDDLE, IntArray
from cryofix.metrics.histogram import ProbabilityHistogram

LABELLED_SIDE = 256  # of the square of pixels that stands for the labelled batch
SHOWN_SIDE = 768  # of the part of a map that is shown
USUAL_PRIOR = 0.04  # for masks that need a prior where nobody knows it
FIXMATCH = {"_target_": "cryofix.masking.Symmetric", "name": "symmetric", "threshold": 0.95}


@dataclass(frozen=True)
class Example:
    """One map to show."""

    title: str
    """Name of the micrograph or file."""
    image: NDArray[np.float32]
    """What to draw it on, shape (rows, columns): the micrograph, or p itself."""
    probability: NDArray[np.float32]
    """p, same shape."""
    truth: NDArray[np.bool_] | None
    """Boolean, same shape; None if unknown."""
    valid: NDArray[np.bool_]
    """False where nothing counts."""
    is_micrograph: bool
    """Whether ``image`` is one."""


@dataclass(frozen=True)
class Observation:
    """A teacher's probabilities and what is known beside them."""

    source: str
    """What was looked at, in a few words."""
    histogram: ProbabilityHistogram
    """The pixels to diagnose."""
    example: Example | None
    """One map of them; None if they come without rows and columns."""
    prior: float | None
    """Share of particle pixels; None if nobody knows it."""
    labelled: ProbabilityHistogram
    """Pixels that stand for the labelled batch of a training step."""
    validation: ProbabilityHistogram
    """Pixels that the precision of the supervised model is taken from."""
    mask: Any
    """Configuration of the mask that goes with this teacher."""

    def context(self, progress: float) -> PolicyContext:
        """Return what policies may know, at a point of the FixMatch stage (0 to 1)."""
        prior = self.prior if self.prior is not None and 0 < self.prior < 1 else USUAL_PRIOR
        labelled = self.labelled.counts[:2]
        prob = target = precision = None
        if labelled.any():
            cumulative = np.cumsum(labelled)
            ranks = (np.arange(LABELLED_SIDE**2) + 0.5) / LABELLED_SIDE**2 * cumulative[-1]
            places = np.searchsorted(cumulative, ranks, side="right")
            true_class, bins = np.divmod(places, len(CENTRES))
            prob, target = (
                torch.from_numpy(values.astype(np.float32)).reshape(1, 1, LABELLED_SIDE, -1)
                for values in (CENTRES[bins], true_class)
            )
        if self.validation.known:
            wrong, right = self.validation.counts[:2, MIDDLE:].sum(axis=1)
            precision = float(right) / float(right + wrong) if right + wrong else float("nan")
        return PolicyContext(
            prior=prior,
            progress=progress,
            labelled_prob=prob,
            labelled_target=target,
            supervised_precision=precision,
        )


def observe_files(
    source: str, pairs: Sequence[Pair], counts: IntArray, prior: float | None
) -> Observation:
    """Return the observation of files whose pixels `streaming.count_arrays` has counted.

    A part of the first map is read to be shown. Where there is truth it also stands for the
    labelled batch and for validation, and says the ``prior`` unless one is given.
    """
    histogram = ProbabilityHistogram(counts)
    prior = histogram.prior() if prior is None else checked_prior(prior)
    example = _first_map(pairs)
    return Observation(source, histogram, example, prior, histogram, histogram, FIXMATCH)


def checked_prior(prior: float) -> float:
    """Return a prior that somebody gave; one that is not inside (0, 1) is a CryofixError."""
    if not 0 < prior < 1:
        raise CryofixError(f"prior={prior} is no share of pixels: give one such as prior=0.04")
    return prior


def _first_map(pairs: Sequence[Pair]) -> Example | None:
    for pair in pairs:
        probability = pair.probability.corner(SHOWN_SIDE)
        if probability is None:
            continue
        labels = None if pair.truth is None else pair.truth.corner(SHOWN_SIDE)
        truth = None if labels is None else labels >= 0.5
        title, valid = pair.probability.path.name, np.ones(probability.shape, np.bool_)
        return Example(title, probability, probability, truth, valid, is_micrograph=False)
    return None
