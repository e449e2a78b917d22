import numpy as np
import pytest
from scipy.stats import ttest_1samp

from cryofix.errors import CryofixError
from cryofix.metrics.curves import FloatArray
from cryofix.metrics.jackknife import f1, interval, mean, paired_interval
from support import growth

TRIALS = 1500
SLACK = 0.017  # three standard errors of a share of .95 in so many trials


def rows(values: FloatArray) -> FloatArray:
    return np.stack([values, np.ones(len(values))], axis=1)


def micrographs(n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return (right, wrong, truth) of two models on n micrographs as they differ in practice.

    Micrographs hold from a few to hundreds of particles, some are hard for both models, and one
    model is the better by more on some than on others.
    """
    truth = rng.poisson(rng.gamma(3.0, 100 / 3, n)) + 1
    ease = rng.normal(0.8, 0.6, n)
    found = []
    for log_odds in (ease, ease + rng.normal(0.2, 0.25, n)):
        recall = 1 / (1 + np.exp(-log_odds))
        wrong = rng.poisson(truth * (1 - recall) * 0.8)
        found.append(np.stack([rng.binomial(truth, recall), wrong, truth], axis=1).astype(float))
    return found[0], found[1]


def pooled_f1(table: FloatArray) -> float:
    right, wrong, truth = table.sum(axis=0)
    return float(2 * right / (right + wrong + truth))


@pytest.mark.parametrize("n", [3, 5, 8])
def test_intervals_of_a_mean_hold_the_truth_as_often_as_they_say(n: int) -> None:
    rng = np.random.default_rng(n)
    hits = 0
    for values in rng.normal(0.5, 0.05, (TRIALS, n)):
        found = interval(rows(values), mean)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.5 <= found.high
    assert hits / TRIALS == pytest.approx(0.95, abs=SLACK)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_intervals_of_a_gain_in_pooled_f1_hold_the_truth_as_often_as_they_say(n: int) -> None:
    before, after = micrographs(100_000, np.random.default_rng(0))
    truth = pooled_f1(after) - pooled_f1(before)
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(TRIALS):
        found = paired_interval(*micrographs(n, rng), f1)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.95 - 0.01 - SLACK < hits / TRIALS < 0.95 + SLACK  # of a ratio it is nearly exact


def test_the_interval_of_a_mean_is_student_s() -> None:
    values = np.random.default_rng(0).uniform(0.3, 0.9, 7)
    found = interval(rows(values), mean)
    expected = ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.value == pytest.approx(values.mean())
    assert found.bounds == pytest.approx([expected.low, expected.high])


def test_pairing_cancels_what_the_micrographs_have_in_common() -> None:
    rng = np.random.default_rng(3)
    difficulty = rng.uniform(0.0, 0.8, 50)
    before, after = rows(difficulty), rows(difficulty + 0.1 + rng.normal(0, 0.01, 50))
    gain = paired_interval(before, after, mean)
    assert gain.low is not None
    assert gain.high is not None
    assert gain.value == pytest.approx(0.1, abs=0.005)
    assert gain.high - gain.low < 0.01
    alone = interval(before, mean)
    assert alone.high is not None
    assert alone.low is not None
    assert alone.high - alone.low > 0.1


def test_the_gain_is_the_second_minus_the_first() -> None:
    gain = paired_interval(rows(np.zeros(4)), rows(np.ones(4)), mean)
    assert (gain.value, gain.low, gain.high) == (1.0, 1.0, 1.0)


def test_an_interval_ends_where_scores_do() -> None:
    assert interval(rows(np.array([0.1, 0.5, 0.9])), mean).bounds == [0.0, 1.0]
    gain = paired_interval(rows(np.array([0.0, 0.9, 0.0])), rows(np.array([1.0, 0.0, 0.0])), mean)
    assert gain.bounds == [-1.0, 1.0]


@pytest.mark.parametrize(("n", "said"), [(1, "1 micrograph,"), (2, "2 micrographs,")])
def test_one_or_two_micrographs_have_a_value_and_no_interval(n: int, said: str) -> None:
    expected = {"value": 1.0, "ci95": None, "ci95_reason": f"{said} too few for an interval"}
    assert interval(rows(np.ones(n)), mean).as_dict() == expected
    assert paired_interval(rows(np.zeros(n)), rows(np.ones(n)), mean).as_dict() == expected


def test_as_dict_is_what_results_hold() -> None:
    found = interval(rows(np.linspace(0.4, 0.6, 5)), mean).as_dict()
    half = 2.7764 * 0.0790569 / 5**0.5  # t(0.975, 4), their standard deviation
    ends = [pytest.approx(0.5 - half, abs=1e-4), pytest.approx(0.5 + half, abs=1e-4)]
    assert found == {"value": pytest.approx(0.5), "ci95": ends}
    assert all(type(bound) is float for bound in found["ci95"])


def test_different_micrographs_cannot_be_paired() -> None:
    with pytest.raises(CryofixError, match="same micrographs"):
        paired_interval(rows(np.ones(3)), rows(np.ones(4)), mean)


def test_the_time_grows_with_the_number_of_micrographs_alone() -> None:
    table = rows(np.random.default_rng(4).random(8000))
    assert growth(lambda n: interval(table[:n], mean), 500, 8000) < 64  # 256 if it were quadratic
