"""One map: what the mask keeps of it, drops, and teaches wrongly."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.diagnosis.observation import SHOWN_SIDE, Example
from cryofix.diagnosis.overlay import grey, paint
from cryofix.reporting.plots import PARTICLES, panels, without_ticks


def map_figure(diagnosis: Diagnosis, example: Example) -> Figure:
    """Draw one map: p, and what the mask keeps of it, drops, and teaches wrongly."""
    part = np.s_[:SHOWN_SIDE, :SHOWN_SIDE]
    image, prob, valid = example.image[part], example.probability[part], example.valid[part]
    truth = None if example.truth is None else example.truth[part]
    # Without a micrograph the ground is p itself, with 0 light.
    ground = grey(image) if example.is_micrograph else grey(prob, low=1.4, high=0.0)
    overlay = paint(ground, prob, truth, valid, diagnosis.masked.policy, diagnosis.context)
    height = 6.9 * prob.shape[0] / prob.shape[1] + 0.6
    figure, (left, right) = panels(12.5, height, columns=2)
    left.imshow(ground, interpolation="nearest")
    if example.is_micrograph:
        left.contour(prob, levels=[0.5], colors=[PARTICLES], linewidths=0.8)
        left.set_title(f"{example.title}; line: p = 0.5", fontsize=10.5)
    else:
        shown = left.imshow(prob, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        left.set_title(f"p, {example.title}", fontsize=10.5)
        figure.colorbar(shown, ax=left, shrink=0.8)
    right.imshow(overlay.painted, interpolation="nearest")
    right.set_title(f"what {diagnosis.policy.name} keeps", fontsize=10.5)
    handles = [Patch(color=entry.colour, label=entry.text()) for entry in overlay.legend]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    without_ticks((left, right))
    return figure
