import time

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.scoring import interval, paired_interval
from cryofix.scoring.curves import FloatArray


def mean(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[:, 0] / sums[:, 1])


def rows(values: FloatArray) -> FloatArray:
    return np.stack([values, np.ones(len(values))], axis=1)


def test_the_interval_of_a_mean_is_near_the_one_of_theory() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = interval(rows(values), mean, samples=4000)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=0.03)
    assert found.high == pytest.approx(values.mean() + error, abs=0.03)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(300):
        found = interval(rows(rng.normal(0.0, 1.0, 30)), mean, samples=300, seed=trial)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.0 <= found.high
    assert 0.88 < hits / 300 < 0.98


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = rows(np.random.default_rng(2).random(20))
    assert interval(values, mean, seed=5) == interval(values, mean, seed=5)
    assert interval(values, mean, seed=5) != interval(values, mean, seed=6)


def test_pairing_cancels_what_the_micrographs_have_in_common() -> None:
    rng = np.random.default_rng(3)
    difficulty = rng.normal(0.0, 5.0, 50)
    before, after = rows(difficulty), rows(difficulty + 0.5 + rng.normal(0, 0.1, 50))
    gain = paired_interval(before, after, mean)
    assert gain.low is not None
    assert gain.high is not None
    assert gain.value == pytest.approx(0.5, abs=0.05)
    assert gain.high - gain.low < 0.1
    alone = interval(before, mean)
    assert alone.high is not None
    assert alone.low is not None
    assert alone.high - alone.low > 1.0


def test_the_gain_is_the_second_minus_the_first() -> None:
    gain = paired_interval(rows(np.zeros(4)), rows(np.ones(4)), mean)
    assert (gain.value, gain.low, gain.high) == (1.0, 1.0, 1.0)


def test_one_micrograph_has_a_value_and_no_interval() -> None:
    assert interval(rows(np.ones(1)), mean).as_dict() == {"value": 1.0, "ci95": None}
    gain = paired_interval(rows(np.zeros(1)), rows(np.ones(1)), mean)
    assert gain.as_dict() == {"value": 1.0, "ci95": None}


def test_as_dict_is_what_results_hold() -> None:
    found = interval(rows(np.arange(5.0)), mean).as_dict()
    assert found == {
        "value": 2.0,
        "ci95": [pytest.approx(0.8, abs=0.3), pytest.approx(3.2, abs=0.3)],
    }
    assert all(type(bound) is float for bound in found["ci95"])


def test_different_micrographs_cannot_be_paired() -> None:
    with pytest.raises(CryofixError, match="same micrographs"):
        paired_interval(rows(np.ones(3)), rows(np.ones(4)), mean)


def test_a_thousand_resamples_of_200_micrographs_take_less_than_a_second() -> None:
    table = rows(np.random.default_rng(4).random(200))
    start = time.process_time()
    interval(table, mean)
    assert time.process_time() - start < 1.0
