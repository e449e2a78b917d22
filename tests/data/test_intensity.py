"""Random intensity, reproducible for each sample."""

import torch

from cryofix.data.intensity import Intensity, change_intensity

STRONG = Intensity(noise=0.5, contrast=0.4, brightness=0.3, blur_px=1.5, amplitude=0.3)


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    batch = images()
    together = change_intensity(batch, STRONG, 3, 1, [7, 8, 9, 10])
    alone = change_intensity(batch[2:3], STRONG, 3, 1, [9])
    torch.testing.assert_close(together[2:3], alone, rtol=0, atol=1e-6)


def test_seed_stream_and_index_each_change_the_draw() -> None:
    batch = images(1)
    results = [
        change_intensity(batch, STRONG, *key)
        for key in ((0, 0, [0]), (1, 0, [0]), (0, 1, [0]), (0, 0, [1]))
    ]
    for i, one in enumerate(results):
        for other in results[i + 1 :]:
            assert not torch.allclose(one, other)


def test_nothing_asked_changes_nothing() -> None:
    batch = images()
    torch.testing.assert_close(change_intensity(batch, Intensity(), 0, 0, range(4)), batch)


def test_values_are_not_clipped_to_the_unit_interval() -> None:
    changed = change_intensity(images(), STRONG, 0, 0, range(4))
    assert changed.min() < -1
    assert changed.max() > 1


def test_each_knob_does_what_it_says() -> None:
    batch = images(64)
    noisy = change_intensity(batch, Intensity(noise=1.0), 0, 0, range(64)) - batch
    assert 0.5 < float(noisy.std(dim=(1, 2, 3)).max()) <= 1.05
    bright = (change_intensity(batch, Intensity(brightness=0.5), 0, 0, range(64)) - batch)[
        :, 0, 0, 0
    ]
    assert -0.5 <= float(bright.min()) < -0.3
    assert 0.3 < float(bright.max()) <= 0.5
    blurred = change_intensity(batch, Intensity(blur_px=2.0), 0, 0, range(64))
    assert float(blurred.std(dim=(1, 2, 3)).min()) < 0.3
