"""The smallest change of a mask that stops the drift, found by trying on the pixels at hand."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from cryofix.diagnosis.policies import Masked, apply_policy, build_policy, changed
from cryofix.masking import PolicyContext
from cryofix.metrics.bins import BINS, EDGES, MIDDLE
from cryofix.metrics.histogram import ProbabilityHistogram
from cryofix.metrics.rates import Rates

NO_DRIFT = 0.05  # keep rates within 5 % of each other
FEWEST_DECIMALS, MOST_DECIMALS = 3, 7
PARTICLE_SIDE, BACKGROUND_SIDE = slice(MIDDLE, BINS), slice(0, MIDDLE)


@dataclass(frozen=True)
class Change:
    """Another mask for the same teacher."""

    overrides: str
    """What to append to the training command."""
    rates: Rates
    """Its row of the keep-rate table."""
    changed: float
    """Share of all pixels that it keeps, drops or labels otherwise than the mask diagnosed."""
    follows: bool
    """Whether it stays so by itself when the teacher changes."""

    @property
    def cures(self) -> bool:
        """Whether the drift is gone."""
        drift = self.rates["drift"]
        return drift is not None and abs(drift) <= NO_DRIFT


def changes(
    masked: Masked, histogram: ProbabilityHistogram, context: PolicyContext, prior: float | None
) -> list[Change]:
    """Try other masks than ``masked``, what the one diagnosed does to the pixels.

    Those without drift come first, the smallest change first among them. ``prior`` is the share to
    compare the kept particles with.
    """
    tried: dict[str, Change] = {}
    for config, follows in chain(_moved_thresholds(masked, histogram), _adaptive(masked)):
        other = apply_policy(build_policy(config), histogram, context)
        keys = [f"mask.{key}={each:g}" for key, each in config.items() if isinstance(each, float)]
        overrides = " ".join([f"mask={config['name']}", *keys])
        difference = changed(masked, other, histogram)
        tried.setdefault(overrides, Change(overrides, other.rates(prior), difference, follows))
    return sorted(
        tried.values(), key=lambda each: (not each.cures, round(each.changed, 4), each.follows)
    )


def _moved_thresholds(
    masked: Masked, histogram: ProbabilityHistogram
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield class-aware thresholds that give one class the keep rate of the other."""
    rates = masked.rates(None)
    particle, background = rates["particle_keep"], rates["background_keep"]
    if not particle and not background:
        return
    if background:
        low = masked.background_threshold
        if low is None or not 0 < low <= 0.5:
            low = _rounded(histogram.quantile(background, among=BACKGROUND_SIDE))
        for value in _quantile(histogram, 1 - background, PARTICLE_SIDE):
            if 0 < low <= 0.5 <= value < 1:
                yield _class_aware(value, low), False
    if particle:
        high = masked.particle_threshold
        if high is None or not 0.5 <= high < 1:
            high = _rounded(histogram.quantile(1 - particle, among=PARTICLE_SIDE))
        for value in _quantile(histogram, particle, BACKGROUND_SIDE):
            if 0 < value <= 0.5 <= high < 1:
                yield _class_aware(high, value), False


def _quantile(histogram: ProbabilityHistogram, share: float, side: slice) -> Iterator[float]:
    """Yield roundings of a quantile of one predicted class, with as few decimals as will do."""
    exact = histogram.quantile(min(max(share, 0.0), 1.0), among=side)
    for decimals in range(FEWEST_DECIMALS, MOST_DECIMALS + 1):
        yield _rounded(exact, decimals)
        yield _rounded(exact, decimals, up=True)
        if not _steep(histogram, exact, 10.0**-decimals):
            break


def _steep(histogram: ProbabilityHistogram, value: float, step: float) -> bool:
    """Whether rounding to ``step`` moves more than a twentieth of the pixels of the class."""
    side = PARTICLE_SIDE if value >= 0.5 else BACKGROUND_SIDE
    counts = histogram.total[side]
    edges = EDGES[side.start : side.stop + 1]
    near = (edges[1:] > value - step) & (edges[:-1] < value + step)
    return bool(counts[near].sum() > NO_DRIFT * counts.sum())


def _rounded(value: float, decimals: int = FEWEST_DECIMALS, *, up: bool = False) -> float:
    scaled = value * 10**decimals
    whole = math.ceil(scaled) if up else math.floor(scaled)
    return float(f"{whole}e-{decimals}")  # the nearest float to that decimal, to paste


def _class_aware(particle: float, background: float) -> dict[str, Any]:
    return {
        "_target_": "cryofix.masking.ClassAware",
        "name": "class_aware",
        "particle_threshold": round(particle, 9),
        "background_threshold": round(background, 9),
    }


def _adaptive(masked: Masked) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield masks that set their thresholds by themselves."""
    low = masked.background_threshold
    threshold = round(1 - low, 9) if low is not None and 0 < low <= 0.5 else 0.7
    for name, target, keywords in (
        ("adsh", "Adsh", {"threshold": threshold}),
        ("quota", "Quota", {}),
        ("none", "NoMask", {}),
    ):
        yield {"_target_": f"cryofix.masking.{target}", "name": name, **keywords}, name != "none"
