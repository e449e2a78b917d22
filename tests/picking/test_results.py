"""What is kept of a picked micrograph, and when it counts as finished."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles
from cryofix.picking.micrographs import Picked
from cryofix.picking.picked import (
    Job,
    PickSelection,
    identity,
    is_finished,
    read_result,
    scores,
    settings_key,
    thumbnail,
    write_result,
)
from disc_finder import recipe


@pytest.fixture
def job(tmp_path: Path) -> Job:
    source = tmp_path / "raw" / "m.mrc"
    source.parent.mkdir()
    source.write_bytes(b"pixels")
    return Job(source, "m.mrc", tmp_path / "results" / "m.mrc.npz")


@pytest.fixture
def picked(job: Job) -> Picked:
    random = np.random.default_rng(0)
    x, y = random.uniform(0, 99, (2, 5))
    particles = Particles(x, y, np.linspace(0.9, 0.1, 5), np.full(5, 20.0))
    return Picked(
        MicrographInfo(job.source, (100, 120), 1.5),
        particles,
        np.linspace(0.5, 2.5, 5),
        random.normal(size=(50, 60)).astype(np.float32),
        (0.5, 0.5),
        {"read": 0.1, "network": 0.2},
    )


def test_a_result_comes_back_as_it_was(job: Job, picked: Picked) -> None:
    write_result(job, "key", picked, identity(job))
    back = read_result(job)
    assert back.info == picked.info
    for name in ("x", "y", "score", "diameter_px"):
        np.testing.assert_array_equal(
            getattr(back.particles, name), getattr(picked.particles, name)
        )
    np.testing.assert_array_equal(back.sizes, picked.sizes)
    assert back.seconds == picked.seconds
    assert Image.open(io.BytesIO(back.thumbnail)).size == (60, 50)


def test_finished_means_the_same_settings_and_the_same_file(job: Job, picked: Picked) -> None:
    assert not is_finished(job, "key")
    write_result(job, "key", picked, identity(job))
    assert is_finished(job, "key")
    assert not is_finished(job, "another key")
    stat = job.source.stat()
    os.utime(job.source, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert not is_finished(job, "key")
    job.source.unlink()
    assert not is_finished(job, "key")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not an archive"])
def test_a_damaged_result_is_not_finished(job: Job, picked: Picked, content: bytes) -> None:
    write_result(job, "key", picked, identity(job))
    job.result.write_bytes(content)
    assert not is_finished(job, "key")


def test_a_flipped_byte_makes_a_result_unfinished_or_changes_nothing(
    job: Job, picked: Picked
) -> None:
    write_result(job, "key", picked, identity(job))
    good, before = job.result.read_bytes(), read_result(job)
    unfinished = 0
    for position in range(0, len(good), 7):
        bad = bytearray(good)
        bad[position] ^= 0x55
        job.result.write_bytes(bad)
        if not is_finished(job, "key"):
            unfinished += 1
            continue
        back = read_result(job)
        assert back.thumbnail == before.thumbnail
        for name in ("x", "y", "score", "diameter_px"):
            np.testing.assert_array_equal(
                getattr(back.particles, name), getattr(before.particles, name)
            )
        np.testing.assert_array_equal(back.sizes, before.sizes)
    assert unfinished > len(good) / 7 / 2


def test_a_result_that_was_damaged_after_it_was_looked_at_is_named(
    job: Job, picked: Picked
) -> None:
    write_result(job, "key", picked, identity(job))
    job.result.write_bytes(job.result.read_bytes()[:-100])
    with pytest.raises(CryofixError, match=r"m\.mrc\.npz is damaged: start again"):
        read_result(job)


def test_every_setting_changes_the_key() -> None:
    first = recipe()
    changed = [
        replace(first, floor=0.1),
        replace(first, average_views=True),
        replace(first, diameter_px=41.0),
        replace(first, min_distance=0.6),
        replace(first, preprocessing=replace(first.preprocessing, clip_sigma=5.0)),
    ]
    keys = {settings_key(each, "model") for each in (first, *changed)} | {
        settings_key(first, "other")
    }
    assert len(keys) == len(changed) + 2
    assert settings_key(recipe(), "model") == settings_key(first, "model")


def test_filters_cut_scores_and_sizes(job: Job, picked: Picked) -> None:
    write_result(job, "key", picked, identity(job))
    result = read_result(job)
    assert len(PickSelection(0.5, 0.0).good(result)) == 3
    assert len(PickSelection(0.5, 0.0).all(result)) == 5
    of_size = PickSelection(0.0, 0.0, (1.0, 2.0)).good(result)
    np.testing.assert_allclose(scores(of_size), [0.7, 0.5, 0.3])
    assert len(PickSelection(0.0, 0.0, (None, 0.6)).good(result)) == 1


def test_a_thumbnail_has_row_0_at_the_top_and_720_pixels_at_most() -> None:
    small = np.full((1000, 2000), -3.0, dtype=np.float32)
    small[:200] = 3.0
    picture = np.asarray(Image.open(io.BytesIO(thumbnail(small))))
    assert picture.shape == (360, 720)
    assert picture[10].mean() > 240
    assert picture[-10].mean() < 15
