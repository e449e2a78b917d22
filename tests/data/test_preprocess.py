"""Fourier cropping, normalisation, and the cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cryofix.data.preprocess import (
    Preprocessing,
    cache_all,
    cache_micrograph,
    fourier_crop,
    normalise,
    preprocess,
)
from cryofix.errors import CryofixError
from cryofix.formats import read_info, write_mrc


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


def test_a_hot_pixel_does_not_ring_through_the_image() -> None:
    image = np.random.default_rng(0).normal(0, 1, (256, 256)).astype(np.float32)
    clean = preprocess(image, (128, 128), 24, Preprocessing())
    image[100, 100] = 1e5
    hot = preprocess(image, (128, 128), 24, Preprocessing())
    far = np.abs(hot - clean)[:40]
    assert far.max() < 0.1


def test_an_image_that_is_mostly_constant_names_its_file(tmp_path: Path) -> None:
    image = np.zeros((64, 64), np.float32)
    image[1, :4] = [1, 2, 3, 4]
    write_mrc(tmp_path / "flat.mrc", image, 1.0)
    with pytest.raises(CryofixError, match=r"flat\.mrc"):
        cache_micrograph(
            read_info(tmp_path / "flat.mrc"), 0.5, 16, Preprocessing(0.0), tmp_path / "cache"
        )


def test_the_cache_is_found_again_by_content_and_parameters(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(0, 1, (96, 128)).astype(np.float32)
    for name in ("a.mrc", "b.mrc"):
        write_mrc(tmp_path / name, image, 1.0)
    cache = tmp_path / "cache"
    infos = [read_info(tmp_path / name) for name in ("a.mrc", "b.mrc")]
    first, twin = cache_all(infos, [0.5, 0.5], 24, Preprocessing(), cache)
    assert first.array_path == twin.array_path
    assert first.shape == (48, 64)
    assert first.scale_xy == (0.5, 0.5)
    other = cache_micrograph(infos[0], 0.5, 24, Preprocessing(clip_sigma=3), cache)
    assert other.array_path != first.array_path
    write_mrc(tmp_path / "a.mrc", image + np.arange(128, dtype=np.float32), 1.0)
    changed = cache_micrograph(read_info(tmp_path / "a.mrc"), 0.5, 24, Preprocessing(), cache)
    assert changed.array_path != first.array_path


def test_a_cached_array_is_not_made_again(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(0, 1, (64, 64)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", image, 1.0)
    info = read_info(tmp_path / "a.mrc")
    before = cache_micrograph(info, 0.5, 24, Preprocessing(), tmp_path / "cache")
    stamp = before.array_path.stat().st_mtime_ns
    cache_micrograph(info, 0.5, 24, Preprocessing(), tmp_path / "cache")
    assert before.array_path.stat().st_mtime_ns == stamp
    stored = np.load(before.array_path)
    assert stored.dtype == np.float16
    assert np.array_equal(before.read(), stored)
    assert np.array_equal(before.read((3, 5, 7, 11)), stored[3:10, 5:16])
    assert np.array_equal(before.read((31, 0, 1, 32)), stored[31:])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-64])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 0x7C  # an exponent of all ones: not a number
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, empty, flip])
def test_a_damaged_array_of_the_cache_is_made_again_and_named(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    image = np.random.default_rng(0).normal(0, 1, (64, 96)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", image, 1.0)
    arguments = read_info(tmp_path / "a.mrc"), 0.5, 24.0, Preprocessing(), tmp_path / "cache"
    cached = cache_micrograph(*arguments)
    before = cached.read()
    damage(cached.array_path)
    again = cache_micrograph(*arguments)
    assert np.array_equal(again.read(), before)
    assert np.array_equal(again.read((3, 5, 7, 11)), before[3:10, 5:16])
    assert str(cached.array_path) in caplog.text


def test_an_array_that_is_cut_off_during_a_run_is_named_and_shifts_nothing(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(0, 1, (64, 96)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", image, 1.0)
    cached = cache_micrograph(
        read_info(tmp_path / "a.mrc"), 0.5, 24, Preprocessing(), tmp_path / "cache"
    )
    before = cached.read()
    cut(cached.array_path)
    assert np.array_equal(cached.read((0, 0, 30, 48)), before[:30])
    with pytest.raises(CryofixError, match=cached.array_path.name):
        cached.read((20, 0, 12, 48))


def test_micrographs_whose_remembered_digests_are_empty_keep_pixels_of_their_own(
    tmp_path: Path,
) -> None:
    random, cache = np.random.default_rng(0), tmp_path / "cache"
    infos = []
    for name in ("a", "b"):
        write_mrc(tmp_path / f"{name}.mrc", random.normal(0, 1, (64, 64)), 1.0)
        infos.append(read_info(tmp_path / f"{name}.mrc"))
    expected = [each.read() for each in cache_all(infos, [0.5, 0.5], 24, Preprocessing(), cache)]
    for path in (cache / "digests").iterdir():
        empty(path)
    found = [each.read() for each in cache_all(infos, [0.5, 0.5], 24, Preprocessing(), cache)]
    np.testing.assert_array_equal(found, expected)
