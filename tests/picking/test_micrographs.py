"""One micrograph in, its particles at full resolution out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from cryofix.data.preprocess import Preprocessing
from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles, write_mrc
from cryofix.picking import micrographs
from cryofix.picking.micrographs import Recipe, pick_micrograph
from cryofix.picking.sizes import relative_sizes
from disc_finder import DiscFinder, draw, recipe


def found(truth: Particles, picks: Particles, within: float) -> int:
    """Return how many particles have a good pick within so many pixels."""
    assert picks.score is not None
    good = picks.select(picks.score > 0.5)
    if not len(good):
        return 0
    tree = KDTree(np.stack([good.x, good.y], axis=1))
    distance, _ = tree.query(np.stack([truth.x, truth.y], axis=1))
    return int(np.count_nonzero(np.asarray(distance) < within))


@pytest.mark.parametrize("shape", [(300, 420), (421, 333), (255, 640)])
def test_picks_are_at_full_resolution_whatever_the_size(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    truth = draw(tmp_path / "m.mrc", shape)
    picked = pick_micrograph(DiscFinder(), tmp_path / "m.mrc", recipe())
    assert found(truth, picked.particles, 3.0) == len(truth)
    assert picked.particles.score is not None
    assert (picked.particles.score > 0.5).sum() == len(truth)
    assert picked.particles.diameter_px is not None
    assert (picked.particles.diameter_px == 40).all()
    assert set(picked.seconds) == {"read", "crop", "network", "peaks"}


def test_a_model_picks_at_another_pixel_size_than_it_was_trained_at(tmp_path: Path) -> None:
    """48 Angstrom are 40 pixels of 1.2 Angstrom and 80 of 0.6."""
    known = recipe(diameter_angstrom=48.0)
    for pixel_size, diameter in ((1.2, 40.0), (0.6, 80.0)):
        path = tmp_path / f"{pixel_size}.mrc"
        truth = draw(path, (480, 640), diameter, pixel_size, count=8)
        picked = pick_micrograph(DiscFinder(), path, known)
        assert found(truth, picked.particles, 4.0) == 8
        assert picked.particles.diameter_px == pytest.approx(diameter, rel=1e-5)
    blind = pick_micrograph(DiscFinder(), path, recipe()).particles
    assert blind.score is not None
    assert np.count_nonzero(blind.score > 0.5) > 8, "several for each disc twice as wide"


def test_where_the_diameter_comes_from() -> None:
    silent, said = (MicrographInfo(Path("m.mrc"), (4000, 4000), size) for size in (None, 2.0))
    both = recipe(diameter_angstrom=100.0, diameter_px=40.0)
    assert both.diameter_in(said) == 50.0
    assert both.diameter_in(silent) == 40.0
    assert recipe(diameter_px=40.0, fixed_px=True, diameter_angstrom=100.0).diameter_in(said) == 40
    with pytest.raises(CryofixError, match=r"m\.mrc does not say its pixel size.*diameter_px"):
        recipe(diameter_angstrom=100.0, diameter_px=None).diameter_in(silent)
    for wrong in (0.01, 1000.0):
        info = MicrographInfo(Path("m.mrc"), (4000, 4000), wrong)
        with pytest.raises(CryofixError, match="pixels wide"):
            recipe(diameter_angstrom=100.0).diameter_in(info)


TRAINED = {"radius_fraction": 0.5, "highpass_diameters": 3, "clip_sigma": 5, "added_noise": 2}
METADATA = {
    "config": {"data": TRAINED},
    "particle_px": 24.0,
    "diameter_px": 96.0,
    "diameter_angstrom": 120.0,
}


def test_a_recipe_follows_the_checkpoint_unless_told_otherwise() -> None:
    trained = Recipe.as_trained(METADATA)
    assert trained.radius_px == 6.0
    assert trained.preprocessing == Preprocessing(3, 5), "noise is added to no user's micrographs"
    info = MicrographInfo(Path("m.mrc"), (4000, 4000), 2.0)
    assert trained.diameter_in(info) == 60.0
    assert Recipe.as_trained(METADATA, diameter_px=80.0).diameter_in(info) == 80.0
    assert Recipe.as_trained(METADATA, diameter_angstrom=140.0).diameter_in(info) == 70.0
    averaged = METADATA | {"config": {"data": TRAINED, "average_views": True}}
    assert not trained.average_views
    assert Recipe.as_trained(averaged).average_views
    assert not Recipe.as_trained(averaged, average_views=False).average_views
    with pytest.raises(CryofixError, match="twice"):
        Recipe.as_trained(METADATA, diameter_px=80.0, diameter_angstrom=140.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("diameter_px", 0.0), ("min_distance", -1.0), ("border_px", -1.0), ("floor", 1.0)],
)
def test_settings_out_of_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(CryofixError, match=str(value)):
        recipe(**{key: value})


def test_the_border_is_in_pixels_of_the_file(tmp_path: Path) -> None:
    draw(tmp_path / "m.mrc")
    everything = pick_micrograph(DiscFinder(), tmp_path / "m.mrc", recipe(floor=0.0)).particles
    inner = pick_micrograph(
        DiscFinder(), tmp_path / "m.mrc", recipe(floor=0.0, border_px=60.0)
    ).particles
    gap = np.minimum.reduce([everything.x, 419 - everything.x, everything.y, 299 - everything.y])
    assert (gap < 60).any()
    assert len(inner) == (gap >= 60).sum()


def test_no_two_picks_are_closer_than_the_minimum_distance(tmp_path: Path) -> None:
    draw(tmp_path / "m.mrc")
    picked = pick_micrograph(
        DiscFinder(), tmp_path / "m.mrc", recipe(floor=0.0, min_distance=1.5)
    ).particles
    tree = KDTree(np.stack([picked.x, picked.y], axis=1))
    assert not tree.query_pairs(1.5 * 40 * 0.98)


def test_averaging_views_does_not_change_what_a_symmetric_network_finds(tmp_path: Path) -> None:
    draw(tmp_path / "m.mrc", (320, 480))
    one, eight = (
        pick_micrograph(DiscFinder(), tmp_path / "m.mrc", recipe(average_views=average)).particles
        for average in (False, True)
    )
    assert len(one) == len(eight)
    np.testing.assert_allclose(one.score, eight.score, atol=0.02)  # type: ignore[arg-type]  # both scored


def test_large_maps_are_cut_into_tiles_and_found_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "m.mrc", (600, 900))
    whole = pick_micrograph(DiscFinder(), tmp_path / "m.mrc", recipe()).particles
    monkeypatch.setattr(micrographs, "WHOLE_PX", 100)
    monkeypatch.setattr(micrographs, "TILE_PX", 128)
    monkeypatch.setattr(micrographs, "MARGIN_PX", 32)
    tiled = pick_micrograph(DiscFinder(), tmp_path / "m.mrc", recipe()).particles
    np.testing.assert_allclose(tiled.x, whole.x, atol=1e-3)
    np.testing.assert_allclose(tiled.y, whole.y, atol=1e-3)


def test_a_gpu_without_room_for_the_whole_map_takes_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small(DiscFinder):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.shape[-1] > 64:
                raise torch.OutOfMemoryError
            return super().forward(images)

    monkeypatch.setattr(micrographs, "TILE_PX", 64)
    monkeypatch.setattr(micrographs, "MARGIN_PX", 16)
    truth = draw(tmp_path / "m.mrc")
    picked = pick_micrograph(Small(), tmp_path / "m.mrc", recipe())
    assert found(truth, picked.particles, 3.0) == len(truth)


def test_an_image_of_one_value_and_a_hot_pixel_is_an_error_that_names_the_file(
    tmp_path: Path,
) -> None:
    image = np.zeros((200, 200))
    image[77, 77] = 1.0
    write_mrc(tmp_path / "flat.mrc", image, 1.0)
    with pytest.raises(CryofixError, match=r"flat\.mrc cannot be normalised"):
        pick_micrograph(DiscFinder(), tmp_path / "flat.mrc", recipe())


def test_relative_sizes_are_those_of_the_blobs() -> None:
    rows, columns = np.mgrid[:200, :300]
    probability = np.zeros((200, 300), dtype=np.float32)
    blobs = [(50, 60, 6.0), (150, 60, 12.0), (240, 120, 3.0)]
    for x, y, radius in blobs:
        probability[np.hypot(columns - x, rows - y) <= radius] = 0.9
    x, y, radius = np.array(blobs).T
    sizes = relative_sizes(probability, Particles(x, y, np.full(3, 0.9)), 6.0)
    np.testing.assert_allclose(sizes, radius / 6.0, rtol=0.06)
    assert relative_sizes(probability, Particles.empty(), 6.0).shape == (0,)
