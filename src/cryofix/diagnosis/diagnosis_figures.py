"""Pictures of a diagnosis, drawn without a display."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cryofix.diagnosis.colours import BACKGROUND, NEUTRAL, PARTICLES
from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.diagnosis.distribution_figure import probabilities_figure
from cryofix.diagnosis.map_figure import map_figure
from cryofix.diagnosis.verdict import signed
from cryofix.files import atomic_write


def write_figures(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write all figures that the observation allows into a folder, and return their paths."""
    example = diagnosis.observation.example
    figures = {
        "keep_rates.png": keep_rates_figure(diagnosis),
        "probabilities.png": probabilities_figure(diagnosis),
        "generations.png": generations_figure(diagnosis),
    }
    if diagnosis.histogram.known:
        figures["calibration.png"] = calibration_figure(diagnosis)
    if example is not None:
        figures["map.png"] = map_figure(diagnosis, example)
    for name, figure in figures.items():
        with atomic_write(folder / name) as temporary:
            figure.savefig(temporary, dpi=120, bbox_inches="tight", facecolor="white")
    return [folder / name for name in figures]


def keep_rates_figure(diagnosis: Diagnosis) -> Figure:
    """Draw the keep rate of both predicted classes over the threshold, and their drift."""
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axis = figure.subplots()
    thresholds = np.arange(500, 1000) / 1000
    fine = diagnosis.histogram.table(list(thresholds))
    curves = [
        100 * np.array([np.nan if row[key] is None else row[key] for row in fine], dtype=float)
        for key in ("particle_keep", "background_keep")
    ]
    particle, background = curves
    axis.fill_between(thresholds, particle, background, color=NEUTRAL, alpha=0.12, linewidth=0)
    for curve, colour, label in (
        (particle, PARTICLES, "predicted particles"),
        (background, BACKGROUND, "predicted background"),
    ):
        axis.plot(thresholds, curve, color=colour, linewidth=2)
        axis.plot(thresholds[::50], curve[::50], "o", color=colour, label=label, markersize=5)
    for row in diagnosis.rows[1:]:
        if row["drift"] is None:
            continue
        low, high = (100 * (row[key] or 0.0) for key in ("particle_keep", "background_keep"))
        if abs(high - low) > 7:
            axis.text(
                row["threshold"] or 0,
                (low + high) / 2,
                signed(row["drift"]),
                ha="center",
                va="center",
                fontsize=8.5,
                color=NEUTRAL,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.8, "lw": 0},
            )
    rates = diagnosis.rates
    for key, colour, cut in (
        ("particle_keep", PARTICLES, diagnosis.masked.particle_threshold),
        ("background_keep", BACKGROUND, _mirrored(diagnosis.masked.background_threshold)),
    ):
        if cut is not None and rates[key] is not None and 0.5 <= cut <= 1:
            axis.plot(
                cut,
                100 * (rates[key] or 0.0),
                marker="D",
                markersize=11,
                markerfacecolor="none",
                markeredgecolor=colour,
                markeredgewidth=2,
                linestyle="none",
            )
    mine = f"this mask, {diagnosis.policy.name}: drift {signed(rates['drift'])}"
    axis.plot([], [], "D", markerfacecolor="none", markeredgecolor=NEUTRAL, ms=9, label=mine)
    axis.set(
        xlabel="confidence threshold, max(p, 1-p) >= t",
        ylabel="kept, %",
        xlim=(0.49, 1.0),
        ylim=(-2, 104),
        title="What a threshold keeps of each predicted class; numbers: drift",
    )
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left", framealpha=0.95)
    return figure


def _mirrored(threshold: float | None) -> float | None:
    return None if threshold is None else 1 - threshold


def calibration_figure(diagnosis: Diagnosis) -> Figure:
    """Draw the share of true particles over p, and how many pixels say so."""
    scored = diagnosis.histogram.scored()
    curve = scored.reliability()
    figure = Figure(figsize=(6, 6.4), layout="constrained")
    axis, bars = figure.subplots(2, 1, height_ratios=[3.4, 1], sharex=True)
    filled = curve.pixels > 0
    axis.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", label="calibrated")
    axis.plot(
        curve.mean_probability[filled],
        curve.particle_share[filled],
        "o-",
        color=PARTICLES,
        label=f"this teacher: expected calibration error {scored.calibration_error():.3f}",
    )
    axis.set(
        ylabel="share of true particle pixels",
        ylim=(-0.02, 1.02),
        title="Does p mean what it says? Above the line: too timid, below: too sure",
    )
    axis.title.set_fontsize(10.5)
    axis.legend(loc="upper left")
    edges = np.arange(len(curve.pixels) + 1) / len(curve.pixels)
    bars.stairs(100 * curve.pixels / curve.pixels.sum(), edges, color=BACKGROUND, fill=True)
    bars.set(xlabel="p", ylabel="pixels, %", yscale="log", xlim=(0, 1))
    for each in (axis, bars):
        each.grid(alpha=0.3)
    return figure


def generations_figure(diagnosis: Diagnosis) -> Figure:
    """Draw what the first-order model makes of recall and of the predicted share."""
    course = diagnosis.course
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    numbers = [generation.number for generation in course.generations]
    recall = [np.nan if one.recall is None else 100 * one.recall for one in course.generations]
    known = diagnosis.histogram.known > 0
    label = "recall at 0.5" if known else "found, of what is found today"
    axis.plot(numbers, recall, "o-", color=PARTICLES, linewidth=2, label=label)
    predicted = [100 * one.predicted_share for one in course.generations]
    axis.plot(numbers, predicted, "s-", color=BACKGROUND, label="predicted as particle, of all")
    if diagnosis.prior:
        axis.axhline(100 * diagnosis.prior, color=BACKGROUND, linestyle=":", label="prior")
    axis.axhline(10, color=NEUTRAL, linestyle="--", linewidth=1, label="collapsed: recall 10 %")
    for one, height in zip(course.generations[:-1], recall, strict=False):
        if len(numbers) <= 8 and np.isfinite(height):
            text = f"drift {signed(one.step)}"
            axis.annotate(
                text, (one.number, height), (6, 6), textcoords="offset points", fontsize=8.5
            )
    last = max(numbers[-1], 1)
    axis.set(
        xlabel="teacher generation",
        ylabel="%",
        xlim=(-0.04 * last, last * 1.12),
        ylim=(-2, 108),
        title=f"Where {diagnosis.policy.name} leads by itself, to first order",
    )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend(loc="best")
    return figure
