"""Validation of a training stage: the EMA, which is evaluated, and the student beside it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cryofix.data.datamodule import CryoDataModule
from cryofix.distributed import gathered
from cryofix.learning.evaluation import Prediction, expectation, predict, score
from cryofix.learning.sliding import predict_map
from cryofix.metrics.particles import (
    MicrographRecord,
    ParticleRecord,
    pooled_particles,
    pooled_pixels,
)
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.scores import choose_thresholds, summarise_scores

EXAMPLE = 0  # number of the micrograph that pictures are made of


@dataclass(frozen=True)
class ValidationExample:
    """The micrograph of which pictures are made."""

    prediction: Prediction
    """The EMA's."""
    student: NDArray[np.float32]
    """The student's p, (rows, columns), float32."""


class Validation:
    """Scores validation micrographs one by one, then sums them up."""

    def __init__(self, data: CryoDataModule | None, prior: float) -> None:
        self.data, self.prior = data, prior
        self.curves: dict[str, PixelHistogram | ParticleRecord] = {}
        """Pixels and particles of the EMA, pooled over the latest validation; empty where partial
        labels do not tell precision."""
        self.example: ValidationExample | None = None
        """The latest prediction for one micrograph; None on processes that do not see it."""
        self._seen: dict[int, tuple[MicrographRecord, PixelHistogram]] = {}

    def measure(
        self, index: int, average: nn.Module, student: nn.Module, device: torch.device
    ) -> None:
        """Run both networks over one validation micrograph; only the EMA's picks are scored."""
        assert self.data is not None, "a model that is only used has no validation micrographs"
        annotated = self.data.part("validation")[index]
        prediction = predict(average, self.data, annotated, device)
        by_student = predict_map(student, annotated.read(), device=device)
        self._seen[index] = (
            score(prediction, self.data),
            PixelHistogram.from_arrays(by_student, prediction.target, prediction.valid),
        )
        if index == EXAMPLE:
            self.example = ValidationExample(prediction, by_student)

    def sum_up(self) -> dict[str, float]:
        """Return the scores over the micrographs of all processes, and start afresh.

        Of partial labels these are the ones that can be measured, and an estimate of pixel F1.
        """
        assert self.data is not None, "a model that is only used has no validation micrographs"
        of_all_ranks: dict[int, tuple[MicrographRecord, PixelHistogram]] = {}
        for part in gathered(self._seen):
            of_all_ranks |= part
        self._seen = {}
        pairs = [
            of_all_ranks[index] for index in sorted(of_all_ranks)
        ]  # as one rank alone has them
        records = [record for record, _ in pairs]
        student = sum((histogram for _, histogram in pairs), PixelHistogram.empty())
        expected = expectation(self.data, self.prior)
        if expected is not None:
            return {
                **expected.scores(records),
                "pixel_estimated_f1": float(expected.pixels_at_half(pooled_pixels(records)).f1),
                "student_pixel_estimated_f1": float(expected.pixels_at_half(student).f1),
                "student_pixel_recall": student.recall(0.5),
            }
        scores = summarise_scores(records, choose_thresholds(records))
        pixel, particle = scores["pixel"], scores.get("particle")
        self.curves = {"pixels": pooled_pixels(records)}
        found = {}
        if particle is not None:
            self.curves["particles"] = pooled_particles(records)
            found = {f"particle_{key}": particle[key] for key in ("f1", "average_precision")}
        return {
            **found,
            "pixel_f1": pixel["f1"],
            "pixel_recall": pixel["recall"],
            "pixel_precision": pixel["precision"],
            "pixel_average_precision": pixel["average_precision"],
            "student_pixel_f1": student.f1(0.5),
            "student_pixel_recall": student.recall(0.5),
            "student_pixel_average_precision": student.average_precision(),
        }
