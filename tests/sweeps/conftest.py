"""A factory of sweep folders as `cryofix.train -m` leaves them, with plausible numbers.

The numbers come from the first-order model of the collapse: a teacher whose logits are normal in
each class, a keep rate for each, and an F1 that the drift pulls down.
"""

import json
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
MASKS: dict[str, tuple[str, Json]] = {
    "symmetric": ("Symmetric", {"threshold": 0.7, "target": "hard"}),
    "class_aware": (
        "ClassAware",
        {"particle_threshold": 0.6, "background_threshold": 0.2, "target": "hard"},
    ),
    "soft_weight": ("SoftWeight", {"gamma": 1.0, "target": "hard"}),
    "none": ("NoMask", {"target": "hard"}),
}


def _tail(x: float) -> float:
    """Return the share of a standard normal above x."""
    return 0.5 * math.erfc(x / math.sqrt(2))


def keep_rates(confidence: float) -> list[Json]:
    """Return the table of keep rates of a teacher; ``confidence`` scales its logits."""
    rows = []
    for threshold in THRESHOLDS:
        z = math.log(threshold / (1 - threshold)) / confidence
        particle = _tail((z - 0.2) / 0.7) / _tail(-0.2 / 0.7)
        background = _tail((z - 1.8) / 1.0) / _tail(-1.8 / 1.0)
        rows.append(
            {
                "threshold": threshold,
                "kept": 0.04 * particle + 0.96 * background,
                "particle_share": 0.04 * particle / (0.04 * particle + 0.96 * background),
                "particle_keep": particle,
                "background_keep": background,
                "drift": math.log(particle / background),
            }
        )
    return rows


def _scores(f1: float, rng: random.Random) -> Json:
    def near(value: float) -> float:
        return min(max(value + rng.gauss(0, 0.005), 0.0), 1.0)

    precision, recall = near(min(1.15 * f1 + 0.1, 0.97)), near(0.9 * f1)
    return {
        "pixel": {
            "precision": precision,
            "recall": recall,
            "f1": near(f1),
            "threshold": 0.5,
            "f1_at_validation_threshold": near(min(f1 + 0.05, 1)),
            "average_precision": near(min(f1 + 0.03, 1)),
            "ece": near(0.04),
        },
        "particle": {
            "precision": near(precision),
            "recall": near(min(recall + 0.05, 1)),
            "f1": near(min(f1 + 0.08, 1)),
            "threshold": 0.42,
            "average_precision": near(min(f1 + 0.1, 1)),
            "radius_fraction": 0.5,
        },
        "per_micrograph": [{"name": f"mic_{i:03d}", "particle_f1": near(f1)} for i in range(20)],
    }


def results(mask: str, ratio: float, seed: int, label_draw: int = 0, **mask_settings: Any) -> Json:
    """Return the content of one realistic ``results.json`` of schema 1."""
    target, defaults = MASKS.get(mask, ("Other", {}))
    config = {"_target_": f"cryofix.masking.{target}", **defaults, **mask_settings}
    rng = random.Random(f"{mask}{ratio}{seed}{label_draw}{mask_settings}")
    shared = random.Random(f"{ratio}{seed}{label_draw}")  # the control is the masks' in common
    control = 0.52 + 0.09 * math.log10(ratio / 0.05) + shared.gauss(0, 0.015)
    rates = keep_rates(1.0)
    threshold = config.get("threshold", 0.5)
    drift = next((r["drift"] for r in rates if r["threshold"] == threshold), 0.0)
    drift += {"class_aware": 0.15, "soft_weight": -0.35, "none": -0.1}.get(mask, 0.0)
    fixmatch = max(control * (1 + 0.08 * (1 + 1.4 * drift)) * (1 + rng.gauss(0, 0.04)), 0.01)
    if drift < -1.5:
        fixmatch = 0.02 + 0.15 * ratio
    both = {"supervised": _scores(control, shared), "fixmatch": _scores(fixmatch, rng)}

    def gain(group: str, key: str) -> Json:
        value = both["fixmatch"][group][key] - both["supervised"][group][key]
        return {"value": value, "ci95": [value - 0.02, value + 0.02]}

    return {
        "schema": 1,
        "data": "simulated",
        "mask": mask,
        "mask_config": config,
        "ratio": ratio,
        "seed": seed,
        "split_seed": 0,
        "label_draw": label_draw,
        "micrographs": {"labelled": 4, "unlabelled": 76, "validation": 10, "test": 10},
        **both,
        "gain": {
            "pixel_f1": gain("pixel", "f1"),
            "particle_f1": gain("particle", "f1"),
            "average_precision": gain("pixel", "average_precision"),
            "particle_average_precision": gain("particle", "average_precision"),
        },
        "selected": "fixmatch" if fixmatch > control else "supervised",
        "validation": {
            branch: {"particle_f1": f1 + 0.07, "particle_average_precision": f1 + 0.09}
            for branch, f1 in (("supervised", control), ("fixmatch", fixmatch))
        },
        "keep_rates": keep_rates(0.9 + ratio),
        "mask_keep_rates": {
            "kept": 0.8,
            "particle_keep": 0.8 * math.exp(min(drift, 0.0)),
            "background_keep": 0.8,
            "drift": drift,
        },
        "collapse": {
            "alarmed": drift < -1.5,
            "first_step": 400 if drift < -1.5 else None,
            "min_drift": drift + rng.gauss(0, 0.05),
        },
        "steps": {"burn_in": 1000, "stage": 2000},
        "seconds": {"burn_in": 410.0, "control": 820.0, "fixmatch": 1640.0, "total": 2870.0},
        "environment": {"cryofix": "0.1.0", "torch": "2.15.0", "device": "cpu"},
    }


@dataclass
class SweepFolder:
    """A sweep folder being made."""

    path: Path

    def run(
        self,
        name: str,
        overrides: Iterable[str],
        result: Mapping[str, Any] | str | None = None,
        status: Mapping[str, Any] | None = None,
        job_id: str = "",
    ) -> Path:
        """Write one run folder; ``result`` is an object, or the raw text of the file."""
        folder = self.path / name
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
        hydra = {"hydra": {"job": {"id": job_id, "num": 0}}}
        (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(hydra))
        if status is not None:
            (folder / "status.json").write_text(json.dumps(status))
        if result is not None:
            content = result if isinstance(result, str) else json.dumps(result)
            (folder / "results.json").write_text(content)
        return folder

    def finished(self, name: str, result: Mapping[str, Any]) -> Path:
        """Write a finished run, with the overrides that lead to its result."""
        config = result["mask_config"]
        defaults = MASKS.get(result["mask"], ("", {}))[1]
        overrides = [
            f"mask={result['mask']}",
            *(
                f"mask.{key}={value}"
                for key, value in config.items()
                if key[0] != "_" and (key == "threshold" or value != defaults.get(key))
            ),
            f"ratio={result['ratio']}",
            f"seed={result['seed']}",
        ]
        if result.get("label_draw"):
            overrides.append(f"label_draw={result['label_draw']}")
        return self.run(name, overrides, result, {"state": "finished", "error": None})

    def grid(
        self,
        masks: Iterable[tuple[str, Json]],
        ratios: Iterable[float],
        seeds: Iterable[int],
        draws: Iterable[int] = (0,),
    ) -> int:
        """Write a finished run for each combination, numbered from 0; return how many."""
        number = 0
        for mask, settings in masks:
            for ratio in ratios:
                for draw in draws:
                    for seed in seeds:
                        self.finished(str(number), results(mask, ratio, seed, draw, **settings))
                        number += 1
        return number

    def plan(self, task: Iterable[str], params: Mapping[str, str] | None = None) -> None:
        """Write the ``multirun.yaml`` that Hydra leaves, with the keys that matter."""
        content = {
            "hydra": {
                "overrides": {"hydra": ["hydra.mode=MULTIRUN"], "task": list(task)},
                "sweeper": {"params": dict(params) if params else None},
            }
        }
        (self.path / "multirun.yaml").write_text(yaml.safe_dump(content))

    def submitit_log(self, job_id: str, content: str, ended: bool = True) -> Path:
        """Write the log that submitit keeps of a job, and the mark that it has ended."""
        folder = self.path / ".submitit" / job_id
        folder.mkdir(parents=True)
        log = folder / f"{job_id}_0_log.err"
        log.write_text(content)
        if ended:
            (folder / f"{job_id}_0_result.pkl").write_bytes(b"never read")
        return log


@pytest.fixture
def make_results() -> Callable[..., Json]:
    """Give the writer of one run's results."""
    return results


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """Give an empty sweep folder with methods to fill it."""
    folder = tmp_path / "2026-01-31" / "12-00-00"
    folder.mkdir(parents=True)
    return SweepFolder(folder)
