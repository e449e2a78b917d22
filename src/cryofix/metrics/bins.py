"""The bins that p is counted in: exact at decimal confidences, logarithmic where p is extreme.

Policies compare in float32: a particle is kept where ``p >= t``, a background pixel where
``1 - p >= t``, with ``1 - p`` and ``t`` rounded to float32. Both numbers lie in [0.5, 1], where
float32 is a grid of step 2^-24, so the confidence ``c = max(p, 1 - p)`` is ``1/2 + m / 2^24`` with
an integer m that can be read off the bits of the float. Then ``(125 m + 62) >> 17`` is the bin of
c in steps of 1/16000, and every edge lies *exactly where float32 compares*: bin k begins at
``125 (m + 1/2) >= k 2^17``, which rounds ``1/2 + k/16000`` to the grid as float32 does. Five
passes of simple arithmetic and one count: 2 ns for a pixel, in constant memory.

Above ``c = 1 - 1/16000`` linear bins would lump together what saturated networks rank, so there the
rest ``1 - c`` is counted by 16 bins to the octave, down to 2^-40.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

STEPS = 16_000  # linear bins between c = 0 and 1
BINS_PER_MILLI = STEPS // 1000
LINEAR = STEPS // 2 - 1  # of one predicted class; the rest is the tail
CHUNK = 1 << 17  # pixels; its buffers stay in a core's second-level cache

_SHIFT = np.uint32(17)
_SIZE = 1 << (32 - 17)
_PARTICLE_START, _BACKGROUND_START = 0, _SIZE // 2  # bit 31 of a float is its sign
_TRUE_START = _SIZE // 4  # bit 30, which 125 m + 62 leaves free
_ZERO = np.uint32((62 - 125 * 0x3F000000) % 2**32)  # 0x3f000000 are the bits of 0.5
_TRUE = np.uint32(1 << 30)
_TAIL_SHIFT = np.uint32(23 - 4)  # 4 bits of mantissa tell the 16 parts of an octave
_TAIL_FIRST = (127 - 40) << 4  # 2^-40, as the exponent and mantissa bits that are left
_TAIL_LAST = ((127 - 14) << 4) | 0  # 2^-14; the tail ends in this part, at 1/16000
TAIL = _TAIL_LAST - _TAIL_FIRST + 2  # the first bin reaches down to 0
BINS = 2 * (LINEAR + TAIL)


@dataclass
class Checked:
    """What was wrong with counted values: how many were NaN, how many outside [0, 1]."""

    nan: int = 0
    outside: int = 0
    low: float = 0.0
    high: float = 1.0

    def add(self, other: "Checked") -> None:
        """Add another part's findings."""
        self.nan += other.nan
        self.outside += other.outside
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> "Checked":
        """Look at values one by one."""
        missing = np.isnan(values)
        present = values[~missing]
        outside = (present < 0) | (present > 1)
        return cls(
            int(missing.sum()),
            int(outside.sum()),
            float(present.min(initial=0.0)),
            float(present.max(initial=1.0)),
        )


class Counter:
    """Counts of one thread; `counts` puts them in order.

    A chunk with a value that is no probability is not counted but found in `wrong`.
    """

    def __init__(self) -> None:
        self.wrong = Checked()
        self._linear = np.zeros((2, _SIZE), np.int64)  # unknown truth, known truth
        self._tails = np.zeros((3, 2, TAIL), np.int64)  # true class, predicted class
        self._below = np.empty(CHUNK, np.bool_)
        self._signed = np.empty(CHUNK, np.float32)
        # Without truth bit 30 is given in turns: equal neighbours then count in two places, and
        # no addition has to wait for the one before it to reach memory.
        self._turns = (np.arange(CHUNK, dtype=np.uint32) % 2) * _TRUE + _ZERO
        self._offset = np.empty(CHUNK, np.uint32)

    def add(self, probability: NDArray[np.float32], truth: NDArray[np.bool_] | None = None) -> None:
        """Count flat arrays of one length; ``truth`` is true at particle pixels."""
        for start in range(0, len(probability), CHUNK):
            part = slice(start, start + CHUNK)
            self._add_chunk(probability[part], None if truth is None else truth[part])

    def _add_chunk(self, p: NDArray[np.float32], truth: NDArray[np.bool_] | None) -> None:
        size = len(p)
        if not (p.min(initial=0.0) >= 0 and p.max(initial=1.0) <= 1):  # NaN fails as well
            self.wrong.add(Checked.of(p))
            return
        below, signed = self._below[:size], self._signed[:size]
        np.less(p, np.float32(0.5), out=below)
        np.subtract(p, below, out=signed)  # p where particle, -(1 - p) where background
        keys = signed.view(np.uint32)
        np.multiply(keys, np.uint32(125), out=keys)
        if truth is None:
            offset = self._turns[:size]
        else:
            offset = self._offset[:size]
            np.multiply(truth, _TRUE, out=offset)
            np.add(offset, _ZERO, out=offset)
        np.add(keys, offset, out=keys)
        np.right_shift(keys, _SHIFT, out=keys)
        counts = np.bincount(keys, minlength=_SIZE)
        self._linear[0 if truth is None else 1] += counts
        self._add_tails(p, truth, keys, counts)

    def _add_tails(
        self,
        p: NDArray[np.float32],
        truth: NDArray[np.bool_] | None,
        keys: NDArray[np.uint32],
        counts: NDArray[np.intp],
    ) -> None:
        for predicted, start in ((0, _BACKGROUND_START), (1, _PARTICLE_START)):
            first, last = start + LINEAR, start + LINEAR + 1  # the last is c = 1 itself
            if not (counts[first : last + 1].any() or counts[first + _TRUE_START :][:2].any()):
                continue
            extreme = (keys & np.uint32(_SIZE - 1 - _TRUE_START)) >= first
            extreme &= self._below[: len(p)] if predicted == 0 else ~self._below[: len(p)]
            # Adding 0 turns -0.0, whose bits are those of a large number, into 0.
            rest = p[extreme] + np.float32(0) if predicted == 0 else 1 - p[extreme]
            parts = (rest.view(np.uint32) >> _TAIL_SHIFT).astype(np.int64)
            bins = np.maximum(parts - (_TAIL_FIRST - 1), 0)
            if truth is None:
                self._tails[2, predicted] += np.bincount(bins, minlength=TAIL)
            else:
                by_class = np.bincount(bins + TAIL * truth[extreme], minlength=2 * TAIL)
                self._tails[:2, predicted] += by_class.reshape(2, TAIL)

    def counts(self) -> IntArray:
        """Return int64 counts, shape (3, BINS): background, particle, unknown; p rises."""
        unknown, known = self._linear.reshape(2, 2, 2, _SIZE // 4)  # sign, bit 30, c
        linear = np.stack([known[:, 0], known[:, 1], unknown.sum(axis=1)])[..., :LINEAR]
        ordered: IntArray = np.concatenate(
            [self._tails[:, 0], linear[:, 1, ::-1], linear[:, 0], self._tails[:, 1, ::-1]], axis=1
        )
        return ordered


def _tail_edges() -> FloatArray:
    """Return the ``TAIL + 1`` edges of the rest 1 - c, from 0 to 1/16000."""
    bits = np.arange(_TAIL_FIRST, _TAIL_LAST + 1, dtype=np.uint32) << _TAIL_SHIFT
    return np.array([0.0, *bits.view(np.float32).astype(np.float64), 1 / STEPS])


def _representatives() -> FloatArray:
    """Return a probability inside each bin: its middle, of logarithms in the tails."""
    edges = _tail_edges()
    tail = np.sqrt(np.maximum(edges[:-1], edges[1] / 4) * edges[1:])
    linear = 0.5 + (np.arange(LINEAR) + 0.5) / STEPS
    return np.concatenate([tail, 1 - linear[::-1], linear, 1 - tail[::-1]])


def _edges() -> FloatArray:
    tail = _tail_edges()
    linear = 0.5 + np.arange(LINEAR) / STEPS
    below = np.concatenate([tail, 1 - linear[::-1]])
    return np.concatenate([below, linear[1:], 1 - tail[::-1]])


CENTRES: FloatArray = _representatives()
"""A probability inside each bin, float64, ascending, shape (BINS,)."""
EDGES: FloatArray = _edges()
"""Edges of the bins in p, float64, ascending, shape (BINS + 1,)."""
LOGITS: FloatArray = np.log(CENTRES) - np.log1p(-CENTRES)
"""Log-odds of ``CENTRES``."""
MIDDLE: int = BINS // 2
"""First bin with p >= 0.5."""
for _fixed in (CENTRES, EDGES, LOGITS):
    _fixed.flags.writeable = False


def confidence_bins(counts: IntArray) -> IntArray:
    """Return counts by class and steps of 0.001 of confidence, shape (3, 2, 500)."""
    background = np.flip(counts[:, :MIDDLE], axis=1)
    halves = np.stack([background, counts[:, MIDDLE:]], axis=1)
    linear, tail = halves[..., :LINEAR], halves[..., LINEAR:].sum(axis=-1, keepdims=True)
    even = np.concatenate([linear, tail], axis=-1)
    counted: IntArray = even.reshape(3, 2, 500, BINS_PER_MILLI).sum(axis=-1)
    return counted
