"""Which micrographs are tested on, validated on, learnt from with labels, and without."""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cryofix.errors import CryofixError


@dataclass(frozen=True)
class Split:
    """Names of micrographs, each in one list only."""

    test: tuple[str, ...]
    validation: tuple[str, ...]
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Return how many micrographs each list holds, as ``results.json`` has it."""
        return {key: len(names) for key, names in asdict(self).items()}


def split_micrographs(
    with_labels: Sequence[str],
    without_labels: Sequence[str] = (),
    *,
    ratio: float,
    test: float,
    validation: float,
    split_seed: int,
    label_draw: int = 0,
    never_scored: Collection[str] = (),
) -> Split:
    """Split by micrograph, never by tile.

    Test and validation depend on ``split_seed`` alone. The labelled micrographs are the first of
    an order drawn from ``split_seed`` and ``label_draw``, so a smaller ratio's are among a larger
    one's.

    Raises CryofixError when the ratio is out of range or too few micrographs have coordinates.

    Parameters
    ----------
    with_labels
        Names of the micrographs that have coordinates.
    without_labels
        Names of those that have none: *unlabelled*, not empty.
    ratio
        Labelled share, in (0, 1], of the micrographs that have coordinates and are not held out;
        at least one micrograph is labelled.
    test, validation
        A share below 1, or a number of micrographs.
    split_seed, label_draw
        What the draw depends on.
    never_scored
        Micrographs whose labels are too incomplete to be scored on; they stay in training.
    """
    if not 0 < ratio <= 1:
        raise CryofixError(
            f"ratio={ratio} is not a share of the micrographs: give a number above 0 and at most 1,"
            " for example ratio=0.05"
        )
    if not with_labels:
        raise CryofixError(
            "no micrograph has coordinates: 0 labelled micrographs are left; check data.coordinates"
        )
    names = sorted(with_labels)
    scorable = [name for name in names if name not in never_scored]
    held_out = {
        key: _count(key, value, len(names))
        for key, value in (("test", test), ("validation", validation))
    }
    if sum(held_out.values()) > len(scorable) or sum(held_out.values()) >= len(names):
        raise CryofixError(
            f"data.test={test} and data.validation={validation} take {sum(held_out.values())} of"
            f" {len(names)} micrographs with coordinates ({len(scorable)} of which may be scored),"
            " so that none is left to learn from; lower them or label more micrographs"
        )
    order = [scorable[i] for i in np.random.default_rng([split_seed, 0]).permutation(len(scorable))]
    tested = order[: held_out["test"]]
    validated = order[held_out["test"] : sum(held_out.values())]
    pool = sorted(set(names) - set(tested) - set(validated))
    draw = np.random.default_rng([split_seed, 1, label_draw]).permutation(len(pool))
    count = max(1, round(ratio * len(pool)))
    return Split(
        test=tuple(sorted(tested)),
        validation=tuple(sorted(validated)),
        labelled=tuple(pool[i] for i in draw[:count]),
        unlabelled=(*(pool[i] for i in draw[count:]), *sorted(without_labels)),
    )


def draw_window(
    interior: tuple[float, float, float, float], area: float, seed: Sequence[int]
) -> tuple[float, float, float, float]:
    """Return a randomly placed box (x0, y0, x1, y1) of the interior's proportions.

    Parameters
    ----------
    interior
        (x0, y0, x1, y1) to stay in.
    area
        Share of the interior's area, in (0, 1].
    seed
        What the place depends on.
    """
    x0, y0, x1, y1 = interior
    width, height = ((high - low) * area**0.5 for low, high in ((x0, x1), (y0, y1)))
    across, down = np.random.default_rng(seed).uniform(size=2)
    left, top = x0 + across * (x1 - x0 - width), y0 + down * (y1 - y0 - height)
    return left, top, left + width, top + height


def _count(key: str, value: float, total: int) -> int:
    """Return a share or a number of micrographs as a number, at least 1."""
    if value == 0:
        raise CryofixError(
            f"data.{key}=0 would leave no micrograph for {key}: give a number of micrographs, or"
            " a share between 0 and 1"
        )
    if not 0 < value < math.inf or (value > 1 and value != int(value)):
        raise CryofixError(
            f"data.{key}={value} is no whole number of micrographs above 0, and no share between 0"
            " and 1: give one of them"
        )
    return max(1, round(value * total)) if value < 1 else int(value)
