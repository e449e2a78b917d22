"""The prior: which share of the pixels is particle, and how well the labels tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryofix.data.datamodule import CryoDataModule
from cryofix.errors import CryofixError
from cryofix.metrics.jackknife import Bounds, interval, mean

ONE = (
    "regions of the only labelled micrograph: how micrographs differ is not in it, so it is too"
    " narrow"
)


@dataclass(frozen=True)
class Prior:
    """Share of particle pixels among the valid ones."""

    labelled: float
    """Mean over the labelled micrographs, in (0, 1)."""
    ci95: Bounds
    """95 % interval of that; None over fewer than three."""
    resampled: str
    """What the interval is over."""
    validation: float
    """Mean over the validation micrographs; 0 where they hold no particle. Only the guard looks at
    it: it has to know whether the model or the prior is wrong, while policies and losses see
    labelled micrographs alone."""
    given: float | None = None
    """What the user knows better; None takes the labels'."""

    def __post_init__(self) -> None:
        if self.given is not None and not 0 < self.given < 1:
            raise CryofixError(
                f"prior.value={self.given} must lie between 0 and 1: it is the share of particle"
                " pixels; null estimates it from the labels"
            )

    @property
    def value(self) -> float:
        """What policies and regularisers aim at."""
        return self.labelled if self.given is None else self.given

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest of what policies aim at and what validation says."""
        said = [share for share in (self.value, self.validation) if share > 0]
        return min(said), max(said)

    def as_dict(self) -> dict[str, Any]:
        """Return plain containers for ``results.json`` and ``status.json``."""
        return {
            "value": self.value,
            "source": "labels" if self.given is None else "given",
            "labels": {"value": self.labelled, "ci95": self.ci95, "resampled": self.resampled},
            "validation": self.validation,
        }

    def describe(self) -> str:
        """Return one sentence for the log."""
        over = f" ({self.resampled}, too few for an interval)"
        if self.ci95 is not None:
            over = " [{:.2f}, {:.2f}]".format(*(100 * end for end in self.ci95))
            over += f", over {self.resampled}"
        given = "" if self.given is None else f"{100 * self.given:.2f} % as given; "
        validation = f"validation says {100 * self.validation:.2f} %"
        return f"prior: {given}labels say {100 * self.labelled:.2f} %{over}; {validation}."


def estimate_prior(data: CryoDataModule, given: float | None = None) -> Prior:
    """Estimate the prior from the labelled micrographs, with a 95 % interval over them.

    With a single one, it is over its regions of a tile's size instead.

    Raises CryofixError when there is no particle in them, and when ``given`` is no share.
    """
    shares = data.prior_per_micrograph()
    validation = _mean(data.prior_per_micrograph("validation"))
    labelled = _mean(shares)
    if not 0 < labelled < 1:
        raise CryofixError(
            f"the labelled micrographs ({', '.join(data.split.labelled)}) hold no"
            " particle inside the scored area: raise ratio or change label_draw"
        )
    if len(shares) > 1:
        ci95 = interval([(share, 1.0) for share in shares], mean).bounds
        return Prior(labelled, ci95, f"{len(shares)} labelled micrographs", validation, given)
    only = data.part("labelled")[0]
    counts = region_counts(*data.maps(only), data.tiling.tile_px)
    return Prior(labelled, interval(counts, mean).bounds, f"{len(counts)} {ONE}", validation, given)


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
