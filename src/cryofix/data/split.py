"""Which micrographs are tested on, validated on, learnt from with labels, and without."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

import numpy as np

from cryofix.errors import CryofixError, check_ranges
from cryofix.formats.names import image_stem

FEWEST = 3
"""Micrographs with coordinates of which one can be tested on, one validated on, one learnt from."""


@dataclass(frozen=True)
class Split:
    """Names of micrographs, each in one list only."""

    test: tuple[str, ...]
    validation: tuple[str, ...]
    """Empty where blocks of the labelled micrographs validate: see :mod:`cryofix.data.blocks`."""
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Return how many micrographs each list holds, as ``results.json`` has it."""
        return {key: len(names) for key, names in asdict(self).items()}


@dataclass(frozen=True)
class Splitting:
    """How micrographs are split: by micrograph, never by tile.

    Test and validation depend on ``split_seed`` alone. The labelled micrographs are the first of
    an order drawn from ``split_seed`` and ``label_draw``, so a smaller ratio's are among a larger
    one's.

    Raises CryofixError when a number is out of range.
    """

    ratio: float
    """Labelled share, in (0, 1], of the micrographs that have coordinates and are not held out;
    at least one micrograph is labelled."""
    test: float = 0.2
    validation: float = 0.1
    """A share below 1 or a number of micrographs. A share is at least one micrograph, and none of
    fewer than FEWEST. Without test micrographs nothing is scored but validation; without whole
    micrographs for validation, it is blocks of the labelled ones."""
    split_seed: int = 0
    label_draw: int = 0
    """What the draws depend on."""
    never_scored: tuple[str, ...] = ()
    """Micrographs, with or without suffix, whose labels are too incomplete to be scored on; they
    stay in training."""
    labelled_area: float = 1.0
    labelled_windows: int = 1
    """Share, in (0, 1], of each labelled micrograph that has labels, in so many windows of one
    size, which do not overlap; drawn from ``split_seed`` and ``label_draw``. What is outside of
    them counts for neither side."""

    def __post_init__(self) -> None:
        named = map(PurePosixPath, self.never_scored)
        plain = tuple(str(each.with_name(image_stem(each.name))) for each in named)
        object.__setattr__(self, "never_scored", plain)
        check_ranges(self, split_seed=(0, 2**32 - 1), label_draw=(0, 2**32 - 1))
        if not 0 < self.ratio <= 1:
            raise CryofixError(
                f"ratio={self.ratio} is not a share of the micrographs: give a number above 0 and"
                " at most 1, for example ratio=0.05"
            )
        if not 0 < self.labelled_area <= 1:
            raise CryofixError(
                f"data.labelled_area={self.labelled_area} is not a share of a micrograph: give a"
                " number above 0 and at most 1"
            )
        check_ranges(self, "data.", labelled_windows=(1, 10_000))
        most = self.labelled_windows / _along(self.labelled_windows) ** 2
        if self.labelled_area > most:
            raise CryofixError(
                f"data.labelled_windows={self.labelled_windows} windows of together"
                f" data.labelled_area={self.labelled_area} of a micrograph do not fit beside each"
                f" other: lower data.labelled_area to {math.floor(100 * most) / 100:g} or less"
            )

    def split(self, with_labels: Sequence[str], without_labels: Sequence[str] = ()) -> Split:
        """Split the names of micrographs that have coordinates; the others are *unlabelled*.

        Raises CryofixError when too few micrographs have coordinates.
        """
        if not with_labels:
            raise CryofixError(
                "no micrograph has coordinates: 0 labelled micrographs are left; check"
                " data.coordinates"
            )
        names = sorted(with_labels)
        scorable = [name for name in names if name not in self.never_scored]
        tested, validated = (
            _count(key, getattr(self, key), len(names)) for key in ("test", "validation")
        )
        held_out = tested + validated
        if held_out > len(scorable) or held_out >= len(names):
            raise CryofixError(
                f"data.test={self.test} and data.validation={self.validation} take "
                f"{held_out} of {len(names)} micrographs with coordinates "
                f"({len(scorable)} of which may be scored) and leave none to learn "
                "from: lower these keys, which may be 0, or label more micrographs"
            )
        if not validated and not scorable:
            raise CryofixError(
                "data.never_scored names all micrographs with coordinates and leaves "
                "none to validate on: take one out of it, or label another micrograph"
            )
        order = np.random.default_rng([self.split_seed, 0]).permutation(len(scorable))
        drawn = [scorable[i] for i in order[:held_out]]
        pool = sorted(set(names) - set(drawn))
        draw = np.random.default_rng([self.split_seed, 1, self.label_draw]).permutation(len(pool))
        count = max(1, round(self.ratio * len(pool)))
        return Split(
            test=tuple(sorted(drawn[:tested])),
            validation=tuple(sorted(drawn[tested:])),
            labelled=tuple(pool[i] for i in draw[:count]),
            unlabelled=(*(pool[i] for i in draw[count:]), *sorted(without_labels)),
        )


def draw_windows(
    interior: tuple[float, float, float, float], area: float, count: int, seed: Sequence[int]
) -> list[tuple[float, float, float, float]]:
    """Return ``count`` boxes (x0, y0, x1, y1) of the interior's proportions and of one size.

    Together they have the share ``area``, in (0, 1], of the interior. Each lies at random in a cell
    of its own of a square grid; cells and places depend on ``seed``.
    """
    x0, y0, x1, y1 = interior
    along, random = _along(count), np.random.default_rng(seed)
    across, down = (x1 - x0) / along, (y1 - y0) / along
    width, height = ((high - low) * (area / count) ** 0.5 for low, high in ((x0, x1), (y0, y1)))
    places, cells = random.uniform(size=(count, 2)), random.permutation(along**2)[:count]
    windows = []
    for (x, y), (row, column) in zip(
        places.tolist(), (divmod(each, along) for each in cells.tolist()), strict=True
    ):
        left = x0 + column * across + x * (across - width)
        top = y0 + row * down + y * (down - height)
        windows.append((left, top, left + width, top + height))
    return windows


def _along(count: int) -> int:
    """Return the cells along a side of the smallest square grid with ``count`` of them."""
    return math.isqrt(count - 1) + 1


def _count(key: str, value: float, total: int) -> int:
    """Return a share or a number of micrographs as a number."""
    if not 0 <= value < math.inf or (value > 1 and value != int(value)):
        raise CryofixError(
            f"data.{key}={value} is no whole number of micrographs, and no share between 0 and 1:"
            " give one of them"
        )
    if not 0 < value < 1:
        return int(value)
    return max(1, round(value * total)) if total >= FEWEST else 0
