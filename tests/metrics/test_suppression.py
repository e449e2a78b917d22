import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from cryofix.metrics.suppression import suppress


def one_by_one(xy: np.ndarray, score: np.ndarray, min_distance: float) -> list[int]:
    """Go down the list by score; keep what is far enough from all kept."""
    kept: list[int] = []
    for index in np.argsort(-score, kind="stable"):
        gaps = np.linalg.norm(xy[kept] - xy[index], axis=1)
        if (gaps >= min_distance).all():
            kept.append(int(index))
    return kept


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.floats(0, 5))
def test_it_equals_going_down_the_list_by_score(seed: int, count: int, min_distance: float) -> None:
    rng = np.random.default_rng(seed)
    xy, score = rng.random((count, 2)) * 10, np.round(rng.random(count), 1)
    kept = suppress(xy, score, min_distance)
    assert kept.tolist() == one_by_one(xy, score, min_distance)
    if len(kept) > 1:
        assert pdist(xy[kept]).min() >= min_distance


def test_a_chain_of_neighbours_keeps_every_other_one() -> None:
    # The second is removed by the first, so the third may stay.
    xy = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [6.0, 0.0]])
    assert suppress(xy, np.array([0.9, 0.8, 0.7, 0.6]), 3.0).tolist() == [0, 2]


def test_without_scores_the_earlier_pick_stays() -> None:
    xy = np.array([[1.0, 1.0], [1.5, 1.0], [9.0, 9.0]])
    assert suppress(xy, None, 1.0).tolist() == [0, 2]


def test_the_distance_is_euclidean_and_exclusive() -> None:
    xy = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert len(suppress(xy, None, 5.0)) == 2
    assert len(suppress(xy, None, 5.001)) == 1
