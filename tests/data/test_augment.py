"""Geometry and holes are what albumentations draws with the same seed in a pipeline of its own."""

import albumentations as A  # noqa: N812 - its documented alias
import numpy as np
import pytest

from cryofix.data.augment import Cutout, Geometry, punch, warp
from cryofix.errors import CryofixError


def test_image_and_maps_move_as_in_a_seeded_compose() -> None:
    geometry = Geometry()
    ours, theirs = geometry.build(), A.Compose([A.D4(p=1.0), geometry.build()])
    random = np.random.default_rng(0)
    image = random.normal(size=(40, 40)).astype(np.float32)
    target, valid = random.uniform(size=(2, 40, 40)) < np.array([0.2, 0.8])[:, None, None]
    for seed in range(30):
        theirs.set_random_seed(seed)
        masks = [part.astype(np.uint8) for part in (target, valid)]
        expected = theirs(image=image, masks=masks)
        moved = warp(ours, seed, image, target, valid)
        for part, reference in zip(moved, (expected["image"], *expected["masks"]), strict=True):
            np.testing.assert_array_equal(part, reference)
        assert moved[1].dtype == moved[2].dtype == bool


def test_holes_are_those_of_a_seeded_compose() -> None:
    cutout = Cutout()
    ours = cutout.build()
    assert ours is not None
    theirs = A.Compose([ours])
    for seed in range(30):
        theirs.set_random_seed(seed)
        expected = theirs(image=np.ones((50, 60), np.uint8))["image"] > 0
        np.testing.assert_array_equal(punch(ours, seed, (50, 60)), expected)


NAN = float("nan")


@pytest.mark.parametrize(
    ("of", "key", "value"),
    [
        (Geometry, "rotate_degrees", -1.0),
        (Geometry, "scale", 1.5),
        (Geometry, "probability", 2.0),
        (Geometry, "probability", NAN),
        (Cutout, "holes", -1),
        (Cutout, "side_min", -0.1),
        (Cutout, "side_max", 1.0),
    ],
)
def test_numbers_that_make_no_sense_are_refused_with_their_key_and_range(
    of: type, key: str, value: float
) -> None:
    said = rf"^augment\.{of.__name__.lower()}\.{key}={value} is out of range: give a number from 0"
    with pytest.raises(CryofixError, match=said):
        of(**{key: value})


def test_the_smaller_side_of_a_hole_comes_first() -> None:
    said = r"side_min=0\.3 is above augment\.cutout\.side_max=0\.15: give the smaller one first"
    with pytest.raises(CryofixError, match=said):
        Cutout(side_min=0.3)
