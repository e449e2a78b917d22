import cmath
import math

import numpy as np
import pytest

from cryofix.data.simulation.optics import contrast_transfer, electron_wavelength_angstrom
from cryofix.data.simulation.protein import make_protein, project


@pytest.mark.parametrize(
    ("voltage_kv", "expected"), [(300, 0.01969), (200, 0.02508), (120, 0.03349)]
)
def test_wavelength_has_its_textbook_value(voltage_kv: float, expected: float) -> None:
    assert electron_wavelength_angstrom(voltage_kv) == pytest.approx(expected, abs=1e-5)


def scalar_ctf(sx: float, sy: float) -> float:
    """The CTF at one frequency, from the exponential form and an explicit angle."""
    wavelength = 0.0196875
    s = math.hypot(sx, sy)
    angle = math.atan2(sy, sx)
    u, v, axis = 1.7e4, 1.4e4, 0.6
    defocus = (u + v) / 2 + (u - v) / 2 * math.cos(2 * (angle - axis))
    chi = math.pi / 2 * 2.7e7 * wavelength**3 * s**4 - math.pi * wavelength * defocus * s**2
    chi -= 0.2 + math.atan(0.07 / math.sqrt(1 - 0.07**2))
    return -cmath.exp(1j * chi).imag * math.exp(-60 * s**2 / 4)


def test_ctf_agrees_with_a_computation_by_hand_at_every_frequency() -> None:
    rows, columns, pixel = 20, 14, 2.1
    transfer = contrast_transfer(
        (rows, columns),
        pixel,
        defocus_u_um=1.7,
        defocus_v_um=1.4,
        defocus_angle_rad=0.6,
        amplitude_contrast=0.07,
        phase_shift_rad=0.2,
        b_factor_angstrom2=60,
    )
    assert transfer.shape == (rows, columns // 2 + 1)
    assert transfer.dtype == np.float32
    for row, sy in enumerate(np.fft.fftfreq(rows, pixel)):
        for column, sx in enumerate(np.fft.rfftfreq(columns, pixel)):
            assert transfer[row, column] == pytest.approx(scalar_ctf(sx, sy), abs=2e-4)


def test_ctf_of_underfocus_starts_at_the_amplitude_contrast_and_rises() -> None:
    transfer = contrast_transfer((256, 256), 2.0, defocus_u_um=1.5, defocus_v_um=1.5)
    assert transfer[0, 0] == pytest.approx(0.1, abs=1e-6)
    assert np.all(np.diff(transfer[0, :8]) > 0)
    assert transfer.min() < -0.9


def test_projection_keeps_the_mass_and_the_centre_to_a_fraction_of_a_pixel() -> None:
    protein = make_protein(120.0, seed=3)
    x, y = np.array([40.3]), np.array([51.8])
    image = project(protein, x, y, (100, 90), 2.5, np.random.default_rng(0))
    rows, columns = np.indices(image.shape)
    assert image.min() >= 0
    assert image.sum() == pytest.approx(1, abs=1e-3)
    assert (image * columns).sum() / image.sum() == pytest.approx(40.3, abs=0.02)
    assert (image * rows).sum() / image.sum() == pytest.approx(51.8, abs=0.02)


def test_projection_stays_within_the_diameter() -> None:
    protein = make_protein(120.0, seed=5)
    for pose in range(20):
        image = project(
            protein, np.array([40.0]), np.array([40.0]), (81, 81), 2.5, np.random.default_rng(pose)
        )
        rows, columns = np.indices(image.shape) - 40
        inside = rows**2 + columns**2 <= 24**2
        assert image[inside].sum() > 0.98
        assert image[rows**2 + columns**2 <= 12**2].sum() < 0.9


def test_projections_of_two_orientations_and_two_proteins_differ() -> None:
    def view(seed: int, pose: int) -> np.ndarray:
        centre = np.array([30.0])
        generator = np.random.default_rng(pose)
        return project(make_protein(120.0, seed), centre, centre, (61, 61), 2.5, generator)

    def likeness(first: np.ndarray, second: np.ndarray) -> float:
        return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])

    assert np.array_equal(view(0, 0), view(0, 0))
    assert likeness(view(0, 0), view(0, 1)) < 0.95
    assert likeness(view(0, 0), view(1, 0)) < 0.95
    # Asymmetric: not even half a turn in the plane brings a projection back onto itself.
    assert likeness(view(0, 0), view(0, 0)[::-1, ::-1]) < 0.95


def test_orientations_are_uniform_over_all_rotations() -> None:
    # One heavy blob far from the others shows where each rotation takes one direction.
    protein = make_protein(120.0, seed=0)
    heavy = np.zeros_like(protein.weights)
    heavy[np.linalg.norm(protein.positions, axis=1).argmax()] = 1
    single = type(protein)(protein.positions, heavy, 3.0, 120.0)
    count, side = 600, 61
    x = 30 + side * np.arange(count, dtype=np.float64)
    image = project(
        single, x, np.full(count, 30.0), (side, side * count), 2.5, np.random.default_rng(1)
    )
    tiles = image.reshape(side, count, side).transpose(1, 0, 2)
    total = tiles.sum(axis=(1, 2))
    offset = np.arange(side) - 30
    along_x = (tiles.sum(axis=1) * offset).sum(axis=1) / total
    along_y = (tiles.sum(axis=2) * offset).sum(axis=1) / total
    radius = np.linalg.norm(protein.positions, axis=1).max() / 2.5
    # On a sphere each coordinate is uniform (Archimedes): mean 0, variance radius^2 / 3.
    for coordinate in (along_x / radius, along_y / radius):
        assert abs(coordinate.mean()) < 0.08
        assert coordinate.var() == pytest.approx(1 / 3, abs=0.05)
        assert np.histogram(coordinate, bins=4, range=(-1, 1))[0].min() > 0.18 * count


def test_particles_beyond_the_border_are_cut_and_cost_nothing_elsewhere() -> None:
    protein = make_protein(120.0, seed=0)
    x, y = np.array([0.0, -500.0]), np.array([30.0, 30.0])
    image = project(protein, x, y, (61, 61), 2.5, np.random.default_rng(0))
    assert 0.2 < image.sum() < 0.8
    assert image[:, 30:].max() == 0
