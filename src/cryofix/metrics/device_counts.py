"""Counts of tensors on their own device, without waiting for it."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


def counted(
    index: Int64[Tensor, "*shape"], valid: Bool[Tensor, "*shape"], size: int
) -> Int64[Tensor, " size"]:
    """Return how many valid pixels have each index from 0 to ``size - 1``."""
    # Invalid pixels go to a place of their own: selecting would wait for the device, and
    # torch.bincount would wait for it twice.
    index = torch.where(valid, index, size).flatten()
    counts = index.new_zeros(size + 1).scatter_add_(0, index, torch.ones_like(index))
    return counts[:size].contiguous()


def summed(index: Int64[Tensor, "*shape"], weight: Tensor, size: int) -> Tensor:
    """Return the float64 sum of weights at each index; invalid pixels are to have a weight of 0."""
    sums = torch.bincount(index.flatten(), weight.flatten().double(), minlength=size)
    return sums.double()  # of nothing they are integers
