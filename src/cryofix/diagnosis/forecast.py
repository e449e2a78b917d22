"""The probability that a run collapses, before its FixMatch stage is trained.

A logistic rule of what is known at the fork,

    probability = 1 / (1 + exp(-(intercept + sum of coefficient x feature))),

whose numbers stand in ``forecast.yaml``, with the command that fitted them and how often they were
right on runs that it was not fitted to (docs/thresholds.md). A run *collapses* if its recall of
pixels at p >= 0.5 ends below half of its control's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from cryofix.checking import check_value
from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.errors import check_known, check_range
from cryofix.metrics.rates import bounded_drift
from cryofix.reporting.numbers import percent

KINDS = ("ema", "self", "frozen")
FEATURES = {
    "self_teaching": "log10(1 + unlabelled.weight) where the student teaches itself, else 0",
    "drift": "log(particle keep / background keep), between -4 and 4",
    "particle_keep": "kept share of the pixels that are predicted as particle",
    "predicted_share": "log(predicted as particle / prior), between -3 and 3",
    "barrier": "highest p that is kept as background: how far labels have to lift a lost particle",
}
"""The features and what they are."""


@dataclass(frozen=True)
class Forecast:
    """What the rule says of one run."""

    teacher: str
    weight: float
    """Kind of the teacher, and weight of the unlabelled loss."""
    features: Mapping[str, float]
    probability: float
    rule: Mapping[str, Any]
    """What ``forecast.yaml`` holds."""

    def __str__(self) -> str:
        """Say it with how far it can be trusted."""
        fitted, held_out = self.rule["fitted_to"], self.rule["held_out"]
        tested = (
            f"it was right in {held_out['right']} of {held_out['runs']} other runs, "
            f"where always giving the commoner answer is right in {held_out['commoner']}"
            if held_out["runs"]
            else "it has not been tested on other runs yet"
        )
        return (
            f"with teacher={self.teacher} and unlabelled.weight={self.weight:g} the run collapses"
            f" (recall below half of its control's) with a probability of"
            f" {percent(self.probability, 0)}; the rule was fitted to {fitted['runs']} runs, of"
            f" which {fitted['collapsed']} collapsed, and {tested}"
        )


def features_of(diagnosis: Diagnosis, teacher: str, weight: float) -> dict[str, float]:
    """Return the features of a mask, a kind of teacher and a weight of the unlabelled loss."""
    rates, prior = diagnosis.rates, diagnosis.prior
    drift = bounded_drift(rates["particle_keep"], rates["background_keep"]) or 0.0
    predicted = max(diagnosis.histogram.predicted_share() or 0.0, 1e-6)
    highest = diagnosis.masked.background_threshold
    return {
        "self_teaching": math.log10(1 + weight) if teacher == "self" else 0.0,
        "drift": float(np.clip(drift, -4, 4)),
        "particle_keep": rates["particle_keep"] or 0.0,
        "predicted_share": float(np.clip(math.log(predicted / prior), -3, 3)) if prior else 0.0,
        "barrier": 0.5 if highest is None else min(highest, 0.5),
    }


def forecast(diagnosis: Diagnosis, teacher: str, weight: float) -> Forecast:
    """Apply the rule of the package.

    Raises CryofixError: There is no such teacher, or the weight is no number from 0 on.
    """
    check_known("teacher", teacher, KINDS)
    check_value(weight, float, "unlabelled.weight")
    check_range("unlabelled.weight", weight, 0, math.inf)
    rule = yaml.safe_load((files("cryofix.diagnosis") / "forecast.yaml").read_text("utf-8"))
    features = features_of(diagnosis, teacher, weight)
    return Forecast(teacher, weight, features, probability(rule, features), rule)


def probability(rule: Mapping[str, Any], features: Mapping[str, float]) -> float:
    """Return the rule's probability of a collapse."""
    coefficients = rule["coefficients"]
    score = rule["intercept"] + sum(coefficients[name] * features[name] for name in coefficients)
    return 1 / (1 + math.exp(-score))
