"""How the branches of the fork did, which one to use, and what the numbers may depend on."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

import cryofix
from cryofix.data.datamodule import CryoDataModule
from cryofix.experiment.run_folder import (
    SELECTED_BY,
    SELECTED_PARTIALLY_BY,
    SELECTED_WITHOUT_PARTICLES_BY,
)
from cryofix.learning.checkpoint import averaged_state, load_checkpoint
from cryofix.learning.evaluation import expectation, score_all
from cryofix.learning.network import UNTRAINED, build_network
from cryofix.metrics.curves import EDGES
from cryofix.metrics.particles import MicrographRecord, Thresholds, pooled_particles
from cryofix.metrics.positive_unlabelled import Expectation
from cryofix.metrics.scores import choose_thresholds, not_measured, paired_gain, summarise_scores

OF_VALIDATION = ("precision", "recall", "f1", "average_precision")
CURVE_POINTS = 300
COUNTED_IN = 8
"""Labelled micrographs, and as many unlabelled ones, from which a threshold is taken."""


@dataclass(frozen=True)
class ScoredBranch:
    """One branch of the fork, scored."""

    validation: list[MicrographRecord]
    test: list[MicrographRecord]
    """Empty where the split has no test micrograph."""
    thresholds: Thresholds
    network: nn.Module
    """The averaged network at the end of the branch, in eval mode."""
    average_views: bool
    """Whether its maps are averages over eight views of a micrograph."""
    expected: Expectation | None
    """What is gone by where the labels of validation are partial."""

    def scores(self) -> dict[str, Any]:
        """Return the ``SCORES`` on test micrographs; without any, every score is null."""
        if self.test:
            return summarise_scores(self.test, self.thresholds)
        return not_measured(summarise_scores(self.validation, self.thresholds))

    def validation_scores(self) -> dict[str, float | None]:
        """Return the scores on validation that settings and branches are chosen by.

        Of partial labels, those that cannot be measured are None.
        """
        scores = summarise_scores(self.validation, self.thresholds)
        kinds = [kind for kind in ("particle", "pixel") if kind in scores]
        found = {f"{kind}_{key}": scores[kind][key] for kind in kinds for key in OF_VALIDATION}
        if self.expected is None:
            return found
        recall = {"particle_recall": found["particle_recall"]}
        return {**dict.fromkeys(found), **recall, **self.expected.scores(self.validation)}

    def validation_curve(self) -> dict[str, list[float]] | None:
        """Return precision and recall of particles on validation at thresholds from 0 to 1.

        Of partial labels precision is unknown, and there is no curve.
        """
        if self.expected is not None or all(each.particles is None for each in self.validation):
            return None
        precision, recall = pooled_particles(self.validation).precision_recall()
        values: dict[str, Any] = {"threshold": EDGES, "precision": precision, "recall": recall}
        every = max(1, len(EDGES) // CURVE_POINTS)
        return {key: value[::every].tolist() for key, value in values.items()}

    def gain_over(self, control: "ScoredBranch") -> dict[str, Any]:
        """Return what it gains on test micrographs; without any, every gain is null."""
        thresholds = control.thresholds, self.thresholds
        if self.test:
            return paired_gain(control.test, self.test, *thresholds)
        return not_measured(paired_gain(control.validation, self.validation, *thresholds))


def averaged_network(
    config: Mapping[str, Any], checkpoint: Path | None, device: torch.device
) -> nn.Module:
    """Return a checkpoint's averaged network in eval mode; without one, that of the beginning."""
    torch.manual_seed(config["seed"])
    network = build_network(**{**config["model"], **UNTRAINED})
    if checkpoint is not None:
        network.load_state_dict(averaged_state(load_checkpoint(checkpoint)))
    return network.to(device).eval()


def score_branch(
    name: str,
    network: nn.Module,
    data: CryoDataModule,
    prior: float,
    device: torch.device,
    counter: Callable[[str, int], Callable[[], None]],
    average_views: bool,
) -> ScoredBranch:
    """Score a branch on validation and test; ``counter(title, n)`` returns what to call n times.

    Where labels of validation are partial, thresholds follow from the number of particles that the
    ``prior`` lets expect in labelled and unlabelled micrographs.
    """
    expected = expectation(data, prior)
    parts = {part: data.part(part) for part in ("validation", "test")}
    parts["counted"] = (
        [] if expected is None else data.to_count_in(COUNTED_IN, "labelled", "unlabelled")
    )
    tick = counter(f"scoring {name}", sum(map(len, parts.values())))
    records: dict[str, list[MicrographRecord]] = {part: [] for part in parts}
    for part, micrographs in parts.items():
        for annotated in micrographs:
            records[part] += score_all(network, data, [annotated], device, average_views)
            tick()
    if expected is None:
        thresholds = choose_thresholds(records["validation"])
    else:
        thresholds = expected.thresholds(records["counted"])
    scored = records["validation"], records["test"]
    return ScoredBranch(*scored, thresholds, network, average_views, expected)


def selection_scores(validation: Mapping[str, Mapping[str, float | None]]) -> dict[str, Any]:
    """Return ``score``, what the branch to use is selected by, and that of each branch."""
    titles = {
        SELECTED_BY: "particle average precision",
        SELECTED_PARTIALLY_BY: "particle positive-unlabelled F1",
        SELECTED_WITHOUT_PARTICLES_BY: "pixel average precision",
    }
    known = next(iter(validation.values()))
    key = next(name for name in titles if known.get(name) is not None)
    by_branch = {name: scores[key] for name, scores in validation.items()}
    return {"score": f"{titles[key]} on validation", **by_branch}


def environment(device: torch.device) -> dict[str, Any]:
    """Return what a number may depend on besides the configuration."""
    return {
        "cryofix": cryofix.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
