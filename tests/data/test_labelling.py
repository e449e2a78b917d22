"""Partial labels: what is clicked is particle, the rest unknown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.labelling import Labelling
from cryofix.errors import CryofixError
from cryofix.learning.prior import estimate_prior


def module(cache: Path, **options: Any) -> CryoDataModule:
    base = {
        "cache": str(cache),
        "simulate": {"micrographs": 6, "shape": [256, 320], "contamination": 0},
        "ratio": 0.5,
        "seed": 0,
        "test": 0,
        "validation": 1,
        "tile_px": 64,
        "batch_labelled": 4,
        "batch_unlabelled": 4,
    }
    return CryoDataModule(**{**base, **options})


def places(data: CryoDataModule) -> set[tuple[str, float, float]]:
    """Return the labelled particles that a run learns from."""
    return {
        (one.micrograph.name, float(x), float(y))
        for one in data.part("labelled")
        for x, y in zip(one.particles.x, one.particles.y, strict=True)  # type: ignore[union-attr]
    }


def test_smaller_draws_are_among_larger_ones_and_another_draw_is_another(cache: Path) -> None:
    all_of_them = places(module(cache))
    few, more, other = (
        places(module(cache, labelled_particles=count, label_draw=draw, ratio=1))
        for count, draw in ((2, 0), (4, 0), (4, 1))
    )
    assert (len(few), len(more)) == (2, 4)
    assert few < more
    assert other != more
    assert all_of_them > places(module(cache, labelled_particles=3))


def test_the_particles_that_were_drawn_are_written_down(cache: Path, tmp_path: Path) -> None:
    data = module(cache, labelled_particles=3)
    data.write_split(tmp_path / "splits.json")
    written = json.loads((tmp_path / "splits.json").read_text())["clicks"]
    assert sum(map(len, written.values())) == 3
    for one in data.part("labelled"):
        assert one.particles is not None
        across, down = one.micrograph.scale_xy
        expected = np.stack([one.particles.x / across, one.particles.y / down], axis=1)
        np.testing.assert_allclose(
            np.array(written[one.micrograph.name]).reshape(-1, 2), expected, atol=0.01
        )


def test_of_partial_labels_only_particles_are_known(cache: Path) -> None:
    complete, partial = module(cache), module(cache, labels="partial")
    for index in range(4):
        whole, part = complete.stream("labelled")[index], partial.stream("labelled")[index]
        torch.testing.assert_close(whole["target"], part["target"])
        torch.testing.assert_close(whole["known"], whole["valid"])
        torch.testing.assert_close(part["known"], whole["valid"] & (whole["target"] > 0))
        torch.testing.assert_close(part["valid"], whole["valid"])


def test_particles_that_were_not_drawn_are_unknown_and_not_ignored(cache: Path) -> None:
    (one,) = module(cache, labelled_particles=1, ratio=0.25).part("labelled")
    (whole,) = module(cache, ratio=0.25).part("labelled")
    target, valid = one.maps(6, 12)
    all_particles, all_valid = whole.maps(6, 12)
    assert target.sum() < all_particles.sum()
    assert not (target & ~all_particles).any()
    np.testing.assert_array_equal(valid, all_valid)


def test_the_unknown_part_of_labelled_micrographs_joins_the_unlabelled_stream(cache: Path) -> None:
    names = {
        labels: [
            each.micrograph.name
            for each in module(cache, labels=labels).stream("unlabelled").micrographs
        ]
        for labels in ("complete", "partial")
    }
    split = module(cache).split
    assert names["complete"] == [*split.unlabelled]
    assert names["partial"] == [*split.unlabelled, *split.labelled]


def test_the_prior_is_what_the_expected_number_of_particles_covers(cache: Path) -> None:
    data = module(cache, labels="partial", particles_per_micrograph=20)
    prior = estimate_prior(data)
    rows, columns = next(iter(data.dataset.annotated.values())).micrograph.shape
    expected = 20 * np.pi * data.radius_px**2 / ((rows - 1) * (columns - 1))
    assert prior.value == pytest.approx(expected)
    assert prior.as_dict()["source"] == "count"
    assert "data.particles_per_micrograph says" in prior.describe()
    assert estimate_prior(data, 0.07).value == 0.07


def test_a_count_of_complete_labels_takes_the_labels_place(cache: Path) -> None:
    counted = estimate_prior(module(cache, particles_per_micrograph=20))
    assert counted.source == "count"
    assert counted.labelled == estimate_prior(module(cache)).value


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": "some"}, "data.labels=some"),
        ({"labelled_particles": 0}, "data.labelled_particles=0"),
        ({"particles_per_micrograph": 0}, "data.particles_per_micrograph=0"),
    ],
)
def test_values_outside_their_range_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(CryofixError, match=said):
        Labelling(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give data.particles_per_micrograph"),
        ({"particles_per_micrograph": 1}, "less than the"),
        ({"particles_per_micrograph": 1e5}, "do not fit"),
    ],
)
def test_partial_labels_need_a_number_that_can_be(
    cache: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(CryofixError, match=said):
        estimate_prior(module(cache, labels="partial", **options))


def test_more_particles_than_are_labelled_cannot_be_drawn(cache: Path) -> None:
    with pytest.raises(CryofixError, match=r"data\.labelled_particles=9999 is more than"):
        module(cache, labelled_particles=9999).part("labelled")
