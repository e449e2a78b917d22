"""Pictures of a diagnosis, drawn without a display."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cryofix.diagnosis.bins import BINS, EDGES, MIDDLE, FloatArray, IntArray
from cryofix.diagnosis.observation import SHOWN_SIDE, Example
from cryofix.diagnosis.report import Diagnosis
from cryofix.diagnosis.verdict import percent, signed
from cryofix.files import atomic_write
from cryofix.scoring.rates import PARTICLE, UNKNOWN

PARTICLES, BACKGROUND, WRONG, NEUTRAL = "#e4572e", "#4c78a8", "#f2c200", "#555555"


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
    fine = diagnosis.histogram.confidences().table(list(thresholds))
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


def probabilities_figure(diagnosis: Diagnosis) -> Figure:
    """Draw the histogram of p over log-odds, by predicted and by true class, with the cuts."""
    known = diagnosis.histogram.known > 0
    figure = Figure(figsize=(8, 7.4 if known else 4.2), layout="constrained")
    axes = figure.subplots(2 if known else 1, 1, squeeze=False, sharex=True)[:, 0]
    counts = diagnosis.histogram.counts
    total = counts.sum(axis=0)
    below = np.arange(BINS) < MIDDLE
    _fill(axes[0], total * below, BACKGROUND, "predicted background", total.sum())
    _fill(axes[0], total * ~below, PARTICLES, "predicted particle", total.sum())
    axes[0].set_title("Histogram of p, by predicted class")
    if known:
        labelled = counts[:UNKNOWN].sum()
        _fill(axes[1], counts[0], BACKGROUND, "true background", labelled)
        _fill(axes[1], counts[PARTICLE], PARTICLES, "true particle", labelled)
        axes[1].set_title("by true class")
    masked = diagnosis.masked
    for axis in axes:
        axis.set_yscale("log")
        axis.set_ylabel("pixels, %")
        for cut, colour, side in (
            (masked.background_threshold, BACKGROUND, "background kept below"),
            (masked.particle_threshold, PARTICLES, "particles kept above"),
        ):
            if cut is not None and 0 < cut < 1:
                label = f"{side} {cut:.3g}"
                axis.axvline(_logit(cut), color=colour, linestyle="--", linewidth=1.6, label=label)
        axis.axvline(0, color=NEUTRAL, linewidth=0.8)
        axis.grid(alpha=0.25)
        axis.legend(loc="upper right", fontsize=8.5, framealpha=0.95)
    _log_odds_axis(axes[-1], total)
    return figure


def _log_odds_axis(axis: Axes, total: IntArray) -> None:
    """Name places of p on an axis of log-odds that holds all but the last 0.01 % of pixels."""
    cumulative = np.cumsum(total) / max(int(total.sum()), 1)
    low, high = (float(EDGES[np.searchsorted(cumulative, share)]) for share in (1e-4, 1 - 1e-4))
    left, right = (_logit(float(np.clip(p, 1e-10, 1 - 1e-7))) for p in (low, high))
    left, right = min(left, -3.0) - 0.5, max(right, 3.0) + 0.5
    axis.set_xlim(left, right)
    shown: list[float] = []
    # The middle and the round numbers first; others where they do not touch them.
    for tick in (0.5, 0.1, 0.9, 0.01, 0.99, 0.001, 0.999, 1e-4, 0.9999, 1e-6, 1e-8, 0.2, 0.8):
        place = _logit(tick)
        if left <= place <= right and all(
            abs(place - _logit(other)) > 0.055 * (right - left) for other in shown
        ):
            shown.append(tick)
    axis.set_xticks([_logit(tick) for tick in shown], [f"{tick:g}" for tick in shown])
    axis.set_xlabel("p, on a scale of log-odds")


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))


def _fill(axis: Axes, counts: IntArray, colour: str, label: str, total: int) -> None:
    """Draw percents of pixels in even steps of log-odds."""
    with np.errstate(divide="ignore"):
        logits = np.log(EDGES) - np.log1p(-EDGES)
    steps = np.arange(-28, 17.01, 0.25)
    cumulative = np.concatenate([[0], np.cumsum(counts)]).astype(np.float64)
    inside = np.interp(steps, np.clip(logits, -28, 17), cumulative)
    heights = 100 * np.diff(inside) / max(total, 1)
    heights[heights < 1e-7] = np.nan  # log scale: nothing is nowhere
    axis.stairs(np.nan_to_num(heights, nan=0.0), steps, color=colour, fill=True, alpha=0.3)
    axis.stairs(heights, steps, color=colour, linewidth=1.4, label=label)


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
    low, high = (-3.0, 3.0) if is_micrograph else (0.0, 1.0)
    level = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1)
    return np.repeat(level[..., None], 3, axis=2)
