"""From a probability map to picks: smooth with the target's disc, take the tops, thin them out."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima

from cryofix.errors import CryofixError
from cryofix.formats import Particles
from cryofix.metrics.suppression import suppress

_LEVELS = 1e5  # differences below 1/100 000 of the highest value are rounding noise of the FFT


def find_peaks(
    probability: NDArray[np.floating],
    *,
    radius_px: float,
    min_distance_px: float,
    min_score: float = 0.0,
    border_px: float = 0.0,
) -> Particles:
    """Find particle centres in a probability map.

    The map is averaged over the disc that the network was taught to paint, which has its highest
    value at the disc's centre. A flat top gives one pick, at its middle. Discs that the edge of
    the micrograph cuts are found too, scored by the part that can be seen, though farther inside
    than they are: by up to a fifth of the radius at an edge and by 0.7 of it in a corner.

    Raises CryofixError if the map is not two-dimensional, or a probability is NaN or outside [0,
    1].

    Parameters
    ----------
    probability
        Shape (rows, columns), values in [0, 1].
    radius_px
        Radius of the discs in the training target, pixels of the map.
    min_distance_px
        Of two picks closer than this (Euclidean) only the better stays.
    min_score
        Picks must score more than this. Keep it low for average precision; a collapsed network
        ranks its picks far below 0.5.
    border_px
        Picks closer than this to an edge are dropped.

    Returns
    -------
    Centres in pixels of the map, best first. The score is the mean probability over the disc,
    in [0, 1]. A constant map has no peaks.
    """
    if probability.ndim != 2:
        raise CryofixError(f"a probability map has two dimensions, not shape {probability.shape}")
    if probability.size and not (probability.min() >= 0 and probability.max() <= 1):
        raise CryofixError(
            "a probability map must lie in [0, 1], without NaN: apply the sigmoid to logits"
        )
    disc = _disc(radius_px)
    # One pixel of frame around the map, so that slopes are known at its edge as well.
    framed = _average(probability.astype(np.float32), disc)
    smooth = framed[1:-1, 1:-1]
    x, y, value = _tops(framed)
    score = np.clip(value / _coverage(disc, x, y, smooth.shape), 0.0, 1.0)
    rows, columns = smooth.shape
    gap = np.minimum(np.minimum(x, columns - 1 - x), np.minimum(y, rows - 1 - y))
    good = (score > min_score) & (gap >= border_px if border_px > 0 else True)
    x, y, score = x[good], y[good], score[good]
    kept = suppress(np.stack([x, y], axis=1), score, min_distance_px)
    return Particles(x=x[kept], y=y[kept], score=score[kept])


def _disc(radius: float) -> NDArray[np.float32]:
    """Return the weights of a disc with an edge one pixel soft, of odd side, summing to 1."""
    reach = math.ceil(radius)
    offset = np.arange(-reach, reach + 1)
    weights = np.clip(radius + 0.5 - np.hypot(offset[:, None], offset), 0.0, 1.0)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def _average(probability: NDArray[np.float32], disc: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return disc averages, with zeros outside the map, on the map and a frame of one pixel."""
    full = cv2.filter2D(np.pad(probability, 1), -1, disc, borderType=cv2.BORDER_CONSTANT)
    return np.maximum(full, 0.0, dtype=np.float32)


def _tops(
    framed: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return x, y and value of each local maximum of the map inside the frame.

    A peak is refined to the vertex of the parabola through its 3x3 surroundings; a flat top of
    more than two pixels is represented by its middle.
    """
    smooth = framed[1:-1, 1:-1]
    highest = float(smooth.max(initial=0.0))
    if highest == 0.0:
        return np.empty(0), np.empty(0), np.empty(0)
    levels = np.rint(smooth * (_LEVELS / highest)).astype(np.int32)
    tops = local_maxima(levels, connectivity=2, allow_borders=True)  # type: ignore[no-untyped-call] # skimage is untyped
    labels, count = ndimage.label(tops, np.ones((3, 3)))
    if count == 0:
        return np.empty(0), np.empty(0), np.empty(0)
    rows, columns = np.divmod(np.flatnonzero(tops), tops.shape[1])  # quicker than nonzero
    label = labels[rows, columns] - 1
    size = np.bincount(label, minlength=count)
    y = np.bincount(label, weights=rows, minlength=count) / size
    x = np.bincount(label, weights=columns, minlength=count) / size
    value = np.zeros(count)
    np.maximum.at(value, label, smooth[rows, columns])
    # Two equal pixels are a symmetric peak between them, and still uneven in the other axis.
    _, first = np.unique(label, return_index=True)
    peaked = size <= 2
    row, column = rows[first][peaked], columns[first][peaked]
    shift_x, shift_y = _vertex(framed, column, row)
    x[peaked], y[peaked] = column + shift_x, row + shift_y
    return x, y, value


def _vertex(
    framed: NDArray[np.float32], column: NDArray[np.int_], row: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far the vertex of the least-squares parabola lies from each pixel, in x and y."""
    steps = np.arange(3)
    around = framed[
        (row[:, None] + steps)[:, :, None], (column[:, None] + steps)[:, None, :]
    ].astype(np.float64)
    along_x, along_y = around.sum(axis=1), around.sum(axis=2)
    shifts = []
    for profile in (along_x, along_y):
        slope = (profile[:, 2] - profile[:, 0]) / 2
        bend = profile[:, 2] - 2 * profile[:, 1] + profile[:, 0]
        shift = np.divide(-slope, bend, out=np.zeros_like(slope), where=bend < 0)
        shifts.append(np.clip(shift, -0.5, 0.5))
    return shifts[0], shifts[1]


def _coverage(
    disc: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Return the share of a disc at each centre (rounded to pixels) that lies on the map."""
    reach = disc.shape[0] // 2
    total = np.pad(disc.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    (top, bottom), (left, right) = (
        (
            np.clip(reach - np.rint(at).astype(int), 0, 2 * reach + 1),
            np.clip(reach + size - np.rint(at).astype(int), 0, 2 * reach + 1),
        )
        for at, size in ((y, shape[0]), (x, shape[1]))
    )
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return np.asarray(inside, dtype=np.float64)
