"""One micrograph: the specimen through the microscope onto the camera."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cryofix.data.simulation import placement
from cryofix.data.simulation.contamination import add_hot_pixels, contaminate
from cryofix.data.simulation.optics import contrast_transfer
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.data.simulation.protein import make_protein, project
from cryofix.data.targets import discs
from cryofix.formats import Particles

Array = NDArray[np.float32]

MARGIN_ANGSTROM = 160.0
"""The simulated frame is larger than the image: the CTF spreads what lies beyond the border."""
FRAGMENTS = 50.0
"""Mean number of smaller molecules (pieces, impurities) on the worst grid."""


@dataclass(frozen=True)
class Simulated:
    """One simulated micrograph and the truth about it. Positions: see ``Particles``."""

    image: Array
    """Electrons in each pixel, shape ``config.shape``; matter is dark."""
    signal: Array
    """The part of ``image`` that the particles cause, without noise; negative inside them."""
    particles: Particles
    """The particles that a careful person labels, with ``diameter_px``."""
    ignored: Particles
    """Particles that are neither to be found nor to be missed: overlapping another one,
    aggregated, more than a tenth of the disc under contamination, or cut off by the border."""
    defocus_um: float
    astigmatism_um: float
    snr: float
    """Signal variance over noise variance inside the discs of ``particles``."""
    dose_electrons_per_angstrom2: float
    contamination: dict[str, int]
    """How many of each kind."""


def simulate_micrograph(config: SimulatorConfig, index: int) -> Simulated:
    r"""Return micrograph ``index`` of the data set ``config``; a function of these two alone.

    The image is :math:`N T (1 - \mathrm{CTF} * \rho) + \text{noise}`: N electrons in each pixel,
    T the transmission of ice and contamination, :math:`\rho` the projected density. With
    underfocus the CTF is positive at low frequencies, so matter is dark. The noise is the Gaussian
    limit of the counting statistics plus a coloured part, and the density of the particles is
    scaled such that the SNR inside their discs is the one that was drawn.

    Parameters
    ----------
    config
        Settings. ``config.micrographs`` has no influence.
    index
        Which micrograph, from 0; neither its order nor its neighbours matter.
    """
    # One stream for each idea: contamination=0 leaves particles and noise as they were.
    scope, layout, poses, dirt, noise = (
        np.random.default_rng([config.seed, index, stream]) for stream in range(5)
    )
    margin = math.ceil(MARGIN_ANGSTROM / config.pixel_size_angstrom)
    frame = tuple(fft.next_fast_len(side + 2 * margin, real=True) for side in config.shape)
    rows, columns = frame
    inside = np.s_[margin : margin + config.shape[0], margin : margin + config.shape[1]]
    diameter = config.particle_diameter_px

    defocus = scope.uniform(config.defocus_min_um, config.defocus_max_um)
    astigmatism = scope.uniform(0, config.astigmatism_um)
    transfer = contrast_transfer(
        (rows, columns),
        config.pixel_size_angstrom,
        defocus_u_um=defocus + astigmatism / 2,
        defocus_v_um=defocus - astigmatism / 2,
        defocus_angle_rad=scope.uniform(0, math.pi),
        voltage_kv=config.voltage_kv,
        cs_mm=config.cs_mm,
        amplitude_contrast=config.amplitude_contrast,
        phase_shift_rad=config.phase_shift_rad,
        b_factor_angstrom2=config.b_factor_angstrom2,
    )
    snr = math.exp(scope.uniform(math.log(config.snr_min), math.log(config.snr_max)))
    dose = config.dose_electrons_per_angstrom2 * max(1 + config.dose_spread * scope.normal(), 0.3)
    electrons = dose * config.pixel_size_angstrom**2

    # Where everything lies, and which particles can be labelled.
    found = contaminate(config, (rows, columns), margin, dirt)
    single = placement.place_particles(config, layout)
    on_carbon = placement.covered_share(single, found.carbon[inside], diameter) > 0.5
    # Few particles stick to carbon; the film itself is background that a picker has to learn.
    single = single[~on_carbon | (layout.uniform(size=len(single)) < 0.15)]
    clumped = placement.place_aggregates(config, layout)
    positions = np.vstack([single, clumped])
    ignore = np.arange(len(positions)) >= len(single)
    ignore |= placement.overlapping(positions, diameter)
    ignore |= placement.cut_off(positions, config.shape, diameter)
    obscured = placement.covered_share(positions, found.obscured[inside], diameter)
    ignore |= obscured > placement.OBSCURED_SHARE
    measured = positions[~ignore] if not ignore.all() else positions
    x, y = measured.T
    occupied = discs(x, y, diameter / 2, config.shape)

    # What passes, and the noise that counting it makes.
    transmission = found.transmission[inside] * _ice(config, scope)
    expected = np.float32(electrons) * transmission
    grain = np.sqrt(expected) * noise.standard_normal(config.shape, dtype=np.float32)
    coloured = _coloured_noise(transfer, (rows, columns), config, noise)[inside]
    share = config.structured_noise * scope.uniform()
    grain += np.float32(math.sqrt(electrons * share / (1 - share))) * coloured

    # The particles, as strong as the SNR says, and what else makes contrast.
    seed = config.protein_seed + index % config.proteins
    protein = make_protein(config.particle_diameter_angstrom, seed)
    pixel = config.pixel_size_angstrom
    shifted = positions.T + margin
    density = project(protein, shifted[0], shifted[1], (rows, columns), pixel, poses)
    signal = -expected * _through(transfer, density)[inside]
    amplitude = 0.0
    if len(positions):
        amplitude = math.sqrt(snr * float(grain[occupied].var()) / float(signal[occupied].var()))
        signal *= np.float32(amplitude)
    rest = found.phase
    pieces = int(dirt.poisson(FRAGMENTS * config.contamination * dirt.exponential()))
    if amplitude and pieces:
        # Another impurity on each micrograph: only many labels show what a particle is not.
        size = dirt.uniform(0.4, 0.75)
        kind = 1000 * (config.protein_seed + 1) + int(dirt.integers(1000))
        small = make_protein(size * config.particle_diameter_angstrom, kind)
        x, y = margin + dirt.uniform(0, 1, (2, pieces)) * np.array(config.shape)[::-1, None]
        mass = size**3 * dirt.uniform(0.7, 1.3, pieces)
        rest = rest + np.float32(amplitude) * project(
            small, x, y, (rows, columns), pixel, dirt, mass=mass
        )
    image = expected + grain
    image += signal
    if rest.any():
        image -= expected * _through(transfer, rest)[inside]
    counts = found.counts | {
        "aggregated_particles": len(clumped),
        "fragments": pieces,
        "hot_pixels": add_hot_pixels(image, config.contamination, dirt),
    }
    return Simulated(
        image,
        signal,
        _particles(positions[~ignore], diameter),
        _particles(positions[ignore], diameter),
        defocus,
        astigmatism,
        snr,
        dose,
        counts,
    )


def _particles(positions: placement.Positions, diameter: float) -> Particles:
    """Return the table of particles at ``positions``."""
    return Particles(
        positions[:, 0].copy(),
        positions[:, 1].copy(),
        diameter_px=np.full(len(positions), diameter),
    )


def _through(transfer: Array, density: Array) -> Array:
    """Return ``density`` as the microscope shows it (single precision throughout)."""
    seen: Array = fft.irfft2(fft.rfft2(density) * transfer, s=density.shape)
    return seen


def _coloured_noise(
    transfer: Array, frame: tuple[int, int], config: SimulatorConfig, generator: np.random.Generator
) -> Array:
    """Return noise of variance 1: ice seen through the CTF, and a slow inelastic background."""
    rows, columns = frame
    y = np.fft.fftfreq(rows, config.pixel_size_angstrom)[:, None].astype(np.float32)
    x = np.fft.rfftfreq(columns, config.pixel_size_angstrom)[None, :].astype(np.float32)
    slow = 1 / (1 + (x * x + y * y) * np.float32(config.particle_diameter_angstrom**2))
    spectrum = np.abs(transfer) / np.sqrt((transfer**2).mean()) + slow / np.sqrt((slow**2).mean())
    spectrum[0, 0] = 0
    white = generator.standard_normal((rows, columns // 2 + 1, 2), dtype=np.float32)
    half_plane = white.view(np.complex64)[..., 0] * spectrum
    field: Array = fft.irfft2(half_plane, s=frame)
    field /= field.std()
    return field


def _ice(config: SimulatorConfig, generator: np.random.Generator) -> Array:
    """Return the transmission of the ice relative to its mean: a slope and a bowl."""
    rows, columns = config.shape
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    slope = config.ice_gradient / 2 * generator.uniform()
    angle = generator.uniform(0, 2 * math.pi)
    bowl = config.ice_gradient / 4 * generator.uniform(-1, 1)
    relief: Array = (
        np.float32(slope * math.cos(angle)) * x + np.float32(slope * math.sin(angle)) * y
    )
    relief = relief + np.float32(bowl) * (x * x + y * y - np.float32(2 / 3))
    return 1 + relief / np.float32(math.sqrt(2))
