"""Measure what it costs to choose between control and FixMatch by partial labels.

    python docs/study/partial_selection.py FOLDER [--cache CACHE]

FOLDER is the sweep of `experiment=how_many_labels`, whose validation micrographs have complete
labels. Here LABELS of them in each micrograph, drawn at random, are all that is known, and control
and FixMatch are compared by the positive-unlabelled F1, as in a run with partial labels. Writes
docs/how_many_labels/partial_selection.csv with a line for each run and draw, from which
label_curve.py writes the page.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from label_curve import PROGRAMS

from cryofix.data.datamodule import no_progress
from cryofix.experiment.sharing import stage_folder
from cryofix.learning.evaluation import Prediction, predict, score
from cryofix.metrics.positive_unlabelled import Expectation
from cryofix.saved_model import load_with_own_data

LABELS = 10  # in each of three micrographs
DRAWS = 5
TABLE = Path("docs/how_many_labels/partial_selection.csv")


def estimates(run: Path, config: dict[str, Any], cache: str) -> pd.DataFrame:
    """Return the positive-unlabelled F1 of each branch and draw of labels."""
    checkpoints = {
        "supervised": stage_folder(run.parent / "stages", config) / "supervised/last.ckpt",
        "fixmatch": run / "checkpoints/fixmatch/last.ckpt",
    }
    rows = []
    for branch, checkpoint in checkpoints.items():
        picker, data = load_with_own_data(str(checkpoint), cache, no_progress)
        expected = Expectation(picker.metadata["prior"], math.pi * data.radius_px**2)
        seen = [
            predict(picker.network, data, each, torch.device("cpu"), config["average_views"])
            for each in data.part("validation")
        ]
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            records = [score(with_few_labels(each, rng), data) for each in seen]
            estimate = expected.scores(records)["particle_positive_unlabelled_f1"]
            rows.append({"branch": branch, "draw": draw, "estimate": estimate})
    return pd.DataFrame(rows).pivot(index="draw", columns="branch", values="estimate")


def with_few_labels(prediction: Prediction, rng: np.random.Generator) -> Prediction:
    """Return the prediction for a micrograph in which LABELS particles have a label."""
    particles = prediction.annotated.particles
    assert particles is not None
    few = particles.select(rng.permutation(len(particles))[:LABELS])
    return replace(prediction, annotated=replace(prediction.annotated, particles=few))


def main() -> None:
    """Write the table, run by run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", default="cache")
    options = parser.parse_args()
    torch.set_num_threads(1)
    done = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame({"run": []})
    for path in sorted(options.folder.glob("*/results.json")):
        if path.parent.name in set(done["run"]):
            continue
        found, config = (
            json.loads(each.read_text()) for each in (path, path.parent / "config.json")
        )
        if found["validation_blocks"]:
            continue  # there labels are few without this
        table = estimates(path.parent, config, options.cache).reset_index()
        own = {
            f"{name.lower()}_f1": found[branch]["particle"]["f1"]
            for branch, name in PROGRAMS.items()
        }
        line = table.rename(columns=PROGRAMS).assign(
            run=path.parent.name, clicks=config["data"]["labelled_particles"], **own
        )
        done = pd.concat([done, line.round(4)], ignore_index=True)
        done.to_csv(TABLE, index=False)
        print(path.parent.name, flush=True)


if __name__ == "__main__":
    main()
