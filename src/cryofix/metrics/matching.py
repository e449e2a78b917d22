"""Pairing picks with particles, one to one, nearest pairs first.

All pairs within the radius are taken in order of increasing distance, and a pair is accepted if
both of its members are still free. Scores play no part in who is paired with whom.

That greedy pairing is also the *stable* one: no pick and particle are closer to each other than
each is to its partner (pairs are ranked by one common list, so there is only one stable
pairing). Stable pairings can be grown pick by pick (Gale and Shapley, 1962: a newcomer takes the
nearest particle that is free or held by a farther pick, whom it sends on to its next choice), so
the pairings at *all* score thresholds come out of one pass, each equal to pairing afresh.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from cryofix.metrics.curves import FloatArray

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Matches:
    """Accepted pairs, nearest first."""

    pick: Indices
    truth: Indices
    """Indices of the members, shape (pairs,)."""
    distance: FloatArray
    """Distance between them, same unit as the coordinates."""

    def __len__(self) -> int:
        return len(self.pick)


def match(picks_xy: FloatArray, truth_xy: FloatArray, radius: float) -> Matches:
    """Pair picks with particles one to one by increasing distance.

    Parameters
    ----------
    picks_xy, truth_xy
        Centres (x, y), shape (n, 2) and (m, 2), in one unit.
    radius
        Largest distance of a pair, inclusive, in that unit.
    """
    candidates = _pairs(picks_xy, truth_xy, radius)
    pick_taken, truth_taken = [False] * len(picks_xy), [False] * len(truth_xy)
    accepted = []
    pairs = zip(candidates.pick.tolist(), candidates.truth.tolist(), strict=True)
    for index, (pick, particle) in enumerate(pairs):
        if not pick_taken[pick] and not truth_taken[particle]:
            pick_taken[pick] = truth_taken[particle] = True
            accepted.append(index)
    return Matches(
        candidates.pick[accepted], candidates.truth[accepted], candidates.distance[accepted]
    )


def grow_matches(picks_xy: FloatArray, truth_xy: FloatArray, radius: float) -> Indices:
    """Say what each further pick adds to the pairing of those before it.

    Parameters
    ----------
    picks_xy
        Centres in the order in which picks join (decreasing score), shape (n, 2).
    truth_xy, radius
        As for `match`.

    Returns
    -------
    Shape (n,). At position ``k``: -1 if ``match`` of the first ``k + 1`` picks has one pair more
    than that of the first ``k``; otherwise the index of the pick that is left without a partner,
    which is ``k`` or an earlier pick that ``k`` pushed out. A pick left out stays out.
    """
    candidates = _pairs(picks_xy, truth_xy, radius)
    # Stable sort: within one pick the particles stay in order of distance.
    order = np.argsort(candidates.pick, kind="stable")
    particle_of = candidates.truth[order].tolist()
    rank_of = order.tolist()  # a pair's rank in the common list
    bounds = np.searchsorted(candidates.pick[order], np.arange(len(picks_xy) + 1))
    upcoming, end = bounds[:-1].tolist(), bounds[1:].tolist()
    holder = [-1] * len(truth_xy)
    held_rank = [len(order)] * len(truth_xy)

    left_out = np.full(len(picks_xy), -1, dtype=np.intp)
    for newcomer in range(len(picks_xy)):
        pick = newcomer
        while True:
            if upcoming[pick] == end[pick]:
                left_out[newcomer] = pick
                break
            choice = upcoming[pick]
            upcoming[pick] += 1
            particle = particle_of[choice]
            if rank_of[choice] < held_rank[particle]:
                pushed_out = holder[particle]
                holder[particle], held_rank[particle] = pick, rank_of[choice]
                if pushed_out < 0:
                    break
                pick = pushed_out
    return left_out


def within(points_xy: FloatArray, others_xy: FloatArray, radius: float) -> NDArray[np.bool_]:
    """Say for each point whether one of ``others_xy`` lies within ``radius``, inclusive."""
    if not len(points_xy) or not len(others_xy):
        return np.zeros(len(points_xy), dtype=bool)
    distance, _ = KDTree(others_xy).query(points_xy)
    return np.asarray(distance <= radius)


def _pairs(picks_xy: FloatArray, truth_xy: FloatArray, radius: float) -> Matches:
    """Return every pair within the radius, ordered by distance, then by the two indices."""
    if not len(picks_xy) or not len(truth_xy):
        nobody = np.empty(0, dtype=np.intp)
        return Matches(nobody, nobody, np.empty(0))
    found = KDTree(picks_xy).sparse_distance_matrix(KDTree(truth_xy), radius, output_type="ndarray")
    order = np.lexsort((found["j"], found["i"], found["v"]))
    return Matches(found["i"][order], found["j"][order], found["v"][order])
