"""The distribution of p over the unlabelled data: thresholds by rank come from it.

Quantiles of batches can be neither summed over ranks nor averaged over steps, and `torch.quantile`
sorts all values (older releases refuse more than 2^24); a histogram has none of these troubles.
Its bins are those of a short floating-point number: the octaves of ``p`` below 0.5 and of
``1 - p`` above it, each cut into 256 equal parts, as far as float32 reaches. So they are fine
enough wherever a teacher puts its probabilities, and finding a pixel's bin is exact integer
arithmetic on the bits of its float32, the same on every device.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn

from cryofix.masking.checks import require_decay
from cryofix.masking.probability import scalar
from cryofix.masking.ranks import sum_over_ranks
from cryofix.metrics.device_counts import counted

_DROPPED_BITS = 23 - 8  # of float32's 23 bits of mantissa, 8 tell the parts of an octave
_HALF = 126 << 8  # 0.5, as the exponent and mantissa bits that are left
_LOWEST_P = 1 << 8  # 2^-126, float32's smallest normal number
_LOWEST_REST = (127 - 24) << 8  # 2^-24, the smallest 1 - p beside 0
_BELOW_HALF = _HALF - _LOWEST_P + 1  # bins below 0.5; the first one reaches down to 0
_ABOVE_HALF = _HALF - _LOWEST_REST + 1  # bins above 0.5; the last one holds 1 alone
BINS = _BELOW_HALF + 1 + _ABOVE_HALF


def bin_index(prob: Float32[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Return the bin of each probability, rising with p, from 0 to ``BINS - 1``."""
    below = _steps_from_zero(prob, _LOWEST_P)
    above = BINS - 1 - _steps_from_zero(1.0 - prob, _LOWEST_REST)
    return torch.where(prob < 0.5, below, above).long()


def bin_edges() -> Float32[Tensor, " edges"]:
    """Return the ``BINS + 1`` edges, from 0 to 1; the bin of 0.5 itself has no width."""
    return torch.cat(
        [_from_zero_to_half(_LOWEST_P), 1.0 - _from_zero_to_half(_LOWEST_REST).flip(0)]
    )


def _steps_from_zero(prob: Tensor, lowest: int) -> Tensor:
    return ((prob.view(torch.int32) >> _DROPPED_BITS) - (lowest - 1)).clamp(min=0)


def _from_zero_to_half(lowest: int) -> Tensor:
    bits = torch.arange(lowest, _HALF + 1, dtype=torch.int32) << _DROPPED_BITS
    return torch.cat([torch.zeros(1), bits.view(torch.float32)])


@dataclass(frozen=True)
class Cut:
    """Where a share of the distribution, counted from one end, stops."""

    bin: Int64[Tensor, ""]
    """The bin it stops in."""
    fraction: Float32[Tensor, ""]
    """How much of that bin still belongs to the share, in [0, 1]."""
    value: Float32[Tensor, ""]
    """The probability that this is, by interpolation inside the bin."""


class Histogram(nn.Module):
    """Moving average of the counts of p in bins, float32; before the first batch p is uniform.

    Parameters
    ----------
    decay
        Share of the old counts kept in a step; a plain average until it is as long (see
        `running.RunningMean`). A batch with more valid pixels weighs more.
    """

    counts: Tensor
    updates: Tensor
    edges: Tensor

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = require_decay(decay)
        edges = bin_edges()
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("counts", edges.diff())
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def move(self, prob: Float32[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]) -> None:
        """Enter one batch, summed over ranks; one without valid pixels changes nothing."""
        counts = sum_over_ranks(counted(bin_index(prob), valid, BINS))
        seen = counts.sum() > 0
        decay = (self.updates / (self.updates + 1)).clamp(max=self.decay)
        moved = decay * self.counts + (1.0 - decay) * counts
        self.counts.copy_(torch.where(seen, moved, self.counts))
        self.updates += seen

    def lowest(self, share: float | Float[Tensor, ""]) -> Cut:
        """Return where the lowest ``share`` (0 to 1) of all probabilities ends."""
        index, fraction = self._reach(self.counts, share)
        low, high = self._edges_of(index)
        return Cut(index, fraction, low + fraction * (high - low))

    def highest(self, share: float | Float[Tensor, ""]) -> Cut:
        """Return where the highest ``share`` (0 to 1) of all probabilities ends."""
        index, fraction = self._reach(self.counts.flip(0), share)
        index = BINS - 1 - index
        low, high = self._edges_of(index)
        return Cut(index, fraction, high - fraction * (high - low))

    def share_below(self, prob: float) -> Float32[Tensor, ""]:
        """Return the share of probabilities below ``prob``, interpolated inside its bin."""
        point = scalar(prob, self.counts)
        index = bin_index(point)
        low, high = self._edges_of(index)
        inside = ((point - low) / (high - low).clamp(min=1e-30)).clamp(0.0, 1.0)
        cumulative, counts = self.counts.cumsum(0), self.counts.take(index)
        before = cumulative.take(index) - counts
        return ((before + inside * counts) / cumulative[-1]).clamp(0.0, 1.0)

    def _edges_of(self, index: Tensor) -> tuple[Tensor, Tensor]:
        # take: an index that is a tensor without dimensions is fetched from the device
        return self.edges.take(index), self.edges.take(index + 1)

    @staticmethod
    def _reach(counts: Tensor, share: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the first bin where the running sum reaches the share, and how far into it."""
        cumulative = counts.cumsum(0)
        wanted = scalar(share, counts).clamp(0.0, 1.0) * cumulative[-1]
        index = torch.searchsorted(cumulative, wanted).clamp(max=len(counts) - 1)
        there = counts.take(index)
        missing = wanted - (cumulative.take(index) - there)
        return index, (missing / there.clamp(min=1e-30)).clamp(0.0, 1.0)
