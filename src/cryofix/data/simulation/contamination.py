"""What lies on a grid besides particles: carbon, ice crystals, ethane, gold."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cryofix.data.simulation.parameters import SimulatorConfig

Array = NDArray[np.float32]


@dataclass
class Contamination:
    """Everything unwanted on one micrograph; the maps share one shape."""

    phase: Array
    """Projected density beyond the ice's, as relative contrast before the CTF."""
    transmission: Array
    """Share of the electrons that pass (absorption and high-angle scattering), 0 to 1."""
    obscured: NDArray[np.bool_]
    """Where a particle could not be seen."""
    carbon: NDArray[np.bool_]
    """The part of ``obscured`` that is carbon film."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many of each kind."""


def contaminate(
    config: SimulatorConfig, frame: tuple[int, int], margin: int, generator: np.random.Generator
) -> Contamination:
    """Draw the contamination of one micrograph.

    Parameters
    ----------
    config
        ``config.contamination`` scales how much of everything there is.
    frame
        Rows and columns of the maps: the image and a margin on all sides.
    margin
        Width of that margin in pixels.
    generator
        Source of randomness.
    """
    level = config.contamination
    found = Contamination(
        np.zeros(frame, np.float32),
        np.ones(frame, np.float32),
        np.zeros(frame, np.bool_),
        np.zeros(frame, np.bool_),
    )
    has_carbon = generator.uniform() < 0.4 * level
    if has_carbon:
        _add_carbon(found, config, margin, generator)
    diameter = config.particle_diameter_px
    image = np.array(config.shape)
    # Grids are dirty in places: most micrographs have little of it, a few have a lot.
    dirtiness = level * generator.exponential()
    crystals, drops = int(generator.poisson(5 * dirtiness)), int(generator.poisson(dirtiness))
    for index in range(crystals + drops):
        centre = margin + generator.uniform(-0.02, 1.02, 2) * image
        if index < crystals:
            radius = diameter * np.exp(generator.normal(-0.7, 0.5))
            roughness, depth = 0.15, generator.uniform(0.04, 0.35)
        else:
            radius = diameter * np.exp(generator.normal(0.1, 0.4))
            roughness, depth = 0.02, generator.uniform(0.1, 0.5)
        _add_blob(found, centre, radius, roughness, depth, generator)
    beads = int(generator.integers(1, 7)) if generator.uniform() < 0.35 * level else 0
    cluster = margin + generator.uniform(0, 1, 2) * image
    for _ in range(beads):
        centre = cluster + generator.normal(0, 2 * diameter, 2)
        radius = generator.uniform(25, 60) / config.pixel_size_angstrom
        _add_blob(found, centre, radius, 0.01, generator.uniform(0.6, 0.8), generator)
    found.counts.update(
        carbon_edges=int(has_carbon), ice_crystals=crystals, ethane_drops=drops, gold_beads=beads
    )
    return found


def add_hot_pixels(image: Array, level: float, generator: np.random.Generator) -> int:
    """Overwrite a few pixels of ``image`` in place, hot and dead ones; return how many."""
    count = int(generator.poisson(20 * level))
    rows = generator.integers(image.shape[0], size=count)
    columns = generator.integers(image.shape[1], size=count)
    factors = np.where(generator.uniform(size=count) < 0.7, generator.uniform(2, 8, count), 0.0)
    image[rows, columns] = image.mean() * factors
    return count


def _add_carbon(
    found: Contamination, config: SimulatorConfig, margin: int, generator: np.random.Generator
) -> None:
    """Add the film around a round hole whose rim crosses the image."""
    rows, columns = found.phase.shape
    angle = generator.uniform(0, 2 * np.pi)
    hole_radius = generator.uniform(5000, 9000) / config.pixel_size_angstrom
    # How far from the middle of the image the rim is.
    rim = generator.uniform(0.1, 0.5) * min(config.shape)
    y = np.arange(rows, dtype=np.float32)[:, None] - np.float32(
        rows / 2 + np.sin(angle) * (rim - hole_radius)
    )
    x = np.arange(columns, dtype=np.float32)[None, :] - np.float32(
        columns / 2 + np.cos(angle) * (rim - hole_radius)
    )
    outside = np.sqrt(x * x + y * y) - np.float32(hole_radius)
    # A ragged rim: slow sines along the two axes.
    for axis in (x, y):
        for wavelength in generator.uniform(30, 300, 3):
            amplitude = np.float32(0.012 * wavelength)
            outside += amplitude * np.sin(
                np.float32(2 * np.pi / wavelength) * axis + np.float32(generator.uniform(0, 6))
            )
    thickness = np.clip(outside / np.float32(6) + np.float32(0.5), 0, 1)
    texture = generator.standard_normal(thickness.shape, dtype=np.float32)
    strength = generator.uniform(0.04, 0.08)
    found.phase += thickness * (np.float32(0.35) + np.float32(strength) * texture)
    found.transmission *= 1 - np.float32(generator.uniform(0.04, 0.15)) * thickness
    found.carbon |= thickness > 0
    found.obscured |= found.carbon


def _add_blob(
    found: Contamination,
    centre: NDArray[np.float64],
    radius: float,
    roughness: float,
    depth: float,
    generator: np.random.Generator,
) -> None:
    """Add a dome of irregular outline that takes away up to ``depth`` of the electrons."""
    rows, columns = found.phase.shape
    reach = int(1.6 * radius) + 2
    row, column = round(centre[0]), round(centre[1])
    top, bottom = max(row - reach, 0), min(row + reach + 1, rows)
    left, right = max(column - reach, 0), min(column + reach + 1, columns)
    phases, sizes = generator.uniform(0, 2 * np.pi, 5), generator.normal(0, roughness, 5)
    if top >= bottom or left >= right:
        return
    y = (np.arange(top, bottom) - centre[0])[:, None]
    x = (np.arange(left, right) - centre[1])[None, :]
    angle = np.arctan2(y, x)
    outline = np.ones_like(angle)
    for order, (shift, size) in enumerate(zip(phases, sizes, strict=True), start=2):
        outline += size / (order - 1) * np.cos(order * angle + shift)
    distance = np.hypot(x, y) / (radius * np.clip(outline, 0.5, 1.5))
    dome = np.sqrt(np.clip(1 - distance**2, 0, 1)).astype(np.float32)
    window = (slice(top, bottom), slice(left, right))
    grain = generator.standard_normal(dome.shape, dtype=np.float32)
    found.phase[window] += dome * (np.float32(depth) + np.float32(0.15 * depth) * grain)
    found.transmission[window] *= 1 - np.float32(depth) * dome
    found.obscured[window] |= dome > 0
