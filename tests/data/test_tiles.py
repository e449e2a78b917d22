"""Streams of tiles."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cryofix.data.augment import Cutout, Geometry
from cryofix.data.preprocess import Preprocessing, cache_all
from cryofix.data.tiles import Annotated, StepBatches, TileStream
from cryofix.formats import Particles, read_info, write_mrc


@pytest.fixture
def annotated(tmp_path: Path) -> list[Annotated]:
    """Three micrographs of 96 x 128 with a bright pixel-sized mark at every particle."""
    result = []
    for number in range(3):
        random = np.random.default_rng(number)
        x, y = random.uniform(20, 108, 6).round(), random.uniform(20, 76, 6).round()
        image = random.normal(0, 1, (96, 128)).astype(np.float32)
        write_mrc(tmp_path / f"m{number}.mrc", image, 1.0)
        info = read_info(tmp_path / f"m{number}.mrc")
        (cached,) = cache_all([info], [1.0], 16, Preprocessing(0.0), tmp_path / "cache")
        array = np.load(cached.array_path)
        array[y.astype(int), x.astype(int)] = 50
        np.save(cached.array_path, array)
        labels = Particles(x=x, y=y) if number < 2 else None
        result.append(Annotated(cached, labels, Particles.empty(), (0, 0, 127, 95)))
    return result


def stream(micrographs: list[Annotated], **changes: object) -> TileStream:
    options = {
        "seed": 0,
        "stream": 0,
        "tile_px": 48,
        "radius_px": 4,
        "ignore_radius_px": 8,
        "geometry": Geometry(),
        "cutout": Cutout(),
        "centred_share": 0.5,
        **changes,
    }
    return TileStream(micrographs, **options)  # type: ignore[arg-type] # loose for brevity


def images(tiles: TileStream, workers: int, steps: int, start: int = 0) -> Iterator[torch.Tensor]:
    loader = DataLoader(tiles, batch_sampler=StepBatches(4, start), num_workers=workers)
    return (batch["image"] for batch in islice(loader, steps))


def test_tiles_do_not_depend_on_the_number_of_workers(annotated: list[Annotated]) -> None:
    alone = torch.stack(list(images(stream(annotated), 0, 6)))
    shared = torch.stack(list(images(stream(annotated), 2, 6)))
    torch.testing.assert_close(alone, shared, rtol=0, atol=0)


def test_every_tile_of_every_worker_and_step_differs(annotated: list[Annotated]) -> None:
    tiles = torch.cat(list(images(stream(annotated), 2, 8))).flatten(1)
    distances = torch.cdist(tiles, tiles) + 1e9 * torch.eye(len(tiles))
    assert float(distances.min()) > 1


def test_starting_at_a_step_gives_that_step(annotated: list[Annotated]) -> None:
    whole = list(images(stream(annotated), 0, 6))
    later = list(images(stream(annotated), 0, 2, start=4))
    torch.testing.assert_close(torch.stack(whole[4:]), torch.stack(later), rtol=0, atol=0)


def test_ranks_share_a_global_batch() -> None:
    whole = list(islice(StepBatches(6, 3), 2))
    parts = [list(islice(StepBatches(6, 3, rank, 2), 2)) for rank in range(2)]
    for step in range(2):
        assert parts[0][step] + parts[1][step] == whole[step], "random masks count on the order"


def test_marks_stay_inside_their_targets_under_every_geometry(annotated: list[Annotated]) -> None:
    tiles = stream(annotated[:2], centred_share=1.0)
    found = 0
    for index in range(40):
        item = tiles[index]
        marks = item["image"][0] > 25
        found += int(marks.sum())
        assert bool((item["target"][0][marks] == 1).all())
    assert found > 40


def test_unlabelled_tiles_have_no_known_pixel(annotated: list[Annotated]) -> None:
    item = stream(annotated[2:])[0]
    assert not item["known"].any()
    assert item["valid"].all()


def test_holes_are_only_punched_when_asked(annotated: list[Annotated]) -> None:
    assert all(stream(annotated, cutout=None)[i]["whole"].all() for i in range(8))
    assert any(not stream(annotated)[i]["whole"].all() for i in range(8))


def test_a_second_strong_view_has_holes_of_its_own_and_changes_nothing_else(
    annotated: list[Annotated],
) -> None:
    one, two = stream(annotated), stream(annotated, strong_views=2)
    differ = 0
    for index in range(8):
        item, more = one[index], two[index]
        assert more["whole"].shape == (2, 48, 48)
        assert torch.equal(more["whole"][:1], item["whole"])
        assert torch.equal(more["image"], item["image"])
        differ += not torch.equal(more["whole"][0], more["whole"][1])
    assert differ > 4


def test_tiles_know_their_micrograph(annotated: list[Annotated]) -> None:
    tiles = stream(annotated)
    found = {index: int(tiles[index]["micrograph"]) for index in range(12)}
    assert set(found.values()) == {0, 1, 2}
    for index, number in found.items():
        assert bool(tiles[index]["known"].any()) == (number < 2)  # the last one has no labels


def test_a_micrograph_smaller_than_a_tile_is_padded_and_not_known_there(
    annotated: list[Annotated],
) -> None:
    item = stream(annotated[:1], tile_px=160, geometry=Geometry(probability=0.0))[0]
    assert item["image"].shape == (1, 160, 160)
    assert int(item["valid"].sum()) == 96 * 128
