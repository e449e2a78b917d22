"""What the student learns from unlabelled tiles beside their pseudo-labels: what they look like."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cryofix.data.intensity import sample_generator
from cryofix.distributed import sum_over_processes
from cryofix.errors import check_ranges
from cryofix.learning.losses import Mask
from cryofix.learning.network import last_features

Tiles = Float[Tensor, "batch 1 rows columns"]
STEADY = 1e-6  # added to the features' variances, so that a silent channel does no harm


@dataclass(frozen=True)
class Auxiliary(ABC):
    """A task on unlabelled tiles, beside the pseudo-labels."""

    weight: float
    """Factor of its loss."""

    @abstractmethod
    def __call__(
        self, student: nn.Module, images: Tiles, valid: Mask, keys: Sequence[Sequence[int]]
    ) -> Tensor:
        """Return the loss of the student on tiles whose ``valid`` pixels count: 0-d.

        What is drawn for a tile depends on its key.
        """


@dataclass(frozen=True)
class Noise2Void(Auxiliary):
    """Tell hidden pixels from what is around them (Noise2Void, Krull et al. 2019).

    Noise is independent from pixel to pixel, so what can be told of a pixel is its signal. As in
    DenoiSeg (Buchholz et al. 2020) the network that segments learns to denoise too. Its last
    features are read out linearly, by the least squares of each batch, so that there is no second
    head to train.
    """

    weight: float = 0.3
    share: float = 0.03
    """Of the pixels, which are hidden."""
    reach_px: int = 2
    """A hidden pixel shows the value of another, at most so far away along rows and columns."""

    def __post_init__(self) -> None:
        check_ranges(
            self, "auxiliary.", weight=(0, float("inf")), share=(0.001, 0.5), reach_px=(1, 16)
        )

    def __call__(
        self, student: nn.Module, images: Tiles, valid: Mask, keys: Sequence[Sequence[int]]
    ) -> Tensor:
        """Return the share of the hidden pixels' variance that is not explained."""
        seen, (tile, y, x) = self.hide(images, keys)
        features = last_features(student, seen, "auxiliary")
        if features.shape[-2:] != images.shape[-2:]:  # some heads enlarge what they see
            features = interpolate(features, images.shape[-2:], mode="bilinear")
        known, values = features[tile, :, y, x], images[tile, 0, y, x]
        return unexplained(known.float(), values.float(), valid[tile, 0, y, x])

    def hide(
        self, images: Tiles, keys: Sequence[Sequence[int]]
    ) -> tuple[Tiles, tuple[Tensor, Tensor, Tensor]]:
        """Return tiles in which some pixels show the value of another, and tile, y, x of these."""
        batch, _, rows, columns = images.shape
        places = np.stack([self._places(rows, columns, key) for key in keys], axis=1)
        moved = torch.from_numpy(places.reshape(4, -1)).to(images.device, non_blocking=True)
        y, x, from_y, from_x = moved
        tile = torch.arange(batch, device=images.device).repeat_interleave(places.shape[-1])
        seen = images.clone()
        seen[tile, 0, y, x] = images[tile, 0, from_y, from_x]
        return seen, (tile, y, x)

    def _places(self, rows: int, columns: int, key: Sequence[int]) -> NDArray[np.int64]:
        """Draw what is hidden in a tile, and whose value it shows: y, x, y, x; (4, count)."""
        draw = sample_generator(*key)
        y, x = np.divmod(
            draw.choice(rows * columns, round(self.share * rows * columns), replace=False), columns
        )
        side = 2 * self.reach_px + 1
        move = draw.integers(1, side**2, len(y))  # 0 would be no move
        down, right = ((each + self.reach_px) % side - self.reach_px for each in divmod(move, side))
        return np.stack([y, x, _inside(y, down, rows), _inside(x, right, columns)])


def _inside(place: NDArray[np.int64], move: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Move along one axis; the other way where that would leave the tile."""
    moved: NDArray[np.int64] = place + move
    return np.where((moved < 0) | (moved >= size), place - move, moved)


def unexplained(
    features: Float[Tensor, "pixels channels"],
    values: Float[Tensor, " pixels"],
    counts: Bool[Tensor, " pixels"],
) -> Tensor:
    """Return the share of the values' variance that no linear function of the features explains.

    Only pixels that ``counts`` are looked at, those of all processes; without any the share is 0.
    The gradient is that at the best function, which is held fixed. No device is waited for.
    """
    known = sum_over_processes(counts.sum())
    weight = (counts / known.clamp(min=1)).to(features.dtype)[:, None]
    features = torch.where(counts[:, None], features, 0)
    # What is left has mean 0, so the mean takes no part in the gradient.
    features = features - sum_over_processes((weight * features.detach()).sum(dim=0))
    values = torch.where(counts, values, 0)[:, None]
    values = values - sum_over_processes((weight * values).sum())
    with torch.no_grad():
        exact, of_values = features.double(), values.double()
        gram = sum_over_processes(exact.T @ (weight * exact))
        gram.diagonal().add_(STEADY)
        factor, _ = torch.linalg.cholesky_ex(gram)
        together = sum_over_processes(exact.T @ (weight * of_values))
        readout = torch.cholesky_solve(together, factor)
    told = (features * readout.to(features.dtype).T).sum(dim=1, keepdim=True)  # never in bf16
    left = sum_over_processes((weight * (told - values).square()).sum())
    variance = sum_over_processes((weight * values.square()).sum())
    return left / variance.clamp(min=STEADY)
