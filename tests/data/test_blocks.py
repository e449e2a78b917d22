"""Blocks of labelled micrographs: what is validated on is not taught."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cryofix.data.blocks import blocks_of
from cryofix.data.datamodule import CryoDataModule
from cryofix.errors import CryofixError
from cryofix.formats import Particles
from cryofix.learning.evaluation import Prediction, score
from cryofix.metrics.curves import Counts

SIMULATED = {"micrographs": 4, "shape": [512, 640]}


def in_blocks(cache: Path, **options: Any) -> CryoDataModule:
    settings = {"ratio": 1.0, "seed": 0, "test": 0, "validation": 0, "tile_px": 32, **options}
    return CryoDataModule(cache=str(cache), simulate=SIMULATED, **settings)


def gap_to_blocks(data: CryoDataModule, name: str) -> NDArray[np.float64]:
    """Return how far each pixel of a micrograph is from the blocks that are held out of it."""
    rows, columns = np.indices(data.dataset.annotated[name].micrograph.shape)
    gaps = []
    for x0, y0, x1, y1 in data.blocks[name].held_out:
        across = np.maximum(np.maximum(x0 - columns, columns - x1), 0)
        down = np.maximum(np.maximum(y0 - rows, rows - y1), 0)
        gaps.append(np.hypot(across, down))
    nearest: NDArray[np.float64] = np.min(gaps, axis=0)
    return nearest


@pytest.mark.parametrize("options", [{}, {"labelled_area": 0.5}, {"radius_fraction": 1.0}])
def test_nothing_within_a_radius_of_a_block_is_taught_and_only_blocks_are_scored(
    cache: Path, options: dict[str, Any]
) -> None:
    data = in_blocks(cache, **options)
    radius = data.dataset.particle_px / 2
    whole = {one.micrograph.name: one for one in data.dataset.annotated.values()}
    pairs = list(zip(data.part("labelled"), data.part("validation"), strict=True))
    assert len(pairs) == SIMULATED["micrographs"]
    for taught, scored in pairs:
        name = taught.micrograph.name
        gap = gap_to_blocks(data, name)
        (_, taught_pixels), (target, scored_pixels) = data.maps(taught), data.maps(scored)
        assert taught_pixels.any()
        assert gap[taught_pixels].min() >= radius
        assert target[scored_pixels].any()
        assert gap[scored_pixels].max() == 0
        if not options:
            _, known = data.maps(whole[name])
            assert 0.15 < (gap == 0).mean() < 0.35
            assert not (scored_pixels & ~known).any()
            assert taught_pixels.mean() > 0.4


def test_each_particle_is_on_the_side_of_its_centre(cache: Path) -> None:
    data = in_blocks(cache)
    for taught, scored in zip(data.part("labelled"), data.part("validation"), strict=True):
        whole = data.dataset.annotated[taught.micrograph.name].particles
        assert whole is not None
        assert taught.particles is not None
        assert scored.particles is not None
        assert len(taught.particles) + len(scored.particles) == len(whole)
        assert len(taught.particles) > len(scored.particles) > 0
        assert 0.1 < len(scored.particles) / len(whole) < 0.4
        for x, y in zip(scored.particles.x, scored.particles.y, strict=True):
            held_out = data.blocks[taught.micrograph.name].held_out
            assert any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in held_out)


def test_picks_count_where_their_centre_is_in_a_block(cache: Path) -> None:
    data = in_blocks(cache)
    scored = next(one for one in data.part("validation") if len(one.particles or ()) > 1)
    whole = data.dataset.annotated[scored.micrograph.name]
    assert whole.particles is not None
    assert scored.particles is not None
    target, valid = data.maps(scored)
    diameter = data.dataset.particle_px

    def counts(picks: Particles) -> Counts:
        probability = data.maps(whole)[0].astype(np.float32)
        prediction = Prediction(scored, probability, picks, target, valid)
        record = score(prediction, data)
        assert record.pixels.counts_at(0.5) == ((target & valid).sum(), 0, (target & valid).sum())
        assert record.particles is not None
        return record.particles.counts_at(0.5)

    n, found = len(scored.particles), len(whole.particles)
    at = whole.particles
    assert counts(Particles(at.x, at.y, np.ones(found))) == (n, 0, n)
    gap = gap_to_blocks(data, scored.micrograph.name)
    row, column = np.indices(gap.shape)
    alone = np.min([np.hypot(column - x, row - y) for x, y in zip(at.x, at.y, strict=True)], axis=0)
    for inside in (True, False):
        free = np.argwhere((alone > diameter) & ((gap == 0) == inside))[0]
        more = Particles(np.append(at.x, free[1]), np.append(at.y, free[0]), np.ones(found + 1))
        assert counts(more) == (n, int(inside), n)


def test_unlabelled_tiles_of_labelled_micrographs_leave_the_blocks_out_too(cache: Path) -> None:
    data = in_blocks(cache)
    assert data.split.unlabelled == ()
    for name in ("labelled", "unlabelled"):
        stream = data.stream(name)
        assert len(stream.micrographs) == len(data.split.labelled)
        for one in stream.micrographs:
            valid = data.maps(one)[1]
            assert gap_to_blocks(data, one.micrograph.name)[valid].min() > 0
        tiles = [stream[index] for index in range(20)]
        assert not all(tile["valid"].all() for tile in tiles)
        assert any(tile["target"][tile["valid"]].any() for tile in tiles)


def test_blocks_depend_on_split_seed_and_the_micrograph_alone(cache: Path) -> None:
    first, again, fewer, other = (
        in_blocks(cache, **options)
        for options in ({}, {"seed": 1}, {"ratio": 0.5, "label_draw": 3}, {"split_seed": 1})
    )
    assert first.blocks == again.blocks
    assert fewer.blocks.keys() < first.blocks.keys()
    assert all(first.blocks[name] == blocks for name, blocks in fewer.blocks.items())
    assert first.blocks != other.blocks


def test_splits_json_holds_the_blocks_in_pixels_of_the_file(cache: Path, tmp_path: Path) -> None:
    data = in_blocks(cache)
    data.write_split(tmp_path / "splits.json")
    written = json.loads((tmp_path / "splits.json").read_text())["validation_blocks"]
    assert written.keys() == set(data.split.labelled)
    for name, boxes in written.items():
        micrograph = data.dataset.annotated[name].micrograph
        rows, columns = micrograph.full_shape
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= columns
            assert 0 <= y0 < y1 <= rows
        area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)
        assert 0.15 < area / (rows * columns) < 0.35
        # Those that are scored are all in them.
        scored = next(o for o in data.part("validation") if o.micrograph.name == name).particles
        assert scored is not None
        for x, y in zip(
            scored.x / micrograph.scale_xy[0], scored.y / micrograph.scale_xy[1], strict=True
        ):
            assert any(x0 - 1 <= x <= x1 + 1 and y0 - 1 <= y <= y1 + 1 for x0, y0, x1, y1 in boxes)


def test_whole_micrographs_validate_where_there_are_enough(cache: Path) -> None:
    data = in_blocks(cache, validation=1)
    assert data.blocks == {}
    assert [one.closed for one in data.part("labelled") + data.part("validation")] == [()] * 4


def test_micrographs_with_incomplete_labels_have_no_blocks(cache: Path) -> None:
    data = in_blocks(cache, never_scored=["sim_0000"])
    assert "sim_0000" in data.split.labelled
    assert "sim_0000" not in data.blocks
    assert len(data.part("validation")) == len(data.part("labelled")) - 1


def test_too_few_particles_for_both_sides_are_said(cache: Path) -> None:
    for number in (0, 1):
        data = in_blocks(cache)
        kept = Particles(np.full(number, 50.0), np.full(number, 50.0))
        for one in data.dataset.annotated.values():
            object.__setattr__(one, "particles", kept)
            kept = Particles.empty()
        with pytest.raises(CryofixError, match=rf"\({number}\) are too few"):
            data.part("validation")


def test_a_labelled_micrograph_that_is_never_scored_cannot_validate() -> None:
    with pytest.raises(CryofixError, match=r"no labelled micrograph may be scored .*label_draw"):
        blocks_of([], 64, 0)
