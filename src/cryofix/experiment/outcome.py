"""How the branches of the fork did, which one to use, and what the numbers may depend on."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning
import torch

import cryofix
from cryofix.metrics.scores import MicrographRecord, Thresholds, summarise

# F1 on validation is taken at a threshold fitted to the same few micrographs, so it ranks the two
# branches by luck: it chose the worse one twice as costly (docs/study.md).
SELECTED_BY = "particle_average_precision"


@dataclass(frozen=True)
class Scored:
    """One branch of the fork, scored."""

    validation: list[MicrographRecord]
    test: list[MicrographRecord]
    thresholds: Thresholds

    def scores(self) -> dict[str, Any]:
        """Return the ``SCORES`` on test micrographs."""
        return summarise(self.test, self.thresholds)

    def validation_scores(self) -> dict[str, float]:
        """Return the particle scores on validation that settings and branches are chosen by."""
        scores = summarise(self.validation, self.thresholds)["particle"]
        return {f"particle_{key}": scores[key] for key in ("f1", "average_precision")}


def select(validation: Mapping[str, Mapping[str, float]]) -> str:
    """Return the branch to use by the scores of each on validation; of equal ones the first."""
    return max(validation, key=lambda name: validation[name][SELECTED_BY])


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
