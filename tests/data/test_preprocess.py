"""Fourier cropping, added noise and normalisation."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cryofix.data.preprocess import Preprocessing, fourier_crop, normalise, preprocess, white_noise


def wave(rows: int, columns: int, cycles_y: int, cycles_x: int) -> NDArray[np.float32]:
    y, x = np.mgrid[:rows, :columns]
    phase = 2 * np.pi * (cycles_y * y / rows + cycles_x * x / columns)
    return np.asarray(np.cos(phase), dtype=np.float32)


@pytest.mark.parametrize("shape", [(48, 64), (49, 65), (47, 90)])
def test_fourier_crop_of_a_wave_is_the_wave_on_the_coarser_grid(shape: tuple[int, int]) -> None:
    full = wave(97, 130, 5, -7)
    expected = wave(*shape, 5, -7)
    np.testing.assert_allclose(fourier_crop(full, shape), expected, atol=1e-5)


def test_fourier_crop_removes_what_the_coarser_grid_cannot_hold() -> None:
    assert np.abs(fourier_crop(wave(96, 96, 40, 0), (48, 48))).max() < 1e-5


def test_fourier_padding_interpolates() -> None:
    np.testing.assert_allclose(
        fourier_crop(wave(32, 40, 3, 2), (64, 100)), wave(64, 100, 3, 2), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(64, 80), (65, 81), (33, 41)])
@pytest.mark.parametrize("cycles", [(0, 20), (16, 0), (16, 20), (5, 20), (16, 7)])
def test_the_highest_frequency_of_an_even_grid_keeps_its_height_when_enlarged(
    shape: tuple[int, int], cycles: tuple[int, int]
) -> None:
    expected = wave(*shape, cycles[0], 0) * wave(*shape, 0, cycles[1])
    small = wave(32, 40, cycles[0], 0) * wave(32, 40, 0, cycles[1])
    np.testing.assert_allclose(fourier_crop(small, shape), expected, atol=1e-5)


@pytest.mark.parametrize("full", [(64, 80), (65, 81), (33, 41)])
@pytest.mark.parametrize("cycles", [(0, 20), (16, 0), (16, 20), (16, 7), (-16, 7), (5, 20)])
def test_a_wave_at_the_highest_frequency_of_an_even_grid_is_sampled_as_it_is(
    full: tuple[int, int], cycles: tuple[int, int]
) -> None:
    expected = wave(32, 40, *cycles)
    np.testing.assert_allclose(fourier_crop(wave(*full, *cycles), (32, 40)), expected, atol=1e-5)


@pytest.mark.parametrize("small", [(32, 40), (33, 40), (32, 41), (33, 41)])
@pytest.mark.parametrize("large", [(64, 80), (65, 81), (34, 42), (33, 81)])
def test_enlarging_and_shrinking_again_changes_nothing(
    small: tuple[int, int], large: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).normal(size=small).astype(np.float32)
    np.testing.assert_allclose(fourier_crop(fourier_crop(image, large), small), image, atol=1e-5)


@pytest.mark.parametrize("shape", [(32, 40), (33, 41), (80, 100)])
def test_an_image_upside_down_is_resampled_as_the_right_way_up(shape: tuple[int, int]) -> None:
    def turned(image: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        return np.roll(np.flip(image, axis), 1, axis)  # sample 0 stays where it is

    image = np.random.default_rng(0).normal(size=(64, 80)).astype(np.float32)
    for axis in range(2):
        mirrored = fourier_crop(turned(image, axis), shape)
        np.testing.assert_allclose(mirrored, turned(fourier_crop(image, shape), axis), atol=1e-5)


def test_fourier_crop_keeps_a_blob_where_the_scale_says() -> None:
    y, x = np.mgrid[:120, :160]
    blob = np.exp(-((x - 52.0) ** 2 + (y - 84.0) ** 2) / (2 * 6.0**2)).astype(np.float32)
    small = fourier_crop(blob, (60, 80))
    row, column = np.unravel_index(small.argmax(), small.shape)
    assert (int(column), int(row)) == (26, 42)
    assert small.max() == pytest.approx(1.0, abs=0.01)


def test_highpass_removes_a_gradient_and_keeps_a_particle() -> None:
    y, x = np.mgrid[:600, :600]
    gradient = 10 * np.cos(2 * np.pi * x / 600)
    blob = -np.exp(-((x - 300) ** 2 + (y - 300) ** 2) / (2 * 8.0**2))
    slow, particle = (
        fourier_crop(part.astype(np.float32), (300, 300), highpass_period_px=48)
        for part in (gradient, blob)
    )
    assert np.abs(slow).max() < 0.06 * 10
    assert particle[150, 150] < -0.9


def test_normalise_gives_median_zero_and_robust_spread_one() -> None:
    image = np.random.default_rng(0).normal(7, 3, (200, 200)).astype(np.float32)
    image[0, :50] = 1e6
    result = normalise(image, clip_sigma=6)
    assert np.median(result) == pytest.approx(0, abs=0.01)
    assert result[1:].std() == pytest.approx(1, abs=0.02)
    assert result.max() == 6


def test_an_image_without_particles_needs_a_spread() -> None:
    spot = np.zeros((512, 512), np.float32)
    spot[:5, :5] = 1  # less than the 0.05 % at which outliers are clipped
    with pytest.raises(ValueError, match="nearly all of its pixels have the same value"):
        preprocess(spot, (512, 512), None, Preprocessing())
    spot[:32, :32] = 1
    assert np.isfinite(preprocess(spot, (512, 512), None, Preprocessing())).all()


def test_a_hot_pixel_does_not_ring_through_the_image() -> None:
    image = np.random.default_rng(0).normal(0, 1, (256, 256)).astype(np.float32)
    clean = preprocess(image, (128, 128), 24, Preprocessing())
    image[100, 100] = 1e5
    hot = preprocess(image, (128, 128), 24, Preprocessing())
    far = np.abs(hot - clean)[:40]
    assert far.max() < 0.1


def smooth(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """An image with nothing beyond a period of 16 pixels, so that binning by up to 8 keeps it."""
    small = np.random.default_rng(seed).normal(7, 3, (shape[0] // 16, shape[1] // 16))
    return fourier_crop(small.astype(np.float32), shape)


EVERYTHING = -np.inf, np.inf


@pytest.mark.parametrize("shape", [(768, 512), (1024, 1536), (2048, 1024)])
def test_added_noise_has_so_many_standard_deviations_at_1024_pixels(shape: tuple[int, int]) -> None:
    image = smooth(shape, seed=0)
    noise = white_noise(image, EVERYTHING, 2, seed=0)
    assert max(noise.shape) == 1024
    assert noise.std() == pytest.approx(2 * image.std(), rel=0.01)
    spectrum = np.abs(np.fft.rfft2(noise / noise.std())) ** 2 / noise.size
    for band in np.array_split(spectrum[: noise.shape[0] // 2], 4):
        assert band.mean() == pytest.approx(1, rel=0.02), "white"
    other = white_noise(image, EVERYTHING, 2, seed=1)
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.01


def test_added_noise_does_not_depend_on_the_binning_of_the_file() -> None:
    image = smooth((1536, 2048), seed=0)
    expected = white_noise(image, EVERYTHING, 2, seed=0)
    for binned in ((768, 1024), (384, 512)):
        found = white_noise(fourier_crop(image, binned), EVERYTHING, 2, seed=0)
        np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("side", [256, 700, 1024])
def test_a_network_sees_the_same_noise_at_any_size(side: int) -> None:
    """What it sees, less the clean micrograph, is the drawn noise at its own sampling."""
    image = smooth((1024, 1024), seed=0)
    plain, noisy = (
        preprocess(image, (side, side), 24, Preprocessing(0, 1000, added), seed=5)
        for added in (0, 2)
    )
    # Normalising takes the units away: a fit gives them back.
    terms = np.stack([plain.ravel(), np.ones(side * side, np.float32)], axis=1)
    weights, *_ = np.linalg.lstsq(terms, noisy.ravel(), rcond=None)
    added = noisy.ravel() - terms @ weights
    drawn = fourier_crop(white_noise(image, EVERYTHING, 2, seed=5), (side, side)).ravel()
    assert np.corrcoef(added, drawn)[0, 1] > 0.999
    signal = np.abs(weights[0]) * plain.std()
    assert added.std() / signal == pytest.approx(2 * side / 1024, rel=0.03)


def test_without_added_noise_the_seed_changes_nothing() -> None:
    image = np.random.default_rng(0).normal(0, 1, (256, 256)).astype(np.float32)
    first, second, noisy, other = (
        preprocess(image, (128, 128), 24, Preprocessing(added_noise=added), seed=seed)
        for added, seed in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, noisy)
    assert not np.array_equal(noisy, other)
