import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryofix.metrics.matching import grow_matches, match, within


def naive(picks: np.ndarray, truth: np.ndarray, radius: float) -> set[tuple[int, int]]:
    """Pair by the words of the rule: the nearest free pair, again and again."""
    if not len(picks) or not len(truth):
        return set()
    distance = np.linalg.norm(picks[:, None] - truth[None], axis=2)
    pairs = set()
    while distance.min() <= radius:
        pick, particle = np.unravel_index(distance.argmin(), distance.shape)
        pairs.add((int(pick), int(particle)))
        distance[pick], distance[:, particle] = np.inf, np.inf
    return pairs


def scene(seed: int, picks: int, truth: int) -> tuple[np.ndarray, np.ndarray]:
    """Give crowded random centres, so that pairs compete."""
    rng = np.random.default_rng(seed)
    return rng.random((picks, 2)) * 10, rng.random((truth, 2)) * 10


@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.integers(0, 25), st.floats(0, 6))
def test_matching_takes_the_nearest_free_pair_again_and_again(
    seed: int, picks: int, truth: int, radius: float
) -> None:
    picks_xy, truth_xy = scene(seed, picks, truth)
    found = match(picks_xy, truth_xy, radius)
    pairs = set(zip(found.pick.tolist(), found.truth.tolist(), strict=True))
    assert pairs == naive(picks_xy, truth_xy, radius)
    assert (np.diff(found.distance) >= 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.integers(0, 25), st.floats(0, 6))
def test_growing_the_pairing_equals_pairing_afresh_for_every_number_of_picks(
    seed: int, picks: int, truth: int, radius: float
) -> None:
    picks_xy, truth_xy = scene(seed, picks, truth)
    left_out = grow_matches(picks_xy, truth_xy, radius)
    losers: set[int] = set()
    for count in range(1, picks + 1):
        if left_out[count - 1] >= 0:
            losers.add(int(left_out[count - 1]))
        partnered = {pick for pick, _ in naive(picks_xy[:count], truth_xy, radius)}
        assert set(range(count)) - partnered == losers


def test_growing_agrees_with_pairing_when_many_distances_are_equal() -> None:
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1).reshape(-1, 2)
    for count in range(len(grid) + 1):
        left_out = grow_matches(grid[:count], grid + 0.5, 0.75)
        assert (left_out < 0).sum() == len(match(grid[:count], grid + 0.5, 0.75))


def test_increasing_distance_is_the_rule_and_not_the_largest_number_of_pairs() -> None:
    # An optimal assignment would pair both picks; the nearest pair comes first here.
    picks, truth = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.9, 0.0], [-2.0, 0.0]])
    found = match(picks, truth, 1.5)
    assert (found.pick.tolist(), found.truth.tolist()) == ([0], [0])


def test_the_radius_is_inclusive_and_a_perfect_hit_counts() -> None:
    assert len(match(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]]), 5.0)) == 1
    assert len(match(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]]), 4.999)) == 0
    assert len(match(np.array([[3.0, 4.0]]), np.array([[3.0, 4.0]]), 0.0)) == 1


def test_within_is_inclusive_and_takes_no_points_at_all() -> None:
    points = np.array([[0.0, 0.0], [9.0, 0.0]])
    assert within(points, np.array([[3.0, 4.0]]), 5.0).tolist() == [True, False]
    assert within(points, np.empty((0, 2)), 5.0).tolist() == [False, False]
    assert within(np.empty((0, 2)), points, 5.0).tolist() == []


@pytest.mark.parametrize("order", [1, -1])
def test_who_is_paired_does_not_depend_on_the_order_of_picks(order: int) -> None:
    picks, truth = scene(11, 40, 40)
    found = match(picks[::order], truth, 2.0)
    hit = {tuple(xy) for xy in picks[::order][found.pick]}
    reference = match(picks, truth, 2.0)
    assert hit == {tuple(xy) for xy in picks[reference.pick]}
