"""Where particles lie, and which of them a person could label."""

import numpy as np
from numpy.typing import NDArray

from cryofix.data.simulation.parameters import SimulatorConfig

MIN_DISTANCE = 0.9
"""Smallest distance between two ordinary particles, in diameters: they may touch."""
OVERLAP_DISTANCE = 0.8
"""Particles closer than this, in diameters, cover each other and are ignored."""
OBSCURED_SHARE = 0.1
"""A particle is ignored when contamination covers more than this share of its disc."""

Positions = NDArray[np.float64]
"""Shape ``(n, 2)``, columns x and y, in pixels."""


def place_particles(config: SimulatorConfig, generator: np.random.Generator) -> Positions:
    """Return random centres, all inside the image, no two closer than ``MIN_DISTANCE``.

    Their number follows a gamma distribution, so that some micrographs are nearly empty and some
    are crowded, and their density has a gradient. After them come the partners that turn
    ``config.pair_fraction`` of the particles into overlapping pairs.
    """
    rows, columns = config.shape
    wanted = _draw_count(config, generator)
    partners = int(generator.binomial(wanted, config.pair_fraction / 2)) if wanted else 0
    placed = np.empty((0, 2))
    direction = generator.uniform(0, 2 * np.pi)
    steepness = generator.uniform(0, 0.95)
    limit = (MIN_DISTANCE * config.particle_diameter_px) ** 2
    # Far more candidates than needed; a crowded image is full before they run out.
    candidates = generator.uniform(0, 1, (30 * wanted + 30, 3))
    along = (candidates[:, :2] - 0.5) @ [np.cos(direction), np.sin(direction)]
    likely = candidates[:, 2] < 0.5 * (1 + steepness * along / np.sqrt(0.5))
    for candidate in candidates[likely, :2] * [columns - 1, rows - 1]:
        if len(placed) == wanted - partners:
            break
        if not len(placed) or ((placed - candidate) ** 2).sum(axis=1).min() >= limit:
            placed = np.vstack([placed, candidate])
    beside = placed[: min(partners, len(placed))] + _step(
        min(partners, len(placed)), 0.3, 0.75, config.particle_diameter_px, generator
    )
    return np.vstack([placed, _inside(beside, config.shape)])


def place_aggregates(config: SimulatorConfig, generator: np.random.Generator) -> Positions:
    """Return the centres of particles that stick together in clumps, all inside the image."""
    clumps = [np.empty((0, 2))]
    for _ in range(generator.poisson(0.8 * config.contamination)):
        members = np.empty((int(generator.integers(6, 22)), 2))
        members[0] = generator.uniform(0, 1, 2) * config.shape[::-1]
        for index in range(1, len(members)):
            parent = members[generator.integers(index)]
            members[index] = parent + _step(1, 0.35, 0.65, config.particle_diameter_px, generator)
        clumps.append(_inside(members, config.shape))
    return np.vstack(clumps)


def overlapping(positions: Positions, diameter_px: float) -> NDArray[np.bool_]:
    """Return which particles have another one closer than ``OVERLAP_DISTANCE`` diameters."""
    squared = ((positions[:, None] - positions[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squared, np.inf)
    nearest: NDArray[np.float64] = squared.min(axis=1, initial=np.inf)
    return nearest < (OVERLAP_DISTANCE * diameter_px) ** 2


def cut_off(positions: Positions, shape: tuple[int, int], diameter_px: float) -> NDArray[np.bool_]:
    """Return which particles' discs reach beyond the image."""
    radius = diameter_px / 2
    far = np.array([shape[1] - 1 - radius, shape[0] - 1 - radius])
    beyond: NDArray[np.bool_] = (positions < radius) | (positions > far)
    return beyond[:, 0] | beyond[:, 1]


def covered_share(
    positions: Positions, mask: NDArray[np.bool_], diameter_px: float
) -> NDArray[np.float64]:
    """Return the share of each particle's disc, as far as inside the image, that is masked."""
    share = np.zeros(len(positions))
    if not mask.any():
        return share
    half = int(np.ceil(diameter_px / 2))
    for index, (x, y) in enumerate(positions):
        column, row = round(x), round(y)
        top, left = max(row - half, 0), max(column - half, 0)
        window = mask[top : row + half + 1, left : column + half + 1]
        height, width = window.shape
        vertical = np.arange(top, top + height)[:, None] - y
        horizontal = np.arange(left, left + width)[None, :] - x
        disc = vertical**2 + horizontal**2 <= diameter_px**2 / 4
        share[index] = window[disc].mean()
    return share


def _draw_count(config: SimulatorConfig, generator: np.random.Generator) -> int:
    """Return how many particles a micrograph is meant to get."""
    mean, spread = config.particles_per_micrograph, config.crowding_spread
    if mean == 0 or spread == 0:
        return round(mean)
    return int(generator.poisson(generator.gamma(1 / spread**2, mean * spread**2)))


def _step(
    count: int, low: float, high: float, diameter_px: float, generator: np.random.Generator
) -> Positions:
    """Return steps of random direction, ``low`` to ``high`` diameters long."""
    angle = generator.uniform(0, 2 * np.pi, count)
    length = generator.uniform(low, high, count) * diameter_px
    return np.stack([length * np.cos(angle), length * np.sin(angle)], axis=1)


def _inside(positions: Positions, shape: tuple[int, int]) -> Positions:
    """Return the positions that lie inside the image."""
    far = [shape[1] - 1, shape[0] - 1]
    return positions[((positions >= 0) & (positions <= far)).all(axis=1)]
