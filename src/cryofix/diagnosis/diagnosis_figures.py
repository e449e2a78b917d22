"""Pictures of a diagnosis, drawn without a display."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.diagnosis.distribution_figure import probabilities_figure
from cryofix.diagnosis.map_figure import map_figure
from cryofix.diagnosis.verdict import drift_text
from cryofix.reporting.plots import (
    BACKGROUND,
    NEUTRAL,
    PARTICLES,
    draw_keep_rates,
    finish,
    panels,
    save,
)


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
        save(figure, folder / name)
    return [folder / name for name in figures]


def keep_rates_figure(diagnosis: Diagnosis) -> Figure:
    """Draw the keep rate of both predicted classes over the threshold, and their drift."""
    figure, (axis,) = panels(8, 4.8)
    fine = diagnosis.histogram.table(list(np.arange(500, 1000) / 1000))
    draw_keep_rates(axis, fine, diagnosis.rows[1:], every=50)
    cuts = diagnosis.masked.particle_threshold, diagnosis.masked.background_threshold
    rates = diagnosis.rates
    hollow = {"marker": "D", "markerfacecolor": "none", "linestyle": "none"}
    for key, colour, cut in (
        ("particle_keep", PARTICLES, cuts[0]),
        ("background_keep", BACKGROUND, None if cuts[1] is None else 1 - cuts[1]),
    ):
        if cut is not None and rates[key] is not None and 0.5 <= cut <= 1:
            height = 100 * (rates[key] or 0.0)
            axis.plot(cut, height, **hollow, ms=11, markeredgecolor=colour, markeredgewidth=2)
    mine = f"this mask, {diagnosis.policy.name}: drift {drift_text(rates['drift'])}"
    axis.plot([], [], **hollow, ms=9, markeredgecolor=NEUTRAL, label=mine)
    title = "What a threshold keeps of each predicted class; numbers: drift"
    finish(axis, "lower left", xlim=(0.49, 1.0), title=title)
    return figure


def calibration_figure(diagnosis: Diagnosis) -> Figure:
    """Draw the share of true particles over p, and how many pixels say so."""
    scored = diagnosis.histogram.scored()
    curve = scored.reliability()
    figure, (axis, bars) = panels(6, 6.4, rows=2, height_ratios=[3.4, 1], sharex=True)
    filled = curve.pixels > 0
    axis.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", label="calibrated")
    label = f"this teacher: expected calibration error {scored.calibration_error():.3f}"
    means, shares = curve.mean_probability[filled], curve.particle_share[filled]
    axis.plot(means, shares, "o-", color=PARTICLES, label=label)
    title = "Does p mean what it says? Above the line: too timid, below: too sure"
    axis.set_title(title, size=10.5)
    finish(axis, "upper left", ylabel="share of true particle pixels", ylim=(-0.02, 1.02))
    edges = np.arange(len(curve.pixels) + 1) / len(curve.pixels)
    bars.stairs(100 * curve.pixels / curve.pixels.sum(), edges, color=BACKGROUND, fill=True)
    finish(bars, xlabel="p", ylabel="pixels, %", yscale="log", xlim=(0, 1))
    return figure


def generations_figure(diagnosis: Diagnosis) -> Figure:
    """Draw what the first-order model makes of recall and of the predicted share."""
    course = diagnosis.course
    figure, (axis,) = panels(7, 4.2)
    numbers = [generation.number for generation in course.generations]
    recall = [np.nan if one.recall is None else 100 * one.recall for one in course.generations]
    known = diagnosis.histogram.known > 0
    label = "recall at 0.5" if known else "found, of what is found at the start"
    axis.plot(numbers, recall, "o-", color=PARTICLES, linewidth=2, label=label)
    predicted = [100 * one.predicted_share for one in course.generations]
    axis.plot(numbers, predicted, "s-", color=BACKGROUND, label="predicted as particle, of all")
    if diagnosis.prior:
        axis.axhline(100 * diagnosis.prior, color=BACKGROUND, linestyle=":", label="prior")
    axis.axhline(10, color=NEUTRAL, linestyle="--", linewidth=1, label="collapsed: recall 10 %")
    beside: dict[str, Any] = {"xytext": (6, 6), "textcoords": "offset points", "fontsize": 8.5}
    for one, height in zip(course.generations[:-1], recall, strict=False):
        if len(numbers) <= 8 and np.isfinite(height):
            axis.annotate(f"drift {drift_text(one.step)}", (one.number, height), **beside)
    last = max(numbers[-1], 1)
    title = f"Where {diagnosis.policy.name} leads by itself, to first order"
    limits = {"xlim": (-0.04 * last, last * 1.12), "ylim": (-2, 108)}
    finish(axis, "best", xlabel="teacher generation", ylabel="%", title=title, **limits)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
