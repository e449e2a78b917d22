"""Strong views: what is cut, dropped and shared among them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cryofix.data.intensity import Intensity, change_intensity
from cryofix.errors import CryofixError
from cryofix.learning.settings import CutMix, FeatureDropout, Views
from cryofix.learning.views import (
    STRONG_VIEWS,
    StudentView,
    check_pairs,
    cutmix_boxes,
    exchanged,
    student_views,
)
from cryofix.masking import PseudoLabels

SIDE = 24
STRONG = Intensity(noise=0.5, contrast=0.3)


def batch(views: int = 1, micrographs: tuple[int, ...] = (0, 1, 2, 3)) -> dict[str, Any]:
    """Return tiles whose every map holds the tile's own number."""
    count = len(micrographs)
    number = torch.arange(count).view(-1, 1, 1, 1).float().expand(-1, 1, SIDE, SIDE).clone()
    return {
        "image": number,
        "target": number.clone(),
        "valid": torch.ones(count, 1, SIDE, SIDE, dtype=torch.bool),
        "known": number % 2 == 0,
        "visible": torch.rand(count, views, SIDE, SIDE, generator=torch.manual_seed(0)) > 0.1,
        "micrograph": torch.tensor(micrographs),
        "index": list(range(40, 40 + count)),
    }


def taught(tiles: dict[str, Tensor], views: Views, seed: int = 0) -> list[StudentView]:
    prob = tiles["image"] / 10
    pseudo = PseudoLabels(tiles["image"].clone(), tiles["image"] + 1, {})
    return student_views(tiles, tiles["image"] + 100, prob, pseudo, views, seed)


def always(area_min: float, area_max: float) -> CutMix:
    return CutMix(1.0, area_min, area_max)


def test_by_default_there_is_one_strong_view_of_intensity_and_holes() -> None:
    tiles = batch()
    (view,) = taught(tiles, Views(strong=STRONG))
    expected = change_intensity(tiles["image"], STRONG, 0, STRONG_VIEWS[0], [40, 41, 42, 43])
    assert torch.equal(view.image, expected * tiles["visible"])
    assert view.share == 1
    assert view.dropout is None
    assert torch.equal(view.pseudo.target, tiles["target"])


@pytest.mark.parametrize(("area", "other"), [(0.0, False), (1.0, True)])
def test_cutmix_of_no_area_is_the_tile_and_of_all_area_its_partner(
    area: float, other: bool
) -> None:
    tiles = batch()
    box = cutmix_boxes(always(area, area), tiles, seed=0, stream=1)
    partner = tiles["image"][[1, 0, 3, 2]]
    assert torch.equal(exchanged(tiles["image"], box), partner if other else tiles["image"])


def test_without_probability_nothing_is_cut() -> None:
    assert not cutmix_boxes(CutMix(0.0, 0.5, 1.0), batch(), 0, 1).any()


@settings(max_examples=30, deadline=None)
@given(area=st.floats(0.05, 1), seed=st.integers(0, 1000))
def test_boxes_are_rectangles_of_the_area_wanted(area: float, seed: int) -> None:
    box = cutmix_boxes(always(area, area), batch(), seed, 1)
    side = round(np.sqrt(area) * SIDE)
    for tile in box[:, 0]:
        rows, columns = tile.any(1), tile.any(0)
        assert int(rows.sum()) == int(columns.sum()) == side
        assert int(tile.sum()) == side**2  # so all inside rows and columns is inside
        first = int(rows.float().argmax())
        assert rows[first : first + side].all()


def test_boxes_differ_from_tile_to_tile_and_between_views() -> None:
    box, second = (cutmix_boxes(always(0.1, 0.5), batch(), 0, stream) for stream in (1, 2))
    assert len({tuple(tile.flatten().tolist()) for tile in box}) == 4
    assert not torch.equal(box, second)


def test_two_processes_cut_as_one() -> None:
    tiles = batch()
    halves = [
        {key: value[part] for key, value in tiles.items()} for part in (slice(2), slice(2, 4))
    ]
    together = cutmix_boxes(always(0.1, 0.5), tiles, 0, 1)
    assert torch.equal(
        together, torch.cat([cutmix_boxes(always(0.1, 0.5), half, 0, 1) for half in halves])
    )
    mixed = torch.cat(
        [exchanged(half["image"], cutmix_boxes(always(0.1, 0.5), half, 0, 1)) for half in halves]
    )
    assert torch.equal(exchanged(tiles["image"], together), mixed)


def test_a_partner_of_the_same_micrograph_is_none() -> None:
    box = cutmix_boxes(always(0.5, 0.5), batch(micrographs=(7, 7, 7, 8)), 0, 1)
    assert [bool(tile.any()) for tile in box] == [False, False, True, True]


def test_image_pseudo_label_weight_and_maps_are_cut_alike() -> None:
    tiles = batch()
    (view,) = taught(tiles, Views(cutmix=always(0.2, 0.4)))
    source = view.pseudo.target  # the number of the tile each pixel is from
    assert 0 < int((source != tiles["image"]).sum()) < source.numel() / 2
    assert torch.equal(view.pseudo.weight, source + 1)
    assert torch.equal(view.prob, source / 10)
    assert torch.equal(view.maps["target"], source)
    assert torch.equal(view.maps["known"], source % 2 == 0)
    assert torch.equal(view.image, source * view.maps["visible"])


def test_two_strong_views_are_drawn_independently_and_share_the_loss() -> None:
    one, two = taught(batch(2), Views(strong=STRONG, strong_views=2, cutmix=always(0.1, 0.5)))
    assert one.share == two.share == 0.5
    assert not torch.equal(one.image, two.image)
    assert not torch.equal(one.maps["visible"], two.maps["visible"])


def test_a_view_of_its_own_for_dropped_features_is_the_weak_one() -> None:
    tiles = batch(2)
    views = Views(strong_views=2, feature_dropout=FeatureDropout(0.5, "own"))
    *strong, own = taught(tiles, views)
    assert [view.share for view in (*strong, own)] == [0.25, 0.25, 0.5]
    assert all(view.dropout is None for view in strong)
    assert torch.equal(own.image, tiles["image"] + 100)
    assert own.maps["visible"].all()
    assert own.dropout is not None


def test_features_dropped_in_strong_views_depend_on_view_and_tile() -> None:
    views = Views(strong_views=2, feature_dropout=FeatureDropout(0.5))
    one, two = taught(batch(2), views)
    assert one.dropout is not None
    assert two.dropout is not None
    assert len({tuple(key) for key in (*one.dropout, *two.dropout)}) == 8
    again, _ = taught(batch(2), replace(views, strong=STRONG))
    assert again.dropout == one.dropout


def changed(**changes: Any) -> dict[str, Any]:
    return {"data": {"batch_unlabelled": 4}, "augment": {"cutmix": {"probability": 0.5, **changes}}}


def test_cutmix_needs_pairs_in_every_process() -> None:
    check_pairs(changed(), 2)
    check_pairs(changed(probability=0), 4)
    with pytest.raises(CryofixError, match=r"data.batch_unlabelled=4 .* multiple of 8"):
        check_pairs(changed(), 4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: CutMix(probability=1.5), r"cutmix.probability=1.5"),
        (lambda: CutMix(area_min=0.6, area_max=0.5), r"area_min=0.6 and \S+area_max=0.5"),
        (lambda: FeatureDropout(share=1.0), r"feature_dropout.share=1.0"),
        (lambda: FeatureDropout(view="weak"), r"feature_dropout.view=weak"),
        (lambda: Views(strong_views=3), r"strong_views=3"),
    ],
)
def test_what_makes_no_view_is_said(wrong: Any, said: str) -> None:
    with pytest.raises(CryofixError, match=said):
        wrong()
