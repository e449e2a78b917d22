"""From a network and a micrograph to a probability map of the whole micrograph."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor, nn

from cryofix.errors import CryofixError

STRIDE = 32
"""Sides are padded to multiples of this: the coarsest grid of common encoders."""

Network = Callable[[Tensor], Tensor]


def predict_map(
    network: nn.Module,
    image: NDArray[np.float32] | Tensor,
    *,
    tile: int | None = None,
    margin: int = 128,
    batch: int = 4,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    average_views: bool = False,
) -> Float32[np.ndarray, "rows columns"]:
    """Return the particle probability of every pixel of a micrograph.

    Without ``tile`` the network sees the whole micrograph at once, padded by reflection at the
    right and the bottom to a multiple of 32. With ``tile`` it sees overlapping squares on the
    same grid, and each pixel is taken from a tile in which it lies ``margin`` or more from the
    cut. For networks whose layers are local in eval mode (convolutions, batch norm) and whose
    receptive field reaches no farther than ``margin`` (107 pixels for our small U-Net, 137 for one
    with a ResNet-18 encoder of depth 4), both give the same map. Group and instance norms average
    over what they are shown, so their map depends on the tile. Show those networks the whole
    micrograph or large tiles (512), even if they were trained on small ones: more pixels give
    steadier averages. And use one tile for validation, test and picking.

    Raises CryofixError if the image is not two-dimensional, ``tile`` or ``margin`` do not fit, or
    the network changes the shape.

    Parameters
    ----------
    network
        (batch, 1, rows, columns) -> logits of the same shape. It is run in eval mode and without
        gradients; the modes of its modules are restored.
    image
        Preprocessed micrograph, shape (rows, columns), float32.
    tile, margin
        Side of the tiles, a multiple of 32; and the context, a multiple of 16 and less than half a
        tile, that a tile has beyond the part that is used. In pixels.
    batch
        Tiles in one pass.
    device
        Where to run; None is where the network's weights are.
    dtype
        Precision of the network (autocast); the sigmoid is always taken in float32.
    average_views
        Average the probabilities over the eight flips and quarter turns; eight times the work.
    """
    pixels = torch.as_tensor(image, dtype=torch.float32)
    if pixels.ndim != 2 or 0 in pixels.shape:
        raise CryofixError(f"an image has rows and columns, not shape {tuple(pixels.shape)}")
    if tile is not None:
        _check_tiles(tile, margin)
    if device is None:
        device = next((weight.device for weight in network.parameters()), pixels.device)
    device = torch.device(device)
    with _evaluating(network), torch.autocast(device.type, dtype, dtype != torch.float32):
        views = []
        for turns, flipped in product(range(4), (False, True)) if average_views else [(0, False)]:
            seen = torch.rot90(pixels, turns, (0, 1))
            seen = seen.flip(1) if flipped else seen
            found = _predict(network, seen, tile, margin, batch, device)
            found = found.flip(1) if flipped else found
            views.append(torch.rot90(found, -turns, (0, 1)))
        mean = torch.stack(views).mean(dim=0) if average_views else views[0]
    return mean.contiguous().numpy()


def _predict(
    network: nn.Module,
    pixels: Float[Tensor, "rows columns"],
    tile: int | None,
    margin: int,
    batch: int,
    device: torch.device,
) -> Float[Tensor, "rows columns"]:
    """Return the probability map of one view."""
    rows, columns = pixels.shape
    padded = _reflected(pixels)
    height, width = padded.shape
    tile_height, tile_width = (min(tile or side, side) for side in padded.shape)
    boxes = [*product(_spans(height, tile_height, margin), _spans(width, tile_width, margin))]
    result = torch.empty(height, width)
    # A network trained in double or half precision takes no other input.
    precision = next((weight.dtype for weight in network.parameters()), pixels.dtype)
    for start in range(0, len(boxes), batch):
        chosen = boxes[start : start + batch]
        tiles = [
            padded[down.start : down.start + tile_height, across.start :][:, :tile_width]
            for down, across in chosen
        ]
        probability = _probability(network, torch.stack(tiles)[:, None].to(device, precision))
        for (down, across), one in zip(chosen, probability, strict=True):
            result[down.first : down.last, across.first : across.last] = one[
                down.first - down.start : down.last - down.start,
                across.first - across.start : across.last - across.start,
            ]
    return result[:rows, :columns]


def _probability(
    network: Network, tiles: Float[Tensor, "batch 1 rows columns"]
) -> Float[Tensor, "batch rows columns"]:
    """Return probabilities on the CPU."""
    logits = network(tiles)
    if logits.shape != tiles.shape:
        raise CryofixError(
            f"the network turned {tuple(tiles.shape)} into {tuple(logits.shape)}: picking needs "
            "one logit for each pixel"
        )
    return torch.sigmoid(logits.float())[:, 0].cpu()


class _Span(NamedTuple):
    """One axis of a tile: where it starts, and the part [first, last) that is taken from it."""

    start: int
    first: int
    last: int


def _spans(side: int, tile: int, margin: int) -> list[_Span]:
    """Cover a side with tiles; neighbours share at least two margins and are cut half-way."""
    step = max(tile - 2 * margin, STRIDE)
    starts = [*range(0, side - tile, step), side - tile]
    cuts = [(before + tile + after) // 2 for before, after in pairwise(starts)]
    return [
        _Span(start, first, last)
        for start, first, last in zip(starts, [0, *cuts], [*cuts, side], strict=True)
    ]


def _check_tiles(tile: int, margin: int) -> None:
    """Refuse tiles that would sample another grid than the whole micrograph does."""
    if tile % STRIDE or margin % (STRIDE // 2) or not 0 <= 2 * margin < tile:
        raise CryofixError(
            f"tiles of {tile} with margins of {margin} pixels do not fit: a tile must be a multiple"
            f" of {STRIDE}, a margin a multiple of {STRIDE // 2} and less than half the tile"
        )


def _reflected(pixels: Float[Tensor, "rows columns"]) -> Float[Tensor, "height width"]:
    """Pad right and bottom to multiples of the stride; also sides shorter than the padding."""
    pad = [(0, -side % STRIDE) for side in pixels.shape]
    # torch's reflection cannot pad by more than the side.
    return torch.from_numpy(np.pad(pixels.cpu().numpy(), pad, mode="reflect"))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode without gradients, and every module back afterwards."""
    were_training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in were_training:
            module.training = True
