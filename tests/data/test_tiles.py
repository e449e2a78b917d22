"""Streams of tiles."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chi2_contingency
from torch.utils.data import DataLoader

from cryofix.data.array_cache import CachedMicrograph, cache_all
from cryofix.data.augment import Cutout, Geometry
from cryofix.data.batches import StepBatches
from cryofix.data.preprocess import Preprocessing
from cryofix.data.tiles import Annotated, TileStream
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


@dataclass(frozen=True)
class Ramp(CachedMicrograph):
    """A micrograph whose grey value is the row, or the column, of the pixel."""

    along: int = 0

    def read(self, box: tuple[int, int, int, int] | None = None) -> NDArray[np.float32]:
        row, column, height, width = box or (0, 0, *self.shape)
        places = np.mgrid[row : row + height, column : column + width]
        return np.asarray(places[self.along], np.float32)


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


def test_micrographs_with_and_without_particles_have_as_many_uniform_tiles(
    annotated: list[Annotated],
) -> None:
    both = [annotated[0], replace(annotated[1], particles=Particles.empty())]
    every = stream(both)
    tiles = [tile for tile in map(every.__getitem__, range(400)) if tile["uniform"]]
    of_first = sum(tile["micrograph"] == 0 for tile in tiles)
    assert abs(of_first - len(tiles) / 2) < 3 * math.sqrt(len(tiles) / 4)


def test_uniform_tiles_hold_the_share_of_particle_pixels_that_micrographs_do() -> None:
    random = np.random.default_rng(0)
    ramp = Ramp("r", Path("r.mrc"), Path("r.npy"), (400, 400), (400, 400), None)
    places = random.uniform(0, 399, (60, 2, 60))
    parts = [
        Annotated(ramp, Particles(x=x, y=y), Particles.empty(), (0, 0, 399, 399)) for x, y in places
    ]
    share = float(np.mean([part.maps(4, 8)[0].mean() for part in parts]))
    tiles = stream(parts, geometry=Geometry(probability=0.0), cutout=None)
    found: dict[bool, list[float]] = {True: [], False: []}
    for index in range(3000):
        tile = tiles[index]
        found[tile["uniform"]].append(float(tile["target"].mean()))
    uniform, centred = np.mean(found[True]), np.mean(found[False])
    assert uniform == pytest.approx(share, rel=0.05)
    assert centred > 1.5 * share
    assert len(found[True]) == pytest.approx(1500, rel=0.1)


def test_unlabelled_tiles_have_no_known_pixel(annotated: list[Annotated]) -> None:
    item = stream(annotated[2:])[0]
    assert not item["known"].any()
    assert item["valid"].all()


def test_holes_are_only_punched_when_asked(annotated: list[Annotated]) -> None:
    assert all(stream(annotated, cutout=None)[i]["visible"].all() for i in range(8))
    assert any(not stream(annotated)[i]["visible"].all() for i in range(8))


def test_a_second_strong_view_has_holes_of_its_own_and_changes_nothing_else(
    annotated: list[Annotated],
) -> None:
    one, two = stream(annotated), stream(annotated, strong_views=2)
    differ = 0
    for index in range(8):
        item, more = one[index], two[index]
        assert more["visible"].shape == (2, 48, 48)
        assert torch.equal(more["visible"][:1], item["visible"])
        assert torch.equal(more["image"], item["image"])
        differ += not torch.equal(more["visible"][0], more["visible"][1])
    assert differ > 4


def test_particles_beyond_an_edge_that_labels_reach_count_in_parts_as_in_the_whole(
    annotated: list[Annotated],
) -> None:
    labels = Particles(np.array([-0.4, 64.0, 127.6]), np.array([20.0, 95.3, 70.0]))
    whole = replace(annotated[0], particles=labels)
    right, beyond = (64.5, -math.inf, math.inf, math.inf), (math.inf,) * 4
    for part, count in (
        (whole.without((beyond,)), 3),
        (whole.without((right,)), 2),
        (whole.within((0.0, 0.0, 127.0, 95.0)), 3),
        (whole.within((0.0, 0.0, 100.0, 95.0)), 2),
        (whole.within((0.0, 0.0, 127.0, 94.0)), 2),
    ):
        assert part.particles is not None
        assert (len(part.particles), len(part.ignored)) == (count, 3 - count)
        assert part.area.holds(part.particles.x, part.particles.y).all()


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


def draws(count: int) -> dict[str, NDArray[np.float64]]:
    """Read off tiles of ramps all that was drawn for each; NaN where nothing was to be drawn.

    The derivatives of both ramps in the middle of a tile are the matrix of its geometry.
    """
    streams = []
    for along in range(2):
        ramp = Ramp("r", Path("r.mrc"), Path("r.npy"), (400, 500), (400, 500), None, along)
        part = Annotated(ramp, None, Particles.empty(), (0, 0, 499, 399))
        options = {"tile_px": 64, "stream": 1, "strong_views": 2, "cutout": Cutout(holes=1)}
        streams.append(stream([part] * 4, **options))
    found = []
    for index in range(count):
        tiles = [each[index] for each in streams]
        middle = np.stack([tile["image"][0, 31:33, 31:33].numpy() for tile in tiles])
        down = (middle[:, 1] - middle[:, 0]).mean(axis=1)
        right = (middle[:, :, 1] - middle[:, :, 0]).mean(axis=1)
        matrix = np.stack([down, right], axis=1).astype(np.float64)
        size = np.sqrt(abs(np.linalg.det(matrix)))
        quarter = np.round(matrix / size)
        angle = np.degrees(np.arcsin(np.clip((matrix @ quarter.T)[0, 1] / size, -1, 1)))
        moved = abs(angle) > 1e-3 or abs(size - 1) > 1e-4
        drawn = {
            "micrograph": tiles[0]["micrograph"],
            "row": middle[0].mean(),
            "column": middle[1].mean(),
            "turn or flip": quarter.ravel() @ [1, 3, 9, 27],
            "moved": moved,
            "angle": angle if moved else np.nan,
            "size": size if moved else np.nan,
        }
        for view in range(2):
            hole = ~tiles[0]["visible"][view].numpy()
            drawn[f"whether view {view} has a hole"] = hole.any()
            for axis in range(2):
                places = np.flatnonzero(hole.any(axis=1 - axis))
                room = 64 - len(places)
                drawn[f"its side, view {view}, axis {axis}"] = len(places) or np.nan
                drawn[f"its place, view {view}, axis {axis}"] = (
                    places[0] / room if len(places) else np.nan
                )
        found.append(drawn)
    return {name: np.array([each[name] for each in found], np.float64) for name in found[0]}


def test_no_draw_of_a_tile_tells_of_another() -> None:
    classes = {}
    for name, values in draws(2000).items():
        known = values[~np.isnan(values)]
        edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
        few = len(np.unique(known)) <= 8
        parts = np.unique(known).searchsorted(values) if few else edges.searchsorted(values)
        classes[name] = np.where(np.isnan(values), -1, parts)
    assert 0.45 < classes["moved"].mean() < 0.55
    assert len(np.unique(classes["turn or flip"])) == 8
    found = {}
    for one, two in combinations(classes, 2):
        both = (classes[one] >= 0) & (classes[two] >= 0)
        a, b = (np.unique(classes[each][both], return_inverse=True)[1] for each in (one, two))
        if a.max() and b.max():  # the angle is only drawn where a tile is moved
            table = np.zeros((a.max() + 1, b.max() + 1))
            np.add.at(table, (a, b), 1)
            found[one, two] = chi2_contingency(table).pvalue
    assert len(found) > 80
    for pair, p in found.items():
        assert p > 0.01 / len(found), (pair, p)
