"""Topaz from the few particles that a run of cryofix had as its labels, beside that run.

    python -m benchmarks.topaz_clicks RUN ... [--output runs/topaz_clicks]

RUN is a finished run folder of `cryofix.train` with partial labels (`data.labelled_particles` or
`data.labels=partial`) and `data.particles_per_micrograph`. Topaz gets the same labelled particles,
the same expected number of particles in a micrograph, and the same micrographs with the same added
noise, shrunk to 1024 pixels along the longer side. It picks the run's validation and test
micrographs, and is scored as the run was. The command prints a table and writes it to `scores.csv`.
Every finished step is kept in the output folder; the same command does only what is missing.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.topaz_steps import Topaz, installed
from cryofix.construct import call
from cryofix.data.array_cache import content_digest
from cryofix.data.datamodule import CryoDataModule
from cryofix.data.preprocess import NOISE_SIDE_PX, crop, cropped_shape
from cryofix.experiment.comparison import annotated_part, compare, headers
from cryofix.formats import Particles, read_micrograph, write_mrc
from cryofix.metrics.programs import read_program

BRANCHES = ("supervised", "fixmatch")


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="of cryofix.train")
    parser.add_argument("--output", type=Path, default=Path("runs/topaz_clicks"))
    parser.add_argument("--venv", type=Path, help="virtual environment of Topaz, made if missing")
    parser.add_argument("--epochs", type=int, default=4, help="of Topaz's training")
    parser.add_argument("--updates", type=int, default=150, help="in each of these epochs")
    options = parser.parse_args()
    folder = options.output.absolute()
    program = installed((options.venv or folder / "venv").absolute())
    budget = ("--num-epochs", str(options.epochs), "--epoch-size", str(options.updates))
    rows: list[dict[str, Any]] = []
    for run in options.runs:
        config, splits, results = (
            json.loads((run / f"{name}.json").read_text())
            for name in ("config", "splits", "results")
        )
        clicks = splits.get("clicks")
        if not clicks or not config["data"].get("particles_per_micrograph"):
            sys.exit(
                f"{run} was trained without partial labels or without"
                " data.particles_per_micrograph: give a run that had both"
            )
        cell = {
            "data": results["data"],
            "noise": config["data"]["added_noise"],
            "clicks": sum(map(len, clicks.values())),
            "draw": results["label_draw"],
            "seed": results["seed"],
        }
        row = {"run": run.name, **cell}
        for branch in BRANCHES:
            if results.get(branch):
                rows.append({**row, "program": branch, **scores_of(results[branch]["particle"])})
        place = folder / "_".join(map(str, [*cell.values(), results["split_seed"]]))
        scores = topaz(Topaz(program, place), config, clicks, budget)
        rows.append({**row, "program": "topaz", **scores})
        table = pd.DataFrame(rows)
        table.to_csv(folder / "scores.csv", index=False)
    print(table.to_string(index=False, float_format="{:.3f}".format))


def topaz(
    steps: Topaz,
    config: Mapping[str, Any],
    clicks: Mapping[str, list[list[float]]],
    budget: Sequence[str],
) -> dict[str, Any]:
    """Train on a run's labelled particles and pick; return scores and seconds."""
    keywords = {key: value for key, value in config["data"].items() if key != "_target_"}
    data: CryoDataModule = call(CryoDataModule, keywords, "config.data")
    images = headers(data)
    test, validation = (annotated_part(data, part) for part in ("test", "validation"))
    scored = sorted({one.micrograph.name for one in (*test, *validation)})
    shrunk = max(1.0, max(max(info.shape) for info in images.values()) / NOISE_SIDE_PX)
    inputs = []
    for name in sorted({*clicks, *scored}):
        info, path = images[name], steps.folder / "micrographs" / f"{name}.mrc"
        inputs.append(path)
        if not path.exists():
            seed = int(content_digest(info.path, data.cache), 16)
            image, shape = read_micrograph(info.path).data, cropped_shape(info.shape, 1 / shrunk)
            small = crop(image, shape, added_noise=data.preprocessing.added_noise, seed=seed)
            write_mrc(path, small, (info.pixel_size_angstrom or 1.0) * shrunk)
    steps.normalise(inputs)
    labels = {name: Particles(*np.array(each).T) for name, each in clicks.items() if each}
    expected = config["data"]["particles_per_micrograph"]
    training, model = steps.train("topaz", labels, images, expected, budget, downsample=shrunk)
    diameter = data.dataset.of_particles.diameter_px / shrunk
    picking, picks = steps.pick("topaz", model, scored, diameter)
    program = read_program("topaz", {"path": str(picks), "downsample": shrunk}, images)
    (result,) = compare([program], test, validation, data.dataset.particle_px)
    seconds = {
        "training_cpu_s": training["cpu_seconds"],
        "picking_cpu_s": round(picking["cpu_seconds"] / len(scored), 2),
    }
    return {**scores_of(result.as_dict()["particle"]), **seconds}


def scores_of(particle: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that the table has, F1 at the threshold that is best on validation."""
    return {key: particle[key] for key in ("f1", "average_precision")}


if __name__ == "__main__":
    main()
