"""What has to come out the same however many processes share a batch.

Floating-point sums depend on their order, and so on how a batch is cut over ranks. Sums here are
therefore of integers, and random numbers are a function of a pixel's place in the whole batch.
"""

from typing import TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

#: One unit of the fixed-point sums: values in [0, 1] are rounded to float32's own spacing below 1.
_UNITS = 2**24


def sum_over_ranks(counts: Tensor) -> Tensor:
    """Return int64 ``counts`` summed over all ranks, or unchanged outside torch.distributed."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(counts)
    return counts


def exact_sums(
    *terms: tuple[Float32[Tensor, "*shape"], Bool[Tensor, "*shape"]],
) -> tuple[Float32[Tensor, " terms"], Int64[Tensor, " terms"]]:
    """Sum values over the pixels and ranks where their mask is true.

    Parameters
    ----------
    *terms
        Pairs of values in [0, 1] and a mask.

    Returns
    -------
    sums, counts
        One number for each pair: the sum, and how many pixels it is over. Values enter with a
        resolution of 2^-24; up to 5e11 pixels fit.
    """
    sums = [
        torch.where(where, values * _UNITS, 0.0).round().to(torch.int64).sum()
        for values, where in terms
    ]
    both = sum_over_ranks(torch.stack([*sums, *(where.sum() for _, where in terms)]))
    return both[: len(terms)].float() / _UNITS, both[len(terms) :]


def uniform_noise(
    like: Float32[Tensor, "batch 1 height width"], seed: int
) -> Float32[Tensor, "batch 1 height width"]:
    """Return numbers in [0, 1) that depend on the seed and on each pixel's place alone.

    A hash and not a generator: the same on every device, leaves the global generator alone, and
    two ranks with equal batches draw what one rank would for both batches together.
    """
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    place = torch.arange(like.numel(), device=like.device) + rank * like.numel()
    # The place is scrambled before the seed enters, so that steps are not shifts of one another.
    start = _scrambled((seed ^ (seed >> 32)) & 0xFFFFFFFF)
    bits = _scrambled((_scrambled(place & 0xFFFFFFFF) + start) & 0xFFFFFFFF)
    return ((bits >> 8).float() / _UNITS).view_as(like)


_Number = TypeVar("_Number", int, Tensor)


def _scrambled(bits: _Number) -> _Number:
    """Return a one-to-one scrambling of 32-bit numbers; the product stays below 2^63."""
    for _ in range(2):
        bits = (((bits >> 16) ^ bits) * 0x45D9F3B) & 0xFFFFFFFF
    return (bits >> 16) ^ bits
