"""Random intensity changes of tiles, in torch, batched, on the device.

Every draw depends on (seed, stream, index of the sample) alone, so that the same step of the same
run sees the same numbers whatever the number of workers, ranks or restarts.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Intensity:
    """How far a view's grey values are moved; images have mean 0 and standard deviation 1."""

    noise: float = 0.0
    """Largest standard deviation of the added white Gaussian noise."""
    contrast: float = 0.0
    """Contrast is multiplied by exp(u), u uniform in [-contrast, contrast]."""
    brightness: float = 0.0
    """Largest constant added, either way."""
    blur_px: float = 0.0
    """Largest standard deviation, in pixels, of a Gaussian blur (as a change of defocus or of ice
    thickness gives)."""
    amplitude: float = 0.0
    """Strength of a random smooth gain over spatial frequency (as another CTF gives)."""


def sample_generator(*key: int) -> np.random.Generator:
    """Return what ``numpy.random.default_rng(key)`` does, in three quarters of its time."""
    return np.random.Generator(np.random.PCG64(_seed_sequence(key)))


def sample_seed(*key: int) -> int:
    """Mix whole numbers into one 63-bit seed."""
    return int(_seed_sequence(key).generate_state(1, np.uint64)[0]) >> 1


def _seed_sequence(key: Sequence[int]) -> np.random.SeedSequence:
    """Return the seed sequence of whole numbers, which has to find out 32 bits of each itself."""
    try:
        return np.random.SeedSequence(np.array(key, np.uint32))
    except OverflowError:
        return np.random.SeedSequence(key)


@functools.lru_cache(maxsize=4)  # tiles of a run have one size
def _frequencies(
    height: int, width: int, device: torch.device
) -> tuple[Tensor, Mapping[int, Tensor]]:
    """Return |k| in cycles per pixel, as rfft2 orders it, and the cosines that make up a gain."""
    rows = torch.fft.fftfreq(height, device=device)
    columns = torch.fft.rfftfreq(width, device=device)
    frequency = (rows[:, None] ** 2 + columns**2).sqrt()
    return frequency, {n: torch.cos(2 * torch.pi * n * frequency) for n in (1, 2, 3)}


def change_intensity(
    images: Tensor, intensity: Intensity, seed: int, stream: int, indices: Sequence[int]
) -> Tensor:
    """Return ``images`` with each sample's own random change of intensity.

    Parameters
    ----------
    images
        (batch, 1, height, width), float32.
    intensity
        The ranges to draw from.
    seed, stream, indices
        What the draws depend on; ``indices`` has one number for each sample.

    Returns
    -------
    float32 tensor of the same shape on the same device.
    """
    parameters = np.stack(
        [sample_generator(seed, stream, index).uniform(size=8) for index in indices]
    ).astype(np.float32)
    drawn = torch.from_numpy(parameters).to(images.device, non_blocking=True)[
        :, :, None, None, None
    ]
    signed = 2 * drawn - 1
    if intensity.blur_px > 0 or intensity.amplitude > 0:
        spectrum = torch.fft.rfft2(images)
        frequency, waves = _frequencies(images.shape[-2], images.shape[-1], images.device)
        sigma = drawn[:, 0] * intensity.blur_px
        exponent = -2 * (torch.pi * sigma * frequency) ** 2
        for order, wave in waves.items():
            exponent = exponent + intensity.amplitude * signed[:, order] * wave
        images = torch.fft.irfft2(spectrum * exponent.exp(), s=images.shape[-2:])
    images = (
        images * (intensity.contrast * signed[:, 4]).exp() + intensity.brightness * signed[:, 5]
    )
    if intensity.noise > 0:
        generator = torch.Generator(images.device)
        noise = torch.empty_like(images)
        for row, index in zip(noise, indices, strict=True):
            generator.manual_seed(sample_seed(seed, stream, index, 1))
            row.normal_(generator=generator)
        images = images + intensity.noise * drawn[:, 6] * noise
    return images
