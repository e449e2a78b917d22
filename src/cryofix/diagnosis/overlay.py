"""A micrograph painted with what a mask keeps of it, drops, and teaches wrongly."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from cryofix.diagnosis.verdict import rate_text
from cryofix.masking import MaskingPolicy, PolicyContext
from cryofix.metrics.bins import FloatArray
from cryofix.reporting.plots import BACKGROUND, IGNORED, NEUTRAL, PARTICLES, WRONG

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class LegendEntry:
    """A line of the legend; ``share`` is of the valid pixels, None for the others themselves."""

    name: str
    colour: str
    share: float | None

    def text(self) -> str:
        """Return the name with its share, for example ``ignored, 2.5 %``."""
        return self.name if self.share is None else f"{self.name}, {rate_text(self.share)}"


@dataclass(frozen=True)
class Overlay:
    """A painted map, (rows, columns, 3) in [0, 1], and its legend."""

    painted: FloatArray
    legend: list[LegendEntry]


def paint(
    ground: FloatArray,
    probability: NDArray[np.float32],
    truth: BoolArray | None,
    valid: BoolArray,
    policy: MaskingPolicy,
    context: PolicyContext,
) -> Overlay:
    """Paint what a policy makes of one map; the stronger the weight, the stronger the colour.

    ``ground`` is what to paint on, (rows, columns, 3) in [0, 1]; all others are (rows, columns).
    ``truth`` is True at particle pixels; where it is None nothing is called wrong. Pixels that are
    not ``valid`` do not count. The mask, ``policy``, may be on any device.
    """
    device = next((buffer.device for buffer in policy.buffers()), torch.device("cpu"))
    tile, inside = (
        torch.from_numpy(part.copy())[None, None].to(device) for part in (probability, valid)
    )
    labels = policy(tile, inside, context)
    weight, target = (part[0, 0].cpu().numpy() for part in (labels.weight, labels.target))
    particle, kept = target >= 0.5, weight > 0
    layers = [
        ("kept as particle", PARTICLES, kept & particle),
        ("kept as background", BACKGROUND, kept & ~particle),
    ]
    if truth is not None:
        layers.append(("kept and wrong", WRONG, kept & valid & (particle != truth)))
    counted = max(int(valid.sum()), 1)
    legend = [
        LegendEntry(name, colour, float((mask & valid).sum()) / counted)
        for name, colour, mask in layers
    ]
    legend.append(LegendEntry("ignored", IGNORED, float((valid & ~kept).sum()) / counted))
    if not valid.all():
        layers.append(("not counted", NEUTRAL, ~valid))
        legend.append(LegendEntry("not counted", NEUTRAL, None))
    strength = np.clip(weight / max(float(weight.max()), 1e-12), 0, 1)
    opacity = np.where(valid, 0.25 + 0.4 * strength, 0.8)
    painted = ground.copy()
    for _, colour, mask in layers:
        alpha = (opacity * mask)[..., None]
        # From the bare ground: what is painted later replaces what was painted before.
        painted = np.where(
            mask[..., None], (1 - alpha) * ground + alpha * np.array(to_rgb(colour)), painted
        )
    return Overlay(painted, legend)


def grey(image: NDArray[np.float32], low: float = -3.0, high: float = 3.0) -> FloatArray:
    """Return an image as a ground to paint on; by default a normalised micrograph."""
    level = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1)
    return np.repeat(level[..., None], 3, axis=2)
