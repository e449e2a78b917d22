"""Watching a trained network: its probabilities on the micrographs of a data set."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from cryofix.diagnosis.observation import Example, Observation, checked_prior
from cryofix.errors import check_known
from cryofix.learning.sliding import predict_map
from cryofix.metrics.histogram import ProbabilityHistogram

if TYPE_CHECKING:  # the data module knows Lightning, which nothing in this room is to load
    from cryofix.data.datamodule import CryoDataModule
    from cryofix.data.tiles import Annotated

PARTS = ("unlabelled", "labelled", "validation", "test")
Counter = Callable[[str, int], Callable[[], None]]


def observe_network(
    source: str,
    network: nn.Module,
    data: "CryoDataModule",
    part: str,
    *,
    prior: float,
    mask: Any,
    counter: Counter,
) -> Observation:
    """Let a network predict the micrographs of a part of a data set, one in memory at a time.

    Labelled and validation ones are predicted as well. The network is on its device, and runs in
    eval mode on micrographs without augmentation. ``counter`` shows progress: title and number of
    items in, a function to call for each one out. The others are those of `Observation`.

    Raises CryofixError if there is no such part, or the prior is out of range.
    """
    check_known("part", part, PARTS)
    parts = {name: data.part(name) for name in (part, "labelled", "validation")}
    found: dict[str, ProbabilityHistogram] = {}
    shares: list[float] = []
    for name, micrographs in parts.items():
        tick = counter(f"predicting {name}", len(micrographs))
        found[name] = ProbabilityHistogram.empty()
        for annotated in micrographs:
            one = _predict(network, data, annotated)
            pixels = ProbabilityHistogram.from_arrays(one.probability, one.truth, one.valid)
            found[name] += pixels
            if name == part:
                shares.append(pixels.predicted_share() or 0.0)
            tick()
    example = None
    if shares:
        # The median of those that say most: with hidden labels if any have them.
        known = [annotated.complete for annotated in parts[part]]
        shown = [number for number in np.argsort(shares) if known[number] or not any(known)]
        example = _predict(network, data, parts[part][shown[len(shown) // 2]])
    labelled, validation = found["labelled"], found["validation"]
    return Observation(
        source, found[part], example, checked_prior(prior), labelled, validation, mask
    )


def _predict(network: nn.Module, data: "CryoDataModule", annotated: "Annotated") -> Example:
    image = annotated.read()
    target, valid = data.maps(annotated)
    truth = target if annotated.complete else None
    title = annotated.micrograph.name
    return Example(title, image, predict_map(network, image), truth, valid, is_micrograph=True)
