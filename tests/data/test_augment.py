"""Geometry and holes are what albumentations draws with the same seed in a pipeline of its own."""

import albumentations as A  # noqa: N812 - its documented alias
import numpy as np

from cryofix.data.augment import Cutout, Geometry, punch, warp


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
