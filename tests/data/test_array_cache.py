"""The cache of preprocessed micrographs."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from cryofix.data.array_cache import cache_all, cache_micrograph, content_digest
from cryofix.data.preprocess import Preprocessing
from cryofix.errors import CryofixError
from cryofix.formats import read_info, write_mrc


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


def test_added_noise_follows_from_the_content_whatever_the_order_name_and_threads(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(0)
    images = [random.normal(0, 1, (96, 128)).astype(np.float32) for _ in range(3)]
    for name, image in zip("abc", images, strict=True):
        write_mrc(tmp_path / f"{name}.mrc", image, 1.0)
    write_mrc(tmp_path / "elsewhere" / "d.mrc", images[0], 1.0)
    paths = [tmp_path / each for each in ("a.mrc", "b.mrc", "c.mrc", "elsewhere/d.mrc")]
    infos, noisy = [read_info(path) for path in paths], Preprocessing(added_noise=2)
    together = cache_all(infos, [0.5] * 4, 24, noisy, tmp_path / "one")
    assert together[0].array_path == together[3].array_path
    with scipy.fft.set_workers(2), ThreadPoolExecutor(1):
        alone = [
            cache_micrograph(info, 0.5, 24, noisy, tmp_path / "two") for info in reversed(infos)
        ]
    for first, second in zip(together, reversed(alone), strict=True):
        assert first.array_path.name == second.array_path.name
        assert first.array_path.read_bytes() == second.array_path.read_bytes()
    clean = cache_all(infos, [0.5] * 4, 24, Preprocessing(), tmp_path / "one")
    added = [noise.read() - plain.read() for noise, plain in zip(together, clean, strict=True)]
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.1


def test_added_noise_has_arrays_of_its_own_and_none_leaves_no_trace_in_the_key(
    tmp_path: Path,
) -> None:
    """Caches of a version that knew no noise are found again."""
    image = np.random.default_rng(0).normal(0, 1, (64, 96)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", image, 1.0)
    info, cache = read_info(tmp_path / "a.mrc"), tmp_path / "cache"
    names = {
        added: cache_micrograph(
            info, 0.5, 24.0, Preprocessing(added_noise=added), cache
        ).array_path.stem
        for added in (0.0, 1.0, 2.0)
    }
    assert len(set(names.values())) == 3
    known = {
        **{"version": 2, "content": content_digest(info.path, cache), "shape": (32, 48)},
        **{"particle_px": 24.0, "highpass_diameters": 4.0, "clip_sigma": 6.0},
    }
    key = hashlib.blake2b(json.dumps(known, sort_keys=True).encode(), digest_size=16)
    assert names[0.0] == key.hexdigest()
