"""The probability of a collapse, said at the fork."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cryofix.diagnosis.diagnosis import Diagnosis, diagnose
from cryofix.diagnosis.forecast import FEATURES, features_of, forecast, probability
from cryofix.diagnosis.observation import FIXMATCH, Observation
from cryofix.errors import CryofixError
from cryofix.masking import ClassAware, NoMask, Symmetric
from cryofix.metrics.histogram import ProbabilityHistogram


@pytest.fixture
def observation(reference: NDArray[np.float32]) -> Observation:
    histogram = ProbabilityHistogram.from_arrays(reference, None)
    return Observation("test.npy", histogram, None, 0.033, histogram, histogram, FIXMATCH)


@pytest.fixture
def strict(observation: Observation) -> Diagnosis:
    return diagnose(observation, Symmetric(0.7))


def test_the_features_of_the_reference_run_are_those_of_its_table(strict: Diagnosis) -> None:
    found = features_of(strict, "self", 200)
    assert found["self_teaching"] == pytest.approx(math.log10(201))
    assert found["drift"] == pytest.approx(-1.23, abs=0.005)
    assert found["particle_keep"] == pytest.approx(0.242, abs=0.001)
    assert found["predicted_share"] == pytest.approx(0, abs=0.01)
    assert found["barrier"] == pytest.approx(0.3, abs=0.001)
    assert features_of(strict, "ema", 200) == {**found, "self_teaching": 0}


def test_the_barrier_is_the_highest_p_that_is_kept_as_background(observation: Observation) -> None:
    masks = ClassAware(particle_threshold=0.6, background_threshold=0.1), NoMask()
    barriers = [features_of(diagnose(observation, mask), "ema", 1)["barrier"] for mask in masks]
    assert barriers == [pytest.approx(0.1, abs=0.001), 0.5]


def test_the_probability_is_logistic_in_the_features() -> None:
    rule = {"intercept": -2.0, "coefficients": {"drift": -1.5, "barrier": 2.0}}
    said = probability(rule, {"drift": -2.0, "barrier": 0.25, "particle_keep": 9.0})
    assert said == pytest.approx(1 / (1 + math.exp(-1.5)))


def test_the_rule_of_the_package_says_what_it_was_fitted_to(strict: Diagnosis) -> None:
    collapsing, advised = forecast(strict, "self", 200.0), forecast(strict, "ema", 1.0)
    assert collapsing.rule["coefficients"].keys() == FEATURES.keys()
    assert 0 < advised.probability < collapsing.probability < 1
    fitted, others = collapsing.rule["fitted_to"], collapsing.rule["held_out"]
    assert fitted["runs"] >= fitted["collapsed"] > 0
    assert others["commoner"] >= others["runs"] / 2
    assert f"right in {others['right']} of {others['runs']} other" in str(collapsing)
    assert "teacher=self and unlabelled.weight=200" in str(collapsing)


@pytest.mark.parametrize(
    ("teacher", "weight", "named"),
    [("oracle", 1.0, "teacher=oracle"), ("ema", -1.0, r"unlabelled\.weight=-1")],
)
def test_what_makes_no_sense_is_said(
    strict: Diagnosis, teacher: str, weight: float, named: str
) -> None:
    with pytest.raises(CryofixError, match=named):
        forecast(strict, teacher, weight)
