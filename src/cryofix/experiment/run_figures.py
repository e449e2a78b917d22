"""Figures of a run, drawn without a display."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.tiles import Annotated
from cryofix.formats import Particles
from cryofix.learning.evaluation import Prediction, predict
from cryofix.metrics.matching import match
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.scores import MicrographRecord, Thresholds
from cryofix.reporting import plots
from cryofix.reporting.plots import save

if TYPE_CHECKING:
    from cryofix.experiment.stages import Experiment

FOUND, WRONG, MISSED = "#009e73", "#d55e00", "#56b4e9"  # told apart by all eyes (Okabe and Ito)
COLOURS = {"supervised": plots.SUPERVISED, "fixmatch": plots.FIXMATCH, "model": plots.FIXMATCH}


def write_run_figures(experiment: "Experiment") -> None:
    """Write ``figures/`` of a finished run: picks, maps, precision-recall, keep rates.

    They show test micrographs, or validation where the split has no test micrograph.
    """
    folder = experiment.folder / "figures"
    data = experiment.data
    annotated = [*data.part("test"), *data.part("validation")][0]
    predictions = {
        name: predict(scored.network, data, annotated, experiment.device)
        for name, scored in experiment.scored.items()
    }
    thresholds = {name: scored.thresholds for name, scored in experiment.scored.items()}
    picks, axes = plots.panels(7.2 * len(predictions), 7.6, columns=len(predictions))
    for axis, (name, prediction) in zip(axes, predictions.items(), strict=True):
        draw_picks(axis, prediction, data.dataset.particle_px, thresholds[name].particle)
        axis.set_title(f"{name}: {axis.get_title()}", fontsize=11)
    save(picks, folder / "picks.png")
    save(maps_figure(predictions), folder / "maps.png")
    records = {name: each.test or each.validation for name, each in experiment.scored.items()}
    part = "" if data.split.test else ", on validation"
    save(precision_recall_figure(records, part), folder / "precision_recall.png")
    if experiment.keep_rates:
        save(run_keep_rates_figure(experiment.keep_rates), folder / "keep_rates.png")


def write_scored_figures(
    folder: Path,
    network: nn.Module,
    data: CryoDataModule,
    annotated: Annotated,
    records: list[MicrographRecord],
    thresholds: Thresholds,
    device: torch.device,
) -> None:
    """Write ``figures/`` of one scored model: picks and maps of one micrograph, curves of all."""
    prediction = predict(network, data, annotated, device)
    figure, (axis,) = plots.panels(8, 8.4)
    draw_picks(axis, prediction, data.dataset.particle_px, thresholds.particle)
    save(figure, folder / "figures" / "picks.png")
    save(maps_figure({"model": prediction}), folder / "figures" / "maps.png")
    save(precision_recall_figure({"model": records}), folder / "figures" / "precision_recall.png")


def show_micrograph(axis: Axes, prediction: Prediction) -> None:
    """Draw the normalised micrograph, row 0 at the top."""
    axis.imshow(prediction.annotated.read(), cmap="gray", vmin=-3, vmax=3)
    plots.without_ticks([axis])


def draw_picks(axis: Axes, prediction: Prediction, diameter_px: float, threshold: float) -> None:
    """Draw a micrograph with its picks: found, wrong, and missed particles, in network pixels."""
    show_micrograph(axis, prediction)
    picks = prediction.picks
    assert picks.score is not None
    area = prediction.annotated.area
    picks = picks.select((picks.score >= threshold) & area.holds(picks.x, picks.y))
    x0, y0, x1, y1 = prediction.annotated.interior
    if x0 > 0:  # only the part that is scored
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="gold", lw=1))
    scored = np.ones(prediction.probability.shape, dtype=bool)
    area.leave_out(scored)
    if area.closed:
        axis.contour(scored, levels=[0.5], colors="gold", linewidths=1)
    truth = prediction.annotated.particles or Particles.empty()
    pairs = match(_centres(picks), _centres(truth), diameter_px / 2)
    found = np.zeros(len(picks), dtype=bool)
    hit = np.zeros(len(truth), dtype=bool)
    found[pairs.pick], hit[pairs.truth] = True, True
    for particles, colour, style in (
        (picks.select(found), FOUND, "-"),
        (picks.select(~found), WRONG, "-"),
        (truth.select(~hit), MISSED, "--"),
    ):
        _circles(axis, particles, diameter_px, colour, style)
    axis.set_title(
        f"{found.sum()} found (green), {(~found).sum()} unlabelled picks (orange),"
        f" {(~hit).sum()} missed (blue)"
    )


def _circles(axis: Axes, particles: Particles, diameter: float, colour: str, style: str) -> None:
    size = np.full(len(particles), diameter)
    axis.add_collection(
        EllipseCollection(
            size,
            size,
            np.zeros(len(particles)),
            units="xy",
            offsets=_centres(particles),
            offset_transform=axis.transData,
            facecolors="none",
            edgecolors=colour,
            linestyles=style,
            linewidths=1.1,
        )
    )


def _centres(particles: Particles) -> Any:
    return np.stack([particles.x, particles.y], axis=1)


def maps_figure(predictions: dict[str, Prediction]) -> Figure:
    """Draw a micrograph, its truth, and the probability map of each model."""
    first = next(iter(predictions.values()))
    columns = 2 + len(predictions)
    figure, axes = plots.panels(4 * columns, 4.4, columns=columns)
    show_micrograph(axes[0], first)
    axes[0].set_title(first.annotated.micrograph.name, fontsize=9)
    truth = np.where(first.valid, first.target.astype(float), 0.3)
    axes[1].imshow(truth, cmap="gray", vmin=0, vmax=1)
    axes[1].set_title("labels (grey: not scored)")
    for axis, (name, prediction) in zip(axes[2:], predictions.items(), strict=True):
        shown = axis.imshow(prediction.probability, cmap="magma", vmin=0, vmax=1)
        axis.set_title(f"p, {name}")
    figure.colorbar(shown, ax=axes[-1], shrink=0.8)
    plots.without_ticks(axes)
    return figure


def precision_recall_figure(records: dict[str, list[MicrographRecord]], part: str = "") -> Figure:
    """Draw precision over recall, for pixels and for particles; ``part`` ends their titles."""
    figure, (pixel_axis, particle_axis) = plots.panels(9.5, 4.4, columns=2)
    for name, parts in records.items():
        pixels = sum((part.pixels for part in parts), PixelHistogram.empty())
        particles = sum((part.particles for part in parts[1:]), parts[0].particles)
        for axis, curve in ((pixel_axis, pixels), (particle_axis, particles)):
            plots.draw_precision_recall(axis, curve, name, COLOURS[name])
    plots.finish_precision_recall(pixel_axis, f"pixels{part}")
    plots.finish_precision_recall(particle_axis, f"particles within d/2{part}")
    return figure


def run_keep_rates_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw what a symmetric threshold would keep of each class, and the drift between them."""
    figure, (axis,) = plots.panels(7, 4.4)
    plots.draw_keep_rates(axis, rows, rows)
    title = "What symmetric masking keeps before FixMatch starts; numbers: drift"
    plots.finish(axis, "lower left", title=title)
    return figure
