"""Labelled windows: the same labelled area in one place of a micrograph, or in several."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.split import Splitting, draw_windows
from cryofix.errors import CryofixError
from cryofix.learning.prior import estimate_prior

INTERIOR = (10.0, 20.0, 410.0, 220.0)


def module(cache: Path, **options: Any) -> CryoDataModule:
    base = {
        "cache": str(cache),
        "simulate": {"micrographs": 6, "shape": [512, 640], "contamination": 0},
        **{"ratio": 0.5, "seed": 0, "test": 0, "validation": 1, "tile_px": 32},
        **{"labelled_area": 0.2, "labelled_windows": 5},
    }
    return CryoDataModule(**{**base, **options})


@pytest.mark.parametrize(("count", "area"), [(1, 0.3), (2, 0.5), (4, 1.0), (5, 0.55), (17, 0.1)])
def test_windows_have_the_area_lie_inside_and_do_not_overlap(count: int, area: float) -> None:
    for seed in range(20):
        windows = draw_windows(INTERIOR, area, count, [seed])
        assert len(windows) == count
        for x0, y0, x1, y1 in windows:
            assert x0 >= INTERIOR[0] - 1e-9
            assert y0 >= INTERIOR[1] - 1e-9
            assert x1 <= INTERIOR[2] + 1e-9
            assert y1 <= INTERIOR[3] + 1e-9
            assert (x1 - x0) * (y1 - y0) == pytest.approx(area * 400 * 200 / count)
        for one, other in itertools.combinations(windows, 2):
            across = min(one[2], other[2]) - max(one[0], other[0])
            down = min(one[3], other[3]) - max(one[1], other[1])
            assert min(across, down) <= 1e-9


def test_windows_depend_on_their_seed_alone() -> None:
    first, again, other = (draw_windows(INTERIOR, 0.2, 5, [seed]) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_labels_are_known_in_all_windows_and_nowhere_else(cache: Path) -> None:
    data = module(cache)
    names = [one.micrograph.name for one in data.part("labelled")]
    assert names == [name for name in data.split.labelled for _ in range(5)]
    for name in data.split.labelled:
        whole, _ = data.maps(data.dataset.annotated[name])
        parts = [data.maps(one) for one in data.part("labelled") if one.micrograph.name == name]
        assert sum(valid.mean() for _, valid in parts) == pytest.approx(0.2, rel=0.1)
        for target, valid in parts:
            assert (target == whole)[valid].all()
    stream = data.stream("labelled")
    seen = {stream[index]["micrograph"] for index in range(200)}
    assert seen == set(range(len(names)))
    assert all(stream[index]["valid"].any() for index in range(20))


def test_windows_are_written_down_in_pixels_of_the_file_and_drawn_by_label_draw(
    cache: Path, tmp_path: Path
) -> None:
    written = []
    for draw in (0, 0, 1):
        module(cache, label_draw=draw, ratio=1.0).write_split(tmp_path / "splits.json")
        written.append(json.loads((tmp_path / "splits.json").read_text())["windows"])
    first, again, other = written
    assert first == again
    assert first != other
    for windows in first.values():
        x0, y0, x1, y1 = np.array(windows).T
        assert len(windows) == 5
        assert ((x1 - x0) * (y1 - y0)).sum() == pytest.approx(0.2 * 512 * 640, rel=0.05)


def test_clicks_of_all_windows_are_drawn_from_and_written_down(cache: Path, tmp_path: Path) -> None:
    data = module(cache, labelled_particles=4, particles_per_micrograph=40.0)
    data.write_split(tmp_path / "splits.json")
    clicks = json.loads((tmp_path / "splits.json").read_text())["clicks"]
    assert sum(map(len, clicks.values())) == 4
    assert estimate_prior(data).source == "count"


def test_the_prior_says_that_it_is_over_windows(cache: Path) -> None:
    assert (
        "over 15 windows of labelled micrographs"
        in estimate_prior(module(cache, ratio=0.6)).describe()
    )


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        CryofixError, match=r"labelled_windows=5 .* lower data.labelled_area to 0\.55"
    ):
        Splitting(ratio=1.0, labelled_area=0.6, labelled_windows=5)
    with pytest.raises(CryofixError, match=r"data\.labelled_windows=0"):
        Splitting(ratio=1.0, labelled_windows=0)


def test_blocks_are_not_drawn_in_several_windows(cache: Path) -> None:
    with pytest.raises(CryofixError, match=r"data\.labelled_windows=5 needs whole micrographs"):
        module(cache, validation=0).part("labelled")
