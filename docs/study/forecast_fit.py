"""Fit the rule that `cryofix.diagnose` forecasts a collapse by, and test it on other runs.

It is a part of `python docs/study/threshold_map.py FOLDER`. The rule is fitted to seeds 0 and 2 of
simulated micrographs and EMPIAR-10017, and tested on seed 1 and on nuclei. forks.csv has a line for
each run; what is known at its fork is taken from there if it is there, else from the checkpoint of
the burn-in, among the shared stages of the sweep.
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
from cryofix.diagnosis.diagnosis import Diagnosis, diagnose
from cryofix.diagnosis.forecast import FEATURES, features_of, probability
from cryofix.diagnosis.model_pixels import observe_network
from cryofix.diagnosis.observation import Observation
from cryofix.diagnosis.policies import build_policy
from cryofix.experiment.sharing import stage_folder
from cryofix.files import atomic_write
from cryofix.reporting.frame_tables import Column, markdown_table
from cryofix.reporting.numbers import percent, plain, signed
from cryofix.saved_model import load_with_own_data
from cryofix.sweeps.collect import collect
from cryofix.sweeps.runs import Run

RULE = Path("src/cryofix/diagnosis/forecast.yaml")
COMMAND = "python docs/study/threshold_map.py runs/thresholds"
PENALTY = 1.0  # of the squares of the coefficients of standardised features
BINS = (0.0, 0.1, 0.3, 0.7, 0.9, 1.0)
KEY = ["burn_in", "mask_config", "teacher", "weight"]


def line(run: Run, root: Path) -> dict[str, Any]:
    """Return what is known of a finished run, its features aside."""
    assert run.folder is not None
    assert run.result is not None
    config = json.loads((run.folder / "config.json").read_text())
    result = run.result
    recall, control = (result[f"{each}_pixel_recall"] for each in ("fixmatch", "supervised"))
    return {
        **{key: result[key] for key in ("data", "ratio", "seed", "mask")},
        "burn_in": stage_folder(root / "stages", config).name,
        "mask_config": json.dumps(config["mask"], sort_keys=True),
        "teacher": config["teacher"]["kind"],
        "weight": config["unlabelled"]["weight"],
        "recall": recall,
        "control": control,
        "collapsed": recall < 0.5 * control,
        "held_out": result["data"] == "masks" or result["seed"] == 1,
    }


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


def records(frame: pd.DataFrame) -> list[Any]:
    """Return a mapping for each line."""
    return frame.to_dict("records")


def read_forks(root: Path, known: pd.DataFrame, cache: str) -> pd.DataFrame:
    """Return a line for each finished run, with its features."""
    have: dict[Any, Any] = {tuple(row[key] for key in KEY): row for row in records(known)}
    observed: dict[str, Observation] = {}
    diagnosed: dict[tuple[str, str], Diagnosis] = {}
    rows = []
    for run in collect(root).finished:
        row = line(run, root)
        found = have.get(tuple(row[key] for key in KEY))
        if found is None:
            name, mask = row["burn_in"], row["mask_config"]
            if name not in observed:
                observed[name] = observe(root / "stages" / name / "burn_in/last.ckpt", cache)
            if (name, mask) not in diagnosed:
                policy = build_policy(json.loads(mask))
                diagnosed[name, mask] = diagnose(observed[name], policy)
            found = features_of(diagnosed[name, mask], row["teacher"], row["weight"])
        rows.append(row | {name: float(found[name]) for name in FEATURES})
    return pd.DataFrame(rows)


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
    parts = {"fitted to": runs[~runs["held_out"]], "held out": runs[runs["held_out"]]}
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
    missed = (runs["probability"] >= 0.5) != runs["collapsed"].astype(bool)
    found = runs[runs["held_out"] & missed].assign(
        threshold=[
            json.loads(text).get("background_threshold", json.loads(text).get("threshold"))
            for text in runs.loc[runs["held_out"] & missed, "mask_config"]
        ]
    )
    if found.empty:
        none = not runs["held_out"].any()
        return "There is no held-out run yet." if none else "No held-out run was judged wrongly."
    names = ("data", "teacher", "mask")
    columns = [
        *(Column(name, name, text=True) for name in names),
        Column("threshold", "threshold", "{:g}".format, unknown="none"),
        Column("labels", "ratio", percent),
        Column("seed", "seed"),
        Column("probability", "probability", plain),
        Column("recall", "recall", plain),
        Column("control", "control", plain),
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


def parts(folder: Path, cache: str, output: Path) -> dict[str, str]:
    """Fit and test the rule, write it into the package, and return its tables."""
    table = output / "forks.csv"
    known = pd.read_csv(table) if table.exists() else pd.DataFrame()
    runs = read_forks(folder, known, cache)
    rule = fit(runs[~runs["held_out"]])
    runs["probability"] = [probability(rule, row) for row in records(runs)]
    fitted, others = (judged(runs[runs["held_out"] == held_out]) for held_out in (False, True))
    content = {"command": COMMAND, "fitted_to": fitted, "held_out": others, **rule}
    with atomic_write(RULE) as path:
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    runs.round(6).to_csv(table, index=False)
    known_before = (
        "Whether it can be known before training is open: no run is there yet that the rule of"
        " `cryofix.diagnose` was not fitted to."
    )
    if len(runs[runs["held_out"]]):
        known_before = (
            f"Before training, the rule of `cryofix.diagnose` is right in {others['right']} of"
            f" {others['runs']} runs that it was not fitted to, {others['collapsed']} of which"
            f" collapsed; always the commoner answer is right in {others['commoner']}."
        )
    return {
        "known before": known_before,
        "rule": rule_table(rule),
        "accuracy": accuracy(runs),
        "reliability": reliability(runs[runs["held_out"]]),
        "wrong": wrong(runs),
    }
