"""From a network and a micrograph to what is kept of its score."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.tiles import Annotated
from cryofix.formats import Particles
from cryofix.learning.sliding import predict_map
from cryofix.metrics.histogram import ProbabilityHistogram
from cryofix.metrics.particles import MicrographRecord
from cryofix.metrics.peaks import find_peaks
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.positive_unlabelled import Expectation


@dataclass(frozen=True)
class Prediction:
    """One micrograph as a network sees it, in network pixels."""

    annotated: Annotated
    probability: NDArray[np.float32]
    """(rows, columns), float32, in [0, 1]."""
    picks: Particles
    """Peaks of the map with their scores, low ones included; none where masks are the labels."""
    target: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    """Boolean maps; target is empty where nobody labelled."""


def predict(
    network: nn.Module,
    data: CryoDataModule,
    annotated: Annotated,
    device: torch.device,
    average_views: bool = False,
) -> Prediction:
    """Run a network, in eval mode, over one whole micrograph; see `predict_map` for the views."""
    image = annotated.read()
    probability = predict_map(network, image, device=device, average_views=average_views)
    target, valid = data.maps(annotated)
    picks = Particles.empty()
    if data.has_particles:
        apart = data.dataset.particle_radius_px
        picks = find_peaks(probability, radius_px=data.radius_px, min_distance_px=apart)
    return Prediction(annotated, probability, picks, target, valid)


def score(prediction: Prediction, data: CryoDataModule) -> MicrographRecord:
    """Compare a prediction with the labels of its micrograph: picks, and where masks are pixels."""
    annotated = prediction.annotated
    name = annotated.micrograph.name
    pixels = PixelHistogram.from_arrays(prediction.probability, prediction.target, prediction.valid)
    if not data.has_particles:
        return MicrographRecord(name, pixels)
    return MicrographRecord.measure(
        name,
        prediction.picks,
        annotated.particles or Particles.empty(),
        diameter=data.dataset.particle_px,
        ignored=annotated.ignored,
        area=annotated.area,
        pixels=pixels,
    )


def score_all(
    network: nn.Module,
    data: CryoDataModule,
    micrographs: Iterable[Annotated],
    device: torch.device,
    average_views: bool = False,
) -> list[MicrographRecord]:
    """Score every micrograph, one in memory at a time."""
    return [
        score(predict(network, data, part, device, average_views), data) for part in micrographs
    ]


def expectation(data: CryoDataModule, prior: float) -> Expectation | None:
    """Return what validation goes by where its labels are partial; None where they are complete."""
    if not data.scored_partially:
        return None
    return Expectation(prior, math.pi * data.radius_px**2)


def confidence_histogram(
    network: nn.Module, data: CryoDataModule, micrographs: Iterable[Annotated], device: torch.device
) -> ProbabilityHistogram:
    """Count pixels by confidence, and by true class where labels are complete."""
    total = ProbabilityHistogram.empty()
    for annotated in micrographs:
        probability = predict_map(network, annotated.read(), device=device)
        target, valid = data.maps(annotated)
        truth = target if annotated.complete else None
        total += ProbabilityHistogram.from_arrays(probability, truth, valid)
    return total
