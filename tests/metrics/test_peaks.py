import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist

from cryofix.errors import CryofixError
from cryofix.metrics.peaks import find_peaks
from support import growth


def paint(
    centres: list[tuple[float, float]], radius: float, shape: tuple[int, int] = (90, 110)
) -> np.ndarray:
    """Paint discs of probability 1."""
    rows, columns = np.indices(shape)
    image = np.zeros(shape, np.float32)
    for x, y in centres:
        image[np.hypot(columns - x, rows - y) <= radius] = 1.0
    return image


@given(
    st.floats(30, 50), st.floats(30, 50), st.sampled_from([2.0, 3.0, 4.0, 6.0, 12.0, 12.3]),
)  # fmt: skip
def test_the_centre_of_a_disc_is_found_within_a_third_of_a_pixel(
    x: float, y: float, radius: float
) -> None:
    picks = find_peaks(paint([(x, y)], radius), radius_px=radius, min_distance_px=radius)
    assert len(picks) == 1
    assert np.hypot(picks.x[0] - x, picks.y[0] - y) < 0.3


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_many_discs_are_all_found_once_in_a_blurred_noisy_map(noise: float) -> None:
    rng = np.random.default_rng(0)
    grid = np.arange(20.0, 480, 30)
    xy = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2) + rng.uniform(-2, 2, (256, 2))
    image = gaussian_filter(paint([(x, y) for x, y in xy], 12.0, (500, 500)), 2.0)
    image = np.clip(0.8 * image + noise * rng.random(image.shape, np.float32), 0, 1)
    picks = find_peaks(image, radius_px=12.0, min_distance_px=18.0, min_score=0.5)
    assert len(picks) == len(xy)
    gaps = np.hypot(picks.x[:, None] - xy[:, 0], picks.y[:, None] - xy[:, 1]).min(axis=0)
    assert gaps.max() < 1.0
    assert gaps.mean() < 0.3


@pytest.mark.parametrize("x", [0.0, 3.0, 6.0, 106.0, 109.0])
@pytest.mark.parametrize(("y", "share", "score"), [(0.0, 0.75, 0.45), (45.0, 0.25, 0.75)])
def test_discs_cut_by_the_edge_are_found_near_their_place(
    x: float, y: float, share: float, score: float
) -> None:
    picks = find_peaks(paint([(x, y)], 8.0), radius_px=8.0, min_distance_px=8.0)
    assert len(picks) == 1
    assert np.hypot(picks.x[0] - x, picks.y[0] - y) < share * 8.0
    assert picks.score is not None
    assert picks.score[0] > score  # the quarter disc in the corner is 0.25 of a whole one


def test_a_pick_is_x_for_columns_and_y_for_rows() -> None:
    picks = find_peaks(paint([(90, 20)], 5.0), radius_px=5.0, min_distance_px=5.0)
    assert picks.x[0] == pytest.approx(90, abs=0.1)
    assert picks.y[0] == pytest.approx(20, abs=0.1)


def test_a_saturated_plateau_is_one_pick_in_its_middle() -> None:
    # A blob twice as wide as a particle: its smoothed top is flat.
    picks = find_peaks(paint([(50.0, 40.0)], 16.0), radius_px=8.0, min_distance_px=4.0)
    assert len(picks) == 1
    assert (picks.x[0], picks.y[0]) == pytest.approx((50.0, 40.0), abs=0.3)


@pytest.mark.parametrize("level", [0.0, 0.03, 1.0])
def test_a_flat_map_gives_at_most_one_pick(level: float) -> None:
    image = np.full((80, 90), level, np.float32)
    assert len(find_peaks(image, radius_px=6.0, min_distance_px=6.0)) <= 1


def test_touching_particles_are_two_picks() -> None:
    centres = [(40.0, 40.0), (64.0, 40.0)]
    picks = find_peaks(paint(centres, 12.0), radius_px=12.0, min_distance_px=12.0, min_score=0.5)
    assert sorted(picks.x) == pytest.approx([40.0, 64.0], abs=0.5)


def test_a_collapsed_map_keeps_its_ranking_of_picks() -> None:
    image = 1e-6 * paint([(30, 30)], 6.0) + 2e-6 * paint([(70, 50)], 6.0)
    picks = find_peaks(image, radius_px=6.0, min_distance_px=6.0)
    assert len(picks) == 2
    assert picks.x[0] == pytest.approx(70, abs=0.3)
    assert picks.score is not None
    assert picks.score[0] == pytest.approx(2 * picks.score[1], rel=1e-3)


@given(st.integers(0, 2**32 - 1), st.floats(1, 8), st.floats(2, 12))
@settings(max_examples=30)
def test_picks_of_any_map_keep_their_distance_and_are_sorted_probabilities(
    seed: int, radius: float, min_distance: float
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((60, 70)).astype(np.float32) ** 3
    picks = find_peaks(image, radius_px=radius, min_distance_px=min_distance)
    assert picks.score is not None
    assert (np.diff(picks.score) <= 0).all()
    assert picks.score.min() >= 0
    assert picks.score.max() <= 1
    assert pdist(np.stack([picks.x, picks.y], axis=1)).min() >= min_distance
    assert -0.5 <= picks.x.min() <= picks.x.max() <= 69.5
    assert -0.5 <= picks.y.min() <= picks.y.max() <= 59.5


def test_the_score_is_the_mean_probability_over_the_disc() -> None:
    picks = find_peaks(0.6 * paint([(40, 40)], 12.0), radius_px=12.0, min_distance_px=6.0)
    assert picks.score is not None
    assert picks.score[0] == pytest.approx(0.6, abs=0.03)


def test_low_scores_and_the_border_can_be_left_out() -> None:
    image = paint([(8, 40), (50, 40)], 6.0) + 0.3 * paint([(80, 40)], 6.0)
    everything = find_peaks(image, radius_px=6.0, min_distance_px=6.0)
    assert sorted(everything.x) == pytest.approx([8, 50, 80], abs=0.3)
    sure = find_peaks(image, radius_px=6.0, min_distance_px=6.0, min_score=0.5)
    assert sorted(sure.x) == pytest.approx([8, 50], abs=0.3)
    inner = find_peaks(image, radius_px=6.0, min_distance_px=6.0, border_px=12.0)
    assert sorted(inner.x) == pytest.approx([50, 80], abs=0.3)


@pytest.mark.parametrize("bad", [np.nan, 1.2, -0.1])
def test_maps_that_hold_no_probabilities_are_refused(bad: float) -> None:
    image = np.zeros((8, 8), np.float32)
    image[3, 3] = bad
    with pytest.raises(CryofixError, match=r"\[0, 1\]"):
        find_peaks(image, radius_px=2.0, min_distance_px=2.0)


def test_a_stack_is_refused() -> None:
    with pytest.raises(CryofixError, match="two dimensions"):
        find_peaks(np.zeros((1, 8, 8), np.float32), radius_px=2.0, min_distance_px=2.0)


def test_the_time_grows_with_the_number_of_pixels_alone() -> None:
    image = np.random.default_rng(0).random((1024, 1024)).astype(np.float32)

    def find(side: int) -> None:
        found = find_peaks(image[:side, :side], radius_px=12.0, min_distance_px=12.0)
        assert len(found) > side**2 / 500

    assert growth(find, 256, 1024) < 64  # 16 times the pixels; 256 if it were quadratic
