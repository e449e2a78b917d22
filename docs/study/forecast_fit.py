"""Fit the rule that `cryofix.diagnose` forecasts a collapse by, and test it on other runs.

It is a part of `python docs/study/threshold_map.py`. The rule is fitted to seeds 0 and 2 of
simulated micrographs and EMPIAR-10017, and tested on seed 1 and on nuclei. What is known at a run's
fork is measured in the checkpoint of its burn-in, among the shared stages of the sweep.
"""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.optimize import minimize

from cryofix.data.datamodule import no_progress
from cryofix.diagnosis.diagnosis import diagnose
from cryofix.diagnosis.forecast import FEATURES, features_of, probability
from cryofix.diagnosis.model_pixels import observe_network
from cryofix.diagnosis.observation import Observation
from cryofix.diagnosis.policies import build_policy
from cryofix.experiment.sharing import stage_folder
from cryofix.files import atomic_write
from cryofix.reporting.frame_tables import Column, markdown_table
from cryofix.reporting.numbers import percent, plain, signed
from cryofix.saved_model import load_with_own_data

RULE = Path("src/cryofix/diagnosis/forecast.yaml")
COMMAND = "python docs/study/threshold_map.py"
PENALTY = 1.0  # of the squares of the coefficients of standardised features
BINS = (0.0, 0.1, 0.3, 0.7, 0.9, 1.0)


def observe(checkpoint: Path, cache: str) -> Observation:
    """Return the pixels of a burn-in's unlabelled images."""
    picker, data = load_with_own_data(str(checkpoint), cache, no_progress)
    prior = picker.metadata["prior"]
    return observe_network(
        checkpoint.parent.parent.name,
        picker.network,
        data,
        "unlabelled",
        prior=prior,
        mask=None,
        counter=no_progress,
    )


def features(runs: pd.DataFrame, root: Path, cache: str) -> pd.DataFrame:
    """Return the features of runs of threshold_map.py, a line for each."""
    observed: dict[str, Observation] = {}
    rows = []
    for run in runs["run"]:
        config = json.loads((run.folder / "config.json").read_text())
        stages = stage_folder(root / "stages", config)
        if stages.name not in observed:
            observed[stages.name] = observe(stages / "burn_in/last.ckpt", cache)
        diagnosis = diagnose(observed[stages.name], build_policy(config["mask"]))
        teacher, weight = config["teacher"]["kind"], config["unlabelled"]["weight"]
        rows.append(features_of(diagnosis, teacher, weight))
    return pd.DataFrame(rows, index=runs.index, columns=list(FEATURES))


def records(frame: pd.DataFrame) -> list[Any]:
    """Return a mapping for each line."""
    return frame.to_dict("records")


def held_out(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Say of each run whether the rule is tested on it, and not fitted to it."""
    return (runs["data"] == "masks") | (runs["seed"] == 1)


def fit(runs: pd.DataFrame) -> dict[str, Any]:
    """Return intercept and coefficients of a logistic rule with a ridge penalty."""
    values = runs[list(FEATURES)].to_numpy(float)
    collapsed = runs["collapsed"].to_numpy(float)
    middle, spread = values.mean(axis=0), values.std(axis=0)
    spread[spread < 1e-9] = 1.0
    scaled = (values - middle) / spread

    def cost(parameters: Any) -> float:
        score = parameters[0] + scaled @ parameters[1:]
        likelihood = np.logaddexp(0, score) - collapsed * score
        return float(likelihood.sum() + PENALTY / 2 * (parameters[1:] ** 2).sum())

    # An intercept of one run more of each kind, so that no class is impossible.
    share = (collapsed.sum() + 1) / (len(collapsed) + 2)
    start = np.zeros(1 + len(FEATURES))
    start[0] = np.log(share / (1 - share))
    found = minimize(cost, start).x if 0 < collapsed.sum() < len(collapsed) else start
    slopes = found[1:] / spread
    coefficients = {name: round(float(v), 4) for name, v in zip(FEATURES, slopes, strict=True)}
    return {"intercept": round(float(found[0] - slopes @ middle), 4), "coefficients": coefficients}


def judged(runs: pd.DataFrame) -> dict[str, int]:
    """Return how many runs there are, and how many the rule and the commoner answer get right."""
    collapsed = runs["collapsed"].astype(bool)
    right = int(((runs["probability"] >= 0.5) == collapsed).sum())
    lost = int(collapsed.sum())
    counts = {"runs": len(runs), "collapsed": lost, "right": right}
    return counts | {"commoner": max(lost, len(runs) - lost)}


def reliability(runs: pd.DataFrame) -> str:
    """Return what was said and what came, in bins of the probability."""
    rows = []
    for low, high in itertools.pairwise(BINS):
        inside = (runs["probability"] >= low) & ((runs["probability"] < high) | (high == 1))
        mine = runs[inside]
        rows.append(
            {
                "said": f"{percent(low)} to {percent(high)}",
                "runs": len(mine),
                "mean": mine["probability"].mean() if len(mine) else None,
                "came": int(mine["collapsed"].sum()),
            }
        )
    columns = [
        Column("probability", "said", text=True),
        Column("held-out runs", "runs"),
        Column("mean probability", "mean", plain),
        Column("collapsed", "came"),
    ]
    return markdown_table(pd.DataFrame(rows), columns)


def accuracy(runs: pd.DataFrame) -> str:
    """Return how often the rule is right, by part and data."""
    parts = {"fitted to": runs[~held_out(runs)], "held out": runs[held_out(runs)]}
    groups = [
        (part, data, mine[mine["data"] == data])
        for part, mine in parts.items()
        for data in dict.fromkeys(mine["data"])
    ]
    groups += [("held out", "all", parts["held out"])]
    rows = [{"part": part, "data": data, **judged(mine)} for part, data, mine in groups]
    columns = [
        Column("part", "part", text=True),
        Column("data", "data", text=True),
        *(Column(name, name) for name in ("runs", "collapsed", "right")),
        Column("right if it always said the commoner", "commoner"),
    ]
    return markdown_table(pd.DataFrame(rows), columns)


def wrong(runs: pd.DataFrame) -> str:
    """List the held-out runs that the rule gets wrong."""
    tested = runs[held_out(runs)]
    found = tested[(tested["probability"] >= 0.5) != tested["collapsed"].astype(bool)]
    if found.empty:
        return "No held-out run was judged wrongly." if len(tested) else "There is no such run yet."
    columns = [
        *(Column(name, name, text=True) for name in ("data", "regime", "mask")),
        Column("threshold", "value", "{:g}".format, unknown="none"),
        Column("labels", "ratio", percent),
        Column("seed", "seed"),
        Column("probability", "probability", plain),
        Column("recall", "fixmatch_recall", plain),
        Column("control", "supervised_recall", plain),
    ]
    return markdown_table(found, columns)


def rule_table(rule: Mapping[str, Any]) -> str:
    """Return the coefficients with what each feature is."""
    rows = [
        {"feature": name, "is": words, "value": rule["coefficients"][name]}
        for name, words in FEATURES.items()
    ]
    rows.append({"feature": "intercept", "is": "", "value": rule["intercept"]})
    columns = [Column("feature", "feature", text=True), Column("what it is", "is", text=True)]
    columns.append(Column("coefficient", "value", signed))
    return markdown_table(pd.DataFrame(rows), columns)


def fitted(runs: pd.DataFrame) -> tuple[dict[str, Any], list[float]]:
    """Return what ``forecast.yaml`` holds, and the rule's probability for each run."""
    tested = held_out(runs)
    rule = fit(runs[~tested])
    said = [probability(rule, row) for row in records(runs)]
    judgements = [judged(runs.assign(probability=said)[part]) for part in (~tested, tested)]
    counts = {"fitted_to": judgements[0], "held_out": judgements[1]}
    return {"command": COMMAND, **counts, **rule}, said


def keep(rule: dict[str, Any]) -> None:
    """Write the rule into the package."""
    with atomic_write(RULE) as path:
        path.write_text(yaml.safe_dump(rule, sort_keys=False))


def parts(runs: pd.DataFrame, rule: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables of the rule, and of what it said of the runs."""
    tested = runs[held_out(runs)]
    known_before = (
        "Whether it can be known before training is open: no run is there yet that the rule of"
        " `cryofix.diagnose` was not fitted to."
    )
    if len(tested):
        others = rule["held_out"]
        known_before = (
            f"Before training, the rule of `cryofix.diagnose` is right in {others['right']} of"
            f" {others['runs']} runs that it was not fitted to, {others['collapsed']} of which"
            f" collapsed; the more frequent answer alone would be right in {others['commoner']}."
        )
    return {
        "known before": known_before,
        "rule": rule_table(rule),
        "accuracy": accuracy(runs),
        "reliability": reliability(tested),
        "wrong": wrong(runs),
    }
