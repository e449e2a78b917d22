"""Moving averages of a few numbers, held in buffers."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from cryofix.masking.checks import require_decay


class RunningMean(nn.Module):
    """Exponential moving averages of means over pixels, float32.

    The n-th batch enters with weight ``max(1 - decay, 1/n)``: a plain average until that is as
    long as the moving one, so that neither the initial value nor the first batch lingers.

    Parameters
    ----------
    initial
        The values before the first batch.
    decay
        Share of the old value kept in a step, in [0, 1).
    """

    value: Tensor
    updates: Tensor

    def __init__(self, *initial: float, decay: float) -> None:
        super().__init__()
        self.decay = require_decay(decay)
        self.register_buffer("value", torch.tensor(initial, dtype=torch.float32))
        self.register_buffer("updates", torch.zeros(len(initial), dtype=torch.int64))

    def move(self, sums: Float32[Tensor, " values"], counts: Int64[Tensor, " values"]) -> None:
        """Enter one batch's ``sums / counts``; where a count is 0 the average stays."""
        decay = (self.updates / (self.updates + 1)).clamp(max=self.decay)
        moved = decay * self.value + (1.0 - decay) * (sums / counts.clamp(min=1))
        self.value.copy_(torch.where(counts > 0, moved, self.value))
        self.updates += counts > 0
