"""The histogram of p, with the cuts of the mask drawn in."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import logit

from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.metrics.bins import BINS, EDGES, MIDDLE, IntArray
from cryofix.metrics.rates import PARTICLE, UNKNOWN
from cryofix.reporting.plots import BACKGROUND, NEUTRAL, PARTICLES, panels


def probabilities_figure(diagnosis: Diagnosis) -> Figure:
    """Draw the histogram of p over log-odds, by predicted and by true class, with the cuts."""
    known = diagnosis.histogram.known > 0
    figure, axes = panels(8, 7.4 if known else 4.2, rows=2 if known else 1, sharex=True)
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
                axis.axvline(logit(cut), color=colour, linestyle="--", linewidth=1.6, label=label)
        axis.axvline(0, color=NEUTRAL, linewidth=0.8)
        axis.grid(alpha=0.25)
        axis.legend(loc="upper right", fontsize=8.5, framealpha=0.95)
    _log_odds_axis(axes[-1], total)
    return figure


def _log_odds_axis(axis: Axes, total: IntArray) -> None:
    """Name places of p on an axis of log-odds that leaves out the lowest 0.1 % of pixels."""
    cumulative = np.cumsum(total) / max(int(total.sum()), 1)
    low, high = (float(EDGES[np.searchsorted(cumulative, share)]) for share in (1e-3, 1 - 1e-6))
    left, right = logit(np.clip([low, high], 1e-10, 1 - 1e-7)).tolist()
    left, right = min(left, -3.0) - 0.5, max(right, 3.0) + 0.5
    axis.set_xlim(left, right)
    shown: dict[float, str] = {}
    # The middle and the round numbers first; others where they do not touch them.
    for tick in (0.5, 0.1, 0.9, 0.01, 0.99, 0.001, 0.999, 1e-4, 0.9999, 1e-6, 1e-8, 0.2, 0.8):
        place, gap = float(logit(tick)), 0.055 * (right - left)
        if left <= place <= right and all(abs(place - other) > gap for other in shown):
            shown[place] = f"{tick:g}"
    axis.set_xticks(list(shown), list(shown.values()))
    axis.set_xlabel("p, on a scale of log-odds")


def _fill(axis: Axes, counts: IntArray, colour: str, label: str, total: int) -> None:
    """Draw percents of pixels in even steps of log-odds."""
    steps = np.arange(-28, 17.01, 0.25)
    cumulative = np.concatenate([[0], np.cumsum(counts)]).astype(np.float64)
    inside = np.interp(steps, np.clip(logit(EDGES), -28, 17), cumulative)
    heights = 100 * np.diff(inside) / max(total, 1)
    heights[heights < 1e-7] = np.nan  # log scale: nothing is nowhere
    axis.stairs(np.nan_to_num(heights, nan=0.0), steps, color=colour, fill=True, alpha=0.3)
    axis.stairs(heights, steps, color=colour, linewidth=1.4, label=label)
