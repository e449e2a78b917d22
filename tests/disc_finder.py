"""A network that needs no training: dark discs on noise, found by their mean grey value.

In a module of its own so that other processes can import it.
"""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cryofix.data.preprocess import Preprocessing
from cryofix.formats import Particles, write_mrc
from cryofix.picking.micrographs import Recipe

PARTICLE_PX, RADIUS_PX = 16.0, 4.0


class DiscFinder(nn.Module):
    """Logits rise where the mean over a particle-sized disc is dark."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        reach = int(PARTICLE_PX)
        offset = torch.arange(-reach, reach + 1)
        distance = torch.hypot(offset[:, None].float(), offset.float())
        disc = (distance <= PARTICLE_PX / 2).float()
        ring = ((distance > PARTICLE_PX / 2) & (distance <= reach)).float()
        self.register_buffer("kernel", (disc / disc.sum() - ring / ring.sum())[None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, 1, rows, columns)."""
        reach = int(PARTICLE_PX)
        padded = nn.functional.pad(images, (reach,) * 4, mode="reflect")
        return -8.0 * nn.functional.conv2d(padded, self.kernel) - 4.0


class DiesOnWideImages(DiscFinder):
    """Ends its process without a word, as the system does when memory runs out."""

    def forward(self, images: Tensor) -> Tensor:
        """Return what `DiscFinder` returns, unless the image is wide."""
        if images.shape[-1] > 2 * images.shape[-2]:
            os._exit(9)
        return super().forward(images)


def recipe(**changes: object) -> Recipe:
    """Return a recipe for particles of 40 pixels."""
    settings: dict[str, object] = {
        "particle_px": PARTICLE_PX,
        "radius_px": RADIUS_PX,
        "preprocessing": Preprocessing(),
        "diameter_px": 40.0,
        **changes,
    }
    return Recipe(**settings)  # type: ignore[arg-type]  # names and types as in Recipe


def draw(
    path: Path,
    shape: tuple[int, int] = (300, 420),
    diameter: float = 40.0,
    pixel_size: float | None = None,
    count: int = 12,
    seed: int = 0,
) -> Particles:
    """Write a micrograph with dark discs that do not touch, and return their centres."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    image: NDArray[np.float64] = random.normal(size=shape)
    centres: list[NDArray[np.float64]] = []
    for _ in range(10_000):
        margin = 0.75 * diameter
        at = random.uniform(margin, [shape[1] - margin, shape[0] - margin])
        if all(np.linalg.norm(at - other) > 1.5 * diameter for other in centres):
            centres.append(at)
            image -= 2.0 * (np.hypot(columns - at[0], rows - at[1]) < diameter / 2)
        if len(centres) == count:
            break
    write_mrc(path, image.astype(np.float32), pixel_size)
    return Particles(*np.array(centres).T)
