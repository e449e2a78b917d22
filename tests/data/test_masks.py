"""Images with masks: what is read of them, and what becomes of it in tiles and at other scales."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cryofix.data.blocks import describe
from cryofix.data.datamodule import CryoDataModule
from cryofix.errors import CryofixError
from cryofix.formats.masks import find_masks, read_mask

SHAPE = (64, 96)


def classes() -> NDArray[np.uint8]:
    """Return a map with a square of class 1 and a larger one of class 2, one in eight pixels."""
    found = np.zeros(SHAPE, np.uint8)
    found[8:24, 8:24] = 1
    found[32:48, 40:72] = 2
    return found


def write_png(path: Path, array: NDArray[Any], mode: str | None = None) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array, mode).save(path)
    return path


def in_colours(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colours: NDArray[np.uint8] = np.array([[0, 0, 0], [128, 0, 0], [0, 0, 90]], np.uint8)[array]
    return colours


def dataset(folder: Path, *, masks: int = 5, images: int = 6) -> None:
    """Write images that are brighter where a class is, and masks of the first of them."""
    random = np.random.default_rng(0)
    for number in range(images):
        here = np.roll(classes(), number, axis=1)
        image = 40 * (here > 0) + random.integers(0, 9, SHAPE)
        write_png(folder / "images" / f"{number}.png", image.astype(np.uint8))
        if number < masks:
            write_png(folder / "masks" / f"{number}.png", here)


def module(folder: Path, cache: Path, **settings: Any) -> CryoDataModule:
    places: dict[str, Any] = {
        "root": str(folder),
        "images": "images",
        "masks": "masks",
        "cache": str(cache),
    }
    given: dict[str, Any] = {"ratio": 0.5, "seed": 0, "tile_px": 48} | settings
    return CryoDataModule(**places, **given)


def test_a_mask_is_the_same_in_every_format(tmp_path: Path) -> None:
    truth = classes()
    paths = [write_png(tmp_path / "grey.png", truth), tmp_path / "a.tif", tmp_path / "b.npy"]
    tifffile.imwrite(paths[1], truth)
    np.save(paths[2], truth[..., None].astype(np.int64))
    palette = Image.fromarray(truth, "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "palette.png")
    grey = write_png(tmp_path / "rgb.png", truth[..., None].repeat(3, 2))
    for path in (*paths, tmp_path / "palette.png", grey):
        np.testing.assert_array_equal(read_mask(path, None), truth > 0, str(path))
        np.testing.assert_array_equal(read_mask(path, 2), truth == 2, str(path))
    coloured = write_png(tmp_path / "coloured.png", in_colours(truth))
    np.testing.assert_array_equal(read_mask(coloured, None), truth > 0)
    with pytest.raises(CryofixError, match=r"coloured\.png is a mask in colours"):
        read_mask(coloured, 1)


def test_files_that_are_no_masks_are_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "deep.npy", np.zeros((4, 5, 6)))
    np.save(tmp_path / "words.npy", np.array(["a"]))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    for name, said in (
        ("deep", "has shape"),
        ("words", "no numbers"),
        ("broken", "cannot be read"),
    ):
        (path,) = tmp_path.glob(f"{name}.*")
        with pytest.raises(CryofixError, match=f"{name}.*{said}"):
            read_mask(path, None)
    with pytest.raises(CryofixError, match="holds no mask"):
        find_masks(str(tmp_path / "nothing"))
    write_png(tmp_path / "deep.png", classes())
    with pytest.raises(CryofixError, match="both the mask of 'deep'"):
        find_masks(str(tmp_path))


def test_images_without_a_mask_are_unlabelled_and_the_others_are_split(
    tmp_path: Path, cache: Path
) -> None:
    dataset(tmp_path)
    data = module(tmp_path, cache, validation=1, test=1)
    data.setup()
    assert "5" in data.split.unlabelled
    assert len(data.split.labelled) + len(data.split.unlabelled) == 4
    assert not data.has_particles
    one = data.part("test")[0]
    target, valid = data.maps(one)
    expected = np.roll(classes(), int(one.micrograph.name), axis=1) > 0
    np.testing.assert_array_equal(target, expected)
    assert valid.all()
    assert data.prior_per_micrograph() == pytest.approx([0.125] * len(data.split.labelled))
    with pytest.raises(CryofixError, match="hold no particles: give"):
        _ = data.dataset.particle_px


def test_the_value_chooses_the_class_and_is_not_taken_from_the_cache_of_another(
    tmp_path: Path, cache: Path
) -> None:
    dataset(tmp_path)
    for value, share in ((None, 0.125), (1, 256 / 6144), (2, 512 / 6144)):
        data = module(tmp_path, cache, mask_value=value)
        assert data.prior_per_micrograph() == pytest.approx([share] * len(data.part("labelled")))


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_at_another_scale_masks_stay_on_what_they_mark(
    tmp_path: Path, cache: Path, scale: float
) -> None:
    dataset(tmp_path, masks=1, images=1)
    one = module(tmp_path, cache, scale=scale, test=0, validation=0).dataset.annotated["0"]
    image, (target, _) = one.read(), one.maps(0, 0)
    assert image.shape == target.shape == (round(64 * scale), round(96 * scale))
    assert target.mean() == pytest.approx(0.125, rel=0.25)
    assert image[target].mean() > 1.5
    assert abs(image[~target].mean()) < 0.6
    assert np.corrcoef(image.ravel(), target.ravel())[0, 1] > 0.9


def test_an_image_with_one_grey_level_in_most_pixels_is_normalised(
    tmp_path: Path, cache: Path
) -> None:
    dataset(tmp_path)
    write_png(tmp_path / "images" / "0.png", 50 * (classes() > 0).astype(np.uint8))
    image = module(tmp_path, cache).dataset.annotated["0"].read()
    assert image.mean() == pytest.approx(0, abs=0.01)
    assert image.std() == pytest.approx(1, abs=0.01)


def test_masks_that_fit_no_image_are_refused(tmp_path: Path, cache: Path) -> None:
    dataset(tmp_path)
    write_png(tmp_path / "masks" / "lost.png", classes())
    with pytest.raises(CryofixError, match=r"lost.png is the mask of no image.*1 of 6 masks"):
        module(tmp_path, cache).setup()
    (tmp_path / "masks" / "lost.png").unlink()
    write_png(tmp_path / "masks" / "3.png", classes()[:, :50])
    with pytest.raises(CryofixError, match=r"3.png has 64 x 50 pixels, and its image .* 64 x 96"):
        module(tmp_path, cache).setup()


def test_tiles_know_what_the_mask_says_and_nothing_beyond_the_border(
    tmp_path: Path, cache: Path
) -> None:
    dataset(tmp_path)
    data = module(tmp_path, cache, border_px=6, geometry={"probability": 0.0})
    for index in range(40):
        tile = data.stream("labelled")[index]
        assert tile["uniform"]
        assert (tile["known"] == tile["valid"]).all()
        assert (tile["image"][tile["target"] > 0] > 0.5).all()
        assert (tile["image"][tile["target"] == 0] < 0.5).all()
    _, valid = data.maps(data.part("labelled")[0])
    assert valid.sum() == (64 - 12) * (96 - 12)
    assert "5" in data.split.unlabelled
    for index in range(40):
        tile = data.stream("unlabelled")[index]
        assert tile["known"].any() == (data.split.unlabelled[tile["micrograph"]] != "5")


def test_blocks_validate_where_there_is_no_image_to_spare(tmp_path: Path, cache: Path) -> None:
    dataset(tmp_path, masks=1, images=2)
    data = module(tmp_path, cache, ratio=1.0, tile_px=32, test=0, validation=0)
    (taught,), (scored,) = data.part("labelled"), data.part("validation")
    (target, taught_pixels), (_, scored_pixels) = data.maps(taught), data.maps(scored)
    assert not (taught_pixels & scored_pixels).any()
    assert (taught_pixels | scored_pixels).all()
    for valid in (taught_pixels, scored_pixels):
        assert target[valid].any()
        assert not target[valid].all()
    (said,) = describe(data.blocks)
    held_out = int(target[scored_pixels].sum())
    assert f"with {held_out} of {int(target.sum())} pixels of the class, which" in said


def test_a_class_in_one_place_cannot_be_taught_and_validated(tmp_path: Path, cache: Path) -> None:
    dataset(tmp_path, masks=1, images=2)
    once = np.zeros(SHAPE, np.uint8)
    once[8, 8] = 1
    write_png(tmp_path / "masks" / "0.png", once)
    data = module(tmp_path, cache, ratio=1.0, tile_px=32, test=0, validation=0)
    with pytest.raises(CryofixError, match=r"the pixels of the class of 0 \(1\) are too few"):
        data.part("labelled")
