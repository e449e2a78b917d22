"""Which micrographs look unlike the rest, so that a person looks at them first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryofix.formats import Particles
from cryofix.metrics.particles import centres

FEWEST = 5
"""Micrographs without which there is no rest to compare with."""
FEW, MANY, SIGMAS = 0.25, 3.0, 4.0
"""Relative to the median, and beyond the chance with which counts of this size differ."""
ANGLES = 90
ON_A_LINE, PICKS_FOR_A_LINE = 0.5, 20
UNLIKELY = 2.5
"""A line holds so many times the share that picks spread evenly would leave on it."""


def unusual_counts(picks: Sequence[int]) -> list[str]:
    """Say of each micrograph whether it has hardly any picks or far too many; else ``""``."""
    counts = np.asarray(picks)
    if len(counts) < FEWEST:
        return [""] * len(counts)
    median = float(np.median(counts))
    chance = SIGMAS * np.sqrt(max(median, 1.0))
    notes = []
    for count in counts.tolist():
        few = count < FEW * median and count < median - chance
        many = count > MANY * median and count > median + chance
        kind = "hardly any picks" if few else "far more picks than the rest" if many else ""
        notes.append(kind and f"{kind}: {count}, median {median:.0f}")
    return notes


def on_one_line(picks: Particles, shape: tuple[int, int], diameter_px: float) -> str:
    """Say whether most picks lie along one line, as on the edge of the carbon; else ``""``.

    The line is a strip two particles wide, at any angle; ``shape`` is (rows, columns).
    """
    if len(picks) < PICKS_FOR_A_LINE:
        return ""
    angle = np.arange(ANGLES) * np.pi / ANGLES
    across = np.stack([np.cos(angle), np.sin(angle)])
    places = np.sort(centres(picks) @ across, axis=0)  # (picks, angles), across the line
    width = 2 * diameter_px
    share = np.array([_densest(column, width) for column in places.T]) / len(picks)
    rows, columns = shape
    extent = columns * np.abs(across[0]) + rows * np.abs(across[1])
    unlikely = share >= UNLIKELY * width / extent
    best = float(share[unlikely].max(initial=0.0))
    if best < ON_A_LINE:
        return ""
    return f"{100 * best:.0f} % of the picks lie along one line, as on an edge of carbon"


def _densest(places: NDArray[np.float64], width: float) -> int:
    """Return how many of these ascending numbers the best interval of a width holds."""
    ends = np.searchsorted(places, places + width, side="right")
    return int((ends - np.arange(len(places))).max())
