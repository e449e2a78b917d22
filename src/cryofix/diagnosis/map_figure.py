"""One map: what the mask keeps of it, drops, and teaches wrongly."""

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cryofix.diagnosis.bins import FloatArray
from cryofix.diagnosis.colours import BACKGROUND, NEUTRAL, PARTICLES, WRONG
from cryofix.diagnosis.observation import SHOWN_SIDE, Example
from cryofix.diagnosis.report import Diagnosis
from cryofix.diagnosis.verdict import percent


def map_figure(diagnosis: Diagnosis, example: Example) -> Figure:
    """Draw one map: p, and what the mask keeps of it, drops, and teaches wrongly."""
    part = np.s_[:SHOWN_SIDE, :SHOWN_SIDE]
    image, prob, valid = example.image[part], example.probability[part], example.valid[part]
    truth = None if example.truth is None else example.truth[part]
    tile, inside = (torch.from_numpy(array.copy())[None, None] for array in (prob, valid))
    labels = diagnosis.masked.policy(tile, inside, diagnosis.context)
    weight, target = (part[0, 0].numpy() for part in (labels.weight, labels.target))
    particle, kept = target >= 0.5, weight > 0
    strength = np.clip(weight / max(float(weight.max()), 1e-12), 0, 1)
    ground = _grey(image if example.is_micrograph else prob, example.is_micrograph)
    layers = [(kept & particle, PARTICLES), (kept & ~particle, BACKGROUND)]
    names = [("kept as particle", PARTICLES), ("kept as background", BACKGROUND)]
    counted = max(int(valid.sum()), 1)
    shares = [float((mask & valid).sum()) / counted for mask, _ in layers]
    if truth is not None:
        wrong = kept & valid & (particle != truth)
        layers.append((wrong, WRONG))
        names.append(("kept and wrong", WRONG))
        shares.append(float(wrong.sum()) / counted)
    layers.append((~valid, NEUTRAL))
    painted = ground.copy()
    for mask, colour in layers:
        opacity = np.where(valid, 0.25 + 0.4 * strength, 0.8)
        alpha = (opacity * mask)[..., None]
        # From the bare ground: what is painted later replaces what was painted before.
        painted = np.where(
            mask[..., None], (1 - alpha) * ground + alpha * np.array(to_rgb(colour)), painted
        )
    figure = Figure(figsize=(12.5, 6.9 * prob.shape[0] / prob.shape[1] + 0.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(ground, interpolation="nearest")
    if example.is_micrograph:
        left.contour(prob, levels=[0.5], colors=[PARTICLES], linewidths=0.8)
        left.set_title(f"{example.title}; line: p = 0.5", fontsize=10.5)
    else:
        shown = left.imshow(prob, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        left.set_title(f"p, {example.title}", fontsize=10.5)
        figure.colorbar(shown, ax=left, shrink=0.8)
    right.imshow(painted, interpolation="nearest")
    right.set_title(f"what {diagnosis.policy.name} keeps", fontsize=10.5)
    ignored = float((valid & ~kept).sum()) / counted
    handles = [
        Patch(color=colour, label=f"{name}, {percent(share)}")
        for (name, colour), share in zip(names, shares, strict=True)
    ]
    handles.append(Patch(color="#bbbbbb", label=f"ignored, {percent(ignored)}"))
    if not valid.all():
        handles.append(Patch(color=NEUTRAL, label="not counted"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    for axis in (left, right):
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def _grey(image: NDArray[np.float32], is_micrograph: bool) -> FloatArray:
    """Return a ground to paint on: the normalised micrograph, or p with 0 light."""
    low, high = (-3.0, 3.0) if is_micrograph else (1.4, 0.0)
    level = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1)
    return np.repeat(level[..., None], 3, axis=2)
