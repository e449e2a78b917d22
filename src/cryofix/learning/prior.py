"""The prior: which share of the pixels is particle, and how well the labels tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryofix.data.datamodule import CryoDataModule
from cryofix.errors import CryofixError
from cryofix.metrics.bins import CENTRES
from cryofix.metrics.histogram import ProbabilityHistogram
from cryofix.metrics.jackknife import Bounds, interval, mean
from cryofix.reporting.numbers import percent

FURTHEST = 4.0
"""An estimate by EM further off than this factor tells of the calibration, not of particles."""
ONE = (
    "regions of the only labelled micrograph; the interval is too narrow, because it "
    "leaves out differences between micrographs"
)


@dataclass(frozen=True)
class Prior:
    """Share of particle pixels among the valid ones."""

    labelled: float | None
    """Mean over the labelled micrographs, in (0, 1); None with partial labels, which do not say."""
    ci95: Bounds
    """95 % interval of that; None over fewer than three."""
    resampled: str
    """What the interval is over."""
    validation: float | None
    """Mean over the validation micrographs; 0 where they hold no particle, None where their labels
    are partial. Only the guard looks at it: it has to know whether the model or the prior is wrong,
    while policies and losses see labelled micrographs alone."""
    given: float | None = None
    """What the user knows better; None takes the count's, or else the labels'."""
    counted: float | None = None
    """What ``data.particles_per_micrograph`` makes of it; None where that is not said."""
    unlabelled: float | None = None
    """What the model at the fork makes of the unlabelled micrographs; see :func:`label_shift`."""
    estimate: str = "labels"
    """``em`` takes that for the stage with pseudo-labels."""

    def __post_init__(self) -> None:
        if self.given is not None and not 0 < self.given < 1:
            raise CryofixError(
                f"prior.value={self.given} must lie between 0 and 1: it is the share of particle"
                " pixels; null estimates it from the labels"
            )

    @property
    def value(self) -> float:
        """What policies and regularisers aim at."""
        said = [self.given, self.unlabelled if self.source == "em" else None]
        said += [self.counted, self.labelled]
        return next(share for share in said if share is not None)

    @property
    def of_labels(self) -> float:
        """What the loss of partial labels aims at in all stages.

        So control and FixMatch differ in the pseudo-labels alone.
        """
        return replace(self, unlabelled=None).value

    @property
    def believed(self) -> bool:
        """Whether the unlabelled side says something that a calibrated model could."""
        start = self.labelled if self.counted is None else self.counted
        if self.unlabelled is None or start is None:
            return self.unlabelled is not None
        return start / FURTHEST <= self.unlabelled <= FURTHEST * start

    @property
    def source(self) -> str:
        """Where that is from: ``given``, ``em``, ``count`` or ``labels``."""
        if self.given is not None:
            return "given"
        if self.estimate == "em" and self.believed:
            return "em"
        return "labels" if self.counted is None else "count"

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest of what policies aim at and what validation says."""
        said = [share for share in (self.value, self.validation) if share]
        return min(said), max(said)

    def as_dict(self) -> dict[str, Any]:
        """Return plain containers for ``results.json`` and ``status.json``."""
        return {
            "value": self.value,
            "source": self.source,
            "count": self.counted,
            "unlabelled": self.unlabelled,
            "labels": {"value": self.labelled, "ci95": self.ci95, "resampled": self.resampled},
            "validation": self.validation,
        }

    def describe(self) -> str:
        """Return one sentence for the log."""
        said = [] if self.given is None else [f"{percent(self.given, 2)} as given"]
        if self.counted is not None:
            said.append(f"data.particles_per_micrograph says {percent(self.counted, 2)}")
        if self.labelled is None:
            said.append("partial labels do not say")
        else:
            over = f" ({self.resampled}, too few for an interval)"
            if self.ci95 is not None:
                low, high = self.ci95
                over = f" [{100 * low:.2f}, {100 * high:.2f}], over {self.resampled}"
            said.append(f"labels say {percent(self.labelled, 2)}{over}")
        if self.validation is not None:
            said.append(f"validation says {percent(self.validation, 2)}")
        return f"prior (share of particle pixels): {'; '.join(said)}."


def label_shift(histogram: ProbabilityHistogram, trained_at: float) -> float | None:
    """Return the share of particle pixels among others than the training's: EM on p.

    Saerens et al. 2002: each pixel's p is corrected for the share that it was ``trained_at``, in
    (0, 1), and the new share is the mean of that, until it rests. It is as good as the model is
    calibrated. None without pixels.
    """
    counts, share = histogram.total, trained_at
    if not counts.sum():
        return None
    for _ in range(1000):
        particle = share / trained_at * CENTRES
        background = (1 - share) / (1 - trained_at) * (1 - CENTRES)
        before, share = share, float(counts @ (particle / (particle + background)) / counts.sum())
        if abs(share - before) < 1e-9:
            break
    return share


def estimate_prior(
    data: CryoDataModule, given: float | None = None, estimate: str = "labels"
) -> Prior:
    """Estimate the prior from the labelled micrographs, with a 95 % interval over them.

    With a single one, it is over its regions of a tile's size instead. Of partial labels the count
    or ``given`` has to say it.

    Raises CryofixError when there is no particle in them, when ``given`` is no share, and when
    nothing says how many particles partial labels leave out.
    """
    complete = not data.scored_partially
    validation = _mean(data.prior_per_micrograph("validation")) if complete else None
    counted = _by_count(data)
    if data.labelling.partial:
        if given is None and counted is None:
            raise CryofixError(
                "partial labels do not tell how many particles there are: give "
                "data.particles_per_micrograph, a rough number of particles that a "
                "micrograph holds, or prior.value"
            )
        _check_clicks(data)
        return Prior(None, None, "", validation, given, counted, estimate=estimate)
    shares = data.prior_per_micrograph()
    labelled = _mean(shares)
    if not 0 < labelled < 1:
        held = "no particle" if data.has_particles else "one class alone"
        raise CryofixError(
            f"the labelled micrographs ({', '.join(data.split.labelled)}) hold {held} inside the"
            " scored area: raise ratio or change label_draw"
            + ("" if data.has_particles else ", or check data.mask_value")
        )
    if len(shares) > 1:
        ci95 = interval([(share, 1.0) for share in shares], mean).bounds
        windows = "windows of " if len(shares) > len(data.split.labelled) else ""
        over = f"{len(shares)} {windows}labelled micrographs"
        return Prior(labelled, ci95, over, validation, given, counted, estimate=estimate)
    only = data.part("labelled")[0]
    counts = region_counts(*data.maps(only), data.tiling.tile_px)
    ci95 = interval(counts, mean).bounds
    over = f"{len(counts)} {ONE}"
    return Prior(labelled, ci95, over, validation, given, counted, estimate=estimate)


def _check_clicks(data: CryoDataModule) -> None:
    """Refuse partial labels without a click to learn from or, where they are partial, to score."""
    for part in ("labelled", "validation"):
        micrographs = data.part(part)
        held = sum(int(target[valid].any()) for target, valid in map(data.maps, micrographs))
        if not held and any(one.partial for one in micrographs):
            names = ", ".join(one.micrograph.name for one in micrographs)
            remedy = "change label_draw" if part == "labelled" else "set data.validation=0"
            raise CryofixError(
                f"the {part} micrographs ({names}) hold no labelled particle inside the "
                "scored area, which excludes data.border_px: label particles there, or "
                f"{remedy}"
            )


def _by_count(data: CryoDataModule) -> float | None:
    """Return the share of the area that the discs of the expected number of particles cover."""
    expected = data.labelling.particles_per_micrograph
    if expected is None:
        return None
    micrographs, windows = len(data.split.labelled), data.splitting.labelled_windows
    labelled = data.to_count_in(micrographs * windows, "labelled")
    clicked = sum(len(one.particles or ()) for one in labelled) / micrographs
    if expected < clicked:
        raise CryofixError(
            f"data.particles_per_micrograph={expected:g} is less than the {clicked:g} particles"
            " that a labelled micrograph holds on average: give the number of all particles that"
            " there are, labelled or not"
        )
    corners = np.array([one.interior for one in data.dataset.annotated.values()])
    area = float(np.mean((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])))
    share = expected * math.pi * data.radius_px**2 / area
    if share >= 1:
        diameter = data.dataset.of_particles.diameter_px
        raise CryofixError(
            f"data.particles_per_micrograph={expected:g} particles of {diameter:g}"
            " pixels do not fit into a micrograph: lower it, or check the diameter"
        )
    return share


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / max(1, len(shares))


def region_counts(
    target: NDArray[np.bool_], valid: NDArray[np.bool_], side: int
) -> Sequence[tuple[int, int]]:
    """Return (particle, valid) pixels of each square region of maps that has valid ones.

    Regions at the right and the bottom may be smaller.
    """

    def counts(mask: NDArray[np.bool_]) -> list[int]:
        rows, columns = (range(0, length, side) for length in mask.shape)
        by_row = np.add.reduceat(mask.astype(np.int64), rows, axis=0)
        return np.add.reduceat(by_row, columns, axis=1).ravel().tolist()

    return [pair for pair in zip(counts(target & valid), counts(valid), strict=True) if pair[1]]
