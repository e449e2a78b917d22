"""Figures of a run, drawn without a display."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.tiles import Annotated
from cryofix.experiment.comparison import Scored
from cryofix.formats import Particles
from cryofix.learning.evaluation import Prediction, predict
from cryofix.metrics.curves import Curve
from cryofix.metrics.particles import (
    MicrographRecord,
    Thresholds,
    judged,
    pooled_particles,
    pooled_pixels,
)
from cryofix.reporting import plots
from cryofix.reporting.console import BRANCHES
from cryofix.reporting.plots import save

if TYPE_CHECKING:
    from cryofix.experiment.stages import Experiment

NAMES = {**BRANCHES, "model": "the model"}
COLOURS = {"supervised": plots.SUPERVISED, "fixmatch": plots.FIXMATCH, "model": plots.FIXMATCH}


def write_run_figures(experiment: "Experiment") -> None:
    """Write ``figures/`` of a finished run: picks, maps, precision-recall, keep rates.

    They show test micrographs, or validation where the split has no test micrograph.
    """
    folder = experiment.folder / "figures"
    data = experiment.data
    annotated = [*data.part("test"), *data.part("validation")][0]
    predictions = {
        name: predict(scored.network, data, annotated, experiment.device, scored.average_views)
        for name, scored in experiment.scored.items()
    }
    if data.has_particles:
        picks, axes = plots.panels(7.2 * len(predictions), 7.6, columns=len(predictions))
        for axis, (name, prediction) in zip(axes, predictions.items(), strict=True):
            threshold = experiment.scored[name].thresholds.particle
            draw_picks(axis, prediction, data, threshold, NAMES[name])
        save(picks, folder / "picks.png")
    save(maps_figure(predictions), folder / "maps.png")
    records = {name: each.test or each.validation for name, each in experiment.scored.items()}
    part = "" if data.split.test else ", on validation"
    if data.split.test or not data.scored_partially:
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
    average_views: bool,
) -> None:
    """Write ``figures/`` of one scored model: picks and maps of one micrograph, curves of all."""
    prediction = predict(network, data, annotated, device, average_views)
    if data.has_particles:
        figure, (axis,) = plots.panels(8, 8.4)
        draw_picks(axis, prediction, data, thresholds.particle)
        save(figure, folder / "figures" / "picks.png")
    save(maps_figure({"model": prediction}), folder / "figures" / "maps.png")
    save(precision_recall_figure({"model": records}), folder / "figures" / "precision_recall.png")


def show_micrograph(axis: Axes, prediction: Prediction) -> None:
    """Draw the normalised micrograph, row 0 at the top."""
    axis.imshow(prediction.annotated.read(), cmap="gray", vmin=-3, vmax=3)
    plots.without_ticks([axis])


def draw_picks(
    axis: Axes, prediction: Prediction, data: CryoDataModule, threshold: float, about: str = ""
) -> None:
    """Draw a micrograph with its picks: found, extra, and missed particles, in network pixels.

    Where labels are partial nobody knows whether a pick without a label is wrong: it is not scored.
    """
    show_micrograph(axis, prediction)
    picks, shown = prediction.picks, prediction.annotated
    assert picks.score is not None
    scored = np.ones(prediction.probability.shape, dtype=bool)
    shown.area.leave_out(scored)
    if not scored.all():
        axis.contour(scored, levels=[0.5], colors=plots.NOT_SCORED, linewidths=1)
    rings = judged(
        picks.select(picks.score >= threshold),
        shown.particles or Particles.empty(),
        diameter=data.dataset.particle_px,
        ignored=shown.ignored,
        area=shown.area,
    )
    if shown.partial:
        rings["not scored"] = np.concatenate([rings["not scored"], rings.pop("extra")])
    plots.draw_rings(axis, rings, data.dataset.particle_px, about)


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
        axis.set_title(f"p, {NAMES[name]}")
    figure.colorbar(shown, ax=axes[-1], shrink=0.8)
    plots.without_ticks(axes)
    return figure


def precision_recall_figure(records: dict[str, list[MicrographRecord]], part: str = "") -> Figure:
    """Draw precision over recall, for pixels and for particles; ``part`` ends their titles."""
    pooled: dict[str, Callable[[list[MicrographRecord]], Curve]] = {"pixels": pooled_pixels}
    if all(each.particles is not None for parts in records.values() for each in parts):
        pooled["particles within d/2"] = pooled_particles
    figure, axes = plots.panels(4.75 * len(pooled), 4.4, columns=len(pooled))
    for axis, (title, curve_of) in zip(axes, pooled.items(), strict=True):
        for name, parts in records.items():
            plots.draw_precision_recall(axis, curve_of(parts), NAMES[name], COLOURS[name])
        plots.finish_precision_recall(axis, f"{title}{part}")
    return figure


def run_keep_rates_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw what a symmetric threshold would keep of each class, and the drift between them."""
    figure, (axis,) = plots.panels(7, 4.4)
    plots.draw_keep_rates(axis, rows, rows)
    title = "What symmetric masking keeps before FixMatch starts; numbers: drift"
    plots.finish(axis, "lower left", title=title)
    return figure


def comparison_figure(scored: Sequence[Scored]) -> Figure:
    """Draw precision over recall, and F1 over the share of picks that a threshold leaves."""
    figure, (curve_axis, f1_axis) = plots.panels(10.5, 4.6, columns=2)
    for number, one in enumerate(scored):
        colour = f"C{number}"
        particles, name = one.pooled, one.program.name
        plots.draw_precision_recall(curve_axis, particles, name, colour)
        strict = pooled_particles(one.records, strict=True)
        dotted: dict[str, Any] = {"linestyle": ":", "linewidth": 1, "label": None}
        plots.draw_precision_recall(curve_axis, strict, name, colour, **dotted)
        here = particles.precision(one.threshold), particles.recall(one.threshold)
        curve_axis.plot(here[1], here[0], "o", color=colour)
        right, wrong = (
            np.cumsum(counts[::-1])[::-1] for counts in (particles.matched, particles.unmatched)
        )
        used = np.flatnonzero(particles.matched + particles.unmatched)
        share = (right + wrong)[used] / max(1, int((right + wrong)[0]))
        f1 = 2 * right / np.maximum(1, right + wrong + particles.truth)
        f1_axis.plot(share, f1[used], color=colour, label=name)
    plots.finish_precision_recall(curve_axis, "within d/2 (dotted: d/4; dot: chosen threshold)")
    share_label = "share of picks above the threshold"
    plots.finish(
        f1_axis, "lower left", xlabel=share_label, ylabel="F1", xlim=(0, 1), ylim=(0, 1.02)
    )
    return figure
