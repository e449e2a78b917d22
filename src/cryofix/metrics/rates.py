"""Keep rates and drift from counts by class: what the tables of ``keep_rates`` are made of."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError
from cryofix.metrics.curves import IntArray, checked_scores

BACKGROUND, PARTICLE, UNKNOWN = 0, 1, 2
"""Rows for the true class; unknown is where no labels are at hand."""

Rates = dict[str, float | None]

NOTHING = 1e-4
"""Stands for a keep rate or share of zero where its logarithm has to be finite."""


def drift(particle_keep: float | None, background_keep: float | None) -> float | None:
    """Return log(particle keep / background keep), or None where a rate is 0 or unknown."""
    if not particle_keep or not background_keep:
        return None
    return math.log(particle_keep / background_keep)


def bounded_drift(particle_keep: float | None, background_keep: float | None) -> float | None:
    """Return the drift with rates of at least NOTHING: what keeps nothing is far out, not unknown.

    None where a class is not predicted at all.
    """
    if particle_keep is None or background_keep is None:
        return None
    return drift(max(particle_keep, NOTHING), max(background_keep, NOTHING))


def class_rates(
    total: IntArray,
    kept: NDArray[Any],
    *,
    particle_share: float | None,
    pseudo_precision: float | None,
    pseudo_recall: float | None,
    prior: float | None,
) -> Rates:
    """Return the rates from pixels and kept weight by (true class, predicted class)."""
    particle_keep = divide(kept[:, PARTICLE].sum(), total[:, PARTICLE].sum())
    background_keep = divide(kept[:, BACKGROUND].sum(), total[:, BACKGROUND].sum())
    known = int(total[:UNKNOWN].sum())
    if prior is None:
        prior = divide(total[PARTICLE].sum(), known)
    rates: Rates = {
        "kept": divide(kept.sum(), total.sum()),
        "particle_share": particle_share,
        "particle_keep": particle_keep,
        "background_keep": background_keep,
        "drift": drift(particle_keep, background_keep),
        "share_over_prior": None if particle_share is None else divide(particle_share, prior),
    }
    if known:
        rates |= {
            "true_particle_keep": divide(kept[PARTICLE].sum(), total[PARTICLE].sum()),
            "true_background_keep": divide(kept[BACKGROUND].sum(), total[BACKGROUND].sum()),
            "pseudo_precision": pseudo_precision,
            "pseudo_recall": pseudo_recall,
        }
    return rates


def divide(part: Any, whole: Any) -> float | None:
    """Return the share of two counts as a plain float; None if there is nothing to divide by."""
    return float(part) / float(whole) if whole else None


def valid_pixels(
    probability: ArrayLike, truth: ArrayLike | None, valid: ArrayLike | None
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.bool_]]:
    """Return the valid probabilities, their true classes, and the mask that chose them."""
    probability = np.asarray(probability)
    mask = np.ones(probability.shape, bool) if valid is None else np.asarray(valid, dtype=bool)
    score = checked_scores(masked(probability, mask), "teacher probabilities")
    if truth is None:
        return score, np.full(score.shape, UNKNOWN, dtype=np.intp), mask
    return score, (masked(truth, mask) >= 0.5).astype(np.intp), mask


def masked(values: ArrayLike, mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the valid values; refuse another shape, which indexing might let pass."""
    values = np.asarray(values)
    if values.shape != mask.shape:
        raise CryofixError(
            f"maps of shapes {values.shape} and {mask.shape} cannot be compared pixel by pixel: "
            "scale or crop them to one grid"
        )
    return values[mask]
