"""Keeping one pick of those that sit on the same particle."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree


def suppress(
    xy: NDArray[np.float64], score: NDArray[np.float64] | None, min_distance: float
) -> NDArray[np.intp]:
    """Choose picks greedily by score so that no two are closer than ``min_distance``.

    The best pick stays and removes what is too close to it, then the best of the rest, and so on.

    Parameters
    ----------
    xy
        Centres (x, y), shape (n, 2).
    score
        Shape (n,), higher is better; None keeps the earlier of two picks.
    min_distance
        Euclidean, in the unit of ``xy``; picks at exactly this distance both stay.

    Returns
    -------
    Indices of the picks that stay, best first; equal scores keep their order.
    """
    count = len(xy)
    order = np.arange(count) if score is None else np.argsort(-score, kind="stable")
    if count < 2 or min_distance <= 0:
        return order
    ranked = xy[order]
    close = KDTree(ranked).query_pairs(min_distance, output_type="ndarray")
    # query_pairs includes the distance itself, which is far enough.
    gap = np.linalg.norm(ranked[close[:, 0]] - ranked[close[:, 1]], axis=1)
    better, worse = np.sort(close[gap < min_distance], axis=1).T

    # Whoever has no better rival left stays, which settles many picks at once: the result is
    # that of going down the list one by one, in a few rounds.
    removed = np.zeros(count, dtype=bool)
    while len(better):
        challenged = np.zeros(count, dtype=bool)
        challenged[worse] = True
        removed[worse[~challenged[better]]] = True
        open_pairs = ~removed[better] & ~removed[worse]
        better, worse = better[open_pairs], worse[open_pairs]
    kept: NDArray[np.intp] = order[~removed]
    return kept
