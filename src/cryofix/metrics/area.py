"""Which part of a micrograph counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of a micrograph, whose pixel centres are at whole numbers."""


@dataclass(frozen=True)
class Area:
    """The part of a micrograph in which labels are known."""

    interior: Box
    """Outside this box, whose edges belong to it, nothing counts: detector edge, no labels."""
    closed: tuple[Box, ...] = ()
    """Boxes inside it in which nothing counts either. See :func:`within_boxes`."""

    def holds(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which points count."""
        x0, y0, x1, y1 = self.interior
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        return inside & ~within_boxes(self.closed, x, y)

    def leave_out(self, valid: NDArray[np.bool_], row: int = 0, column: int = 0) -> None:
        """Set to False what does not count in a map whose first pixel is (row, column)."""
        y, x = (
            start + np.arange(size) for start, size in zip((row, column), valid.shape, strict=True)
        )
        left, top, right, bottom = self.interior
        valid[(y < top) | (y > bottom)] = False
        valid[:, (x < left) | (x > right)] = False
        for x0, y0, x1, y1 in self.closed:
            rows, columns = np.searchsorted(y, (y0, y1)), np.searchsorted(x, (x0, x1))
            valid[slice(*rows), slice(*columns)] = False


def within_boxes(
    boxes: Sequence[Box], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Say which points lie in one of several boxes.

    The left and upper edges of a box belong to it, so that a point is in one of two neighbours.
    """
    found = np.zeros(len(x), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        found |= (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    return found
