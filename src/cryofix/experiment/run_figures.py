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
from cryofix.files import atomic_write
from cryofix.formats import Particles
from cryofix.learning.evaluation import Prediction, predict
from cryofix.metrics.matching import match
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.scores import MicrographRecord, Thresholds

if TYPE_CHECKING:
    from cryofix.experiment.stages import Experiment

SUPERVISED, FIXMATCH = "#4c78a8", "#e4572e"
FOUND, WRONG, MISSED = "#009e73", "#d55e00", "#56b4e9"  # told apart by all eyes (Okabe and Ito)
COLOURS = {"supervised": SUPERVISED, "fixmatch": FIXMATCH, "model": FIXMATCH}


def save(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a figure atomically."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=dpi, bbox_inches="tight", facecolor="white")


def write_figures(experiment: "Experiment") -> None:
    """Write ``figures/`` of a finished run: picks, maps, precision-recall, keep rates."""
    folder = experiment.folder / "figures"
    data = experiment.data
    annotated = data.part("test")[0]
    predictions = {
        name: predict(scored.network, data, annotated, experiment.device)
        for name, scored in experiment.scored.items()
    }
    thresholds = {name: scored.thresholds for name, scored in experiment.scored.items()}
    picks = Figure(figsize=(7.2 * len(predictions), 7.6), layout="constrained")
    axes = picks.subplots(1, len(predictions), squeeze=False)[0]
    for axis, (name, prediction) in zip(axes, predictions.items(), strict=True):
        draw_picks(axis, prediction, data.dataset.particle_px, thresholds[name].particle)
        axis.set_title(f"{name}: {axis.get_title()}", fontsize=11)
    save(picks, folder / "picks.png")
    save(maps_figure(predictions), folder / "maps.png")
    records = {name: scored.test for name, scored in experiment.scored.items()}
    save(precision_recall_figure(records), folder / "precision_recall.png")
    if experiment.keep_rates:
        save(keep_rates_figure(experiment.keep_rates), folder / "keep_rates.png")


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
    figure = Figure(figsize=(8, 8.4), layout="constrained")
    draw_picks(figure.subplots(), prediction, data.dataset.particle_px, thresholds.particle)
    save(figure, folder / "figures" / "picks.png")
    save(maps_figure({"model": prediction}), folder / "figures" / "maps.png")
    save(precision_recall_figure({"model": records}), folder / "figures" / "precision_recall.png")


def show_micrograph(axis: Axes, prediction: Prediction) -> None:
    """Draw the normalised micrograph, row 0 at the top."""
    axis.imshow(prediction.annotated.read(), cmap="gray", vmin=-3, vmax=3)
    axis.set_xticks([])
    axis.set_yticks([])


def draw_picks(axis: Axes, prediction: Prediction, diameter_px: float, threshold: float) -> None:
    """Draw a micrograph with its picks: found, wrong, and missed particles, in network pixels."""
    show_micrograph(axis, prediction)
    picks = prediction.picks
    assert picks.score is not None
    x0, y0, x1, y1 = prediction.annotated.interior
    inside = (picks.x >= x0) & (picks.x <= x1) & (picks.y >= y0) & (picks.y <= y1)
    picks = picks.select((picks.score >= threshold) & inside)
    if x0 > 0:  # only the part that is scored
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="gold", lw=1))
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
    panels = 2 + len(predictions)
    figure = Figure(figsize=(4 * panels, 4.4), layout="constrained")
    axes = figure.subplots(1, panels)
    show_micrograph(axes[0], first)
    axes[0].set_title(first.annotated.micrograph.name, fontsize=9)
    truth = np.where(first.valid, first.target.astype(float), 0.3)
    axes[1].imshow(truth, cmap="gray", vmin=0, vmax=1)
    axes[1].set_title("labels (grey: not scored)")
    for axis, (name, prediction) in zip(axes[2:], predictions.items(), strict=True):
        shown = axis.imshow(prediction.probability, cmap="magma", vmin=0, vmax=1)
        axis.set_title(f"p, {name}")
    figure.colorbar(shown, ax=axes[-1], shrink=0.8)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def precision_recall_figure(records: dict[str, list[MicrographRecord]]) -> Figure:
    """Draw precision over recall, for pixels and for particles."""
    figure = Figure(figsize=(9.5, 4.4), layout="constrained")
    pixel_axis, particle_axis = figure.subplots(1, 2)
    for name, parts in records.items():
        pixels = sum((part.pixels for part in parts), PixelHistogram.empty())
        particles = sum((part.particles for part in parts[1:]), parts[0].particles)
        for axis, curve in ((pixel_axis, pixels), (particle_axis, particles)):
            precision, recall = curve.precision_recall()
            average = curve.average_precision()
            axis.plot(recall, precision, color=COLOURS[name], label=f"{name}, AP {average:.3f}")
    for axis, title in ((pixel_axis, "pixels"), (particle_axis, "particles within d/2")):
        axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=title)
        axis.grid(alpha=0.3)
        axis.legend(loc="lower left")
    return figure


def keep_rates_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw what a symmetric threshold would keep of each class, and the drift between them."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axis = figure.subplots()
    thresholds = [row["threshold"] for row in rows]
    particle, background = (
        np.array([row[key] if row[key] is not None else np.nan for row in rows], dtype=float)
        for key in ("particle_keep", "background_keep")
    )
    axis.plot(thresholds, 100 * particle, "o-", color=FIXMATCH, label="predicted particles")
    axis.plot(thresholds, 100 * background, "o-", color=SUPERVISED, label="predicted background")
    axis.fill_between(thresholds, 100 * particle, 100 * background, color="grey", alpha=0.15)
    axis.set(
        xlabel="confidence threshold, max(p, 1-p) >= t",
        ylabel="kept, %",
        ylim=(0, 103),
        title="What symmetric masking keeps before FixMatch starts",
    )
    for row, low, high in zip(rows, particle, background, strict=True):
        if row["drift"] is not None:
            middle = 50 * (low + high)
            axis.annotate(
                f"{row['drift']:+.2f}", (row["threshold"], middle), ha="center", fontsize=8
            )
    axis.text(0.02, 0.03, "numbers: drift", transform=axis.transAxes, fontsize=8, color="dimgrey")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 0.08))
    return figure
