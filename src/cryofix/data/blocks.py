"""Square parts of labelled micrographs, kept from training for validation.

They are for the few labels of a lab that has no micrograph to spare. Blocks of one micrograph share
its ice and defocus with what is taught, so that scores on them flatter.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cryofix.data.tiles import Annotated
from cryofix.errors import CryofixError
from cryofix.formats import Particles
from cryofix.metrics.area import Box, within_boxes

BLOCK_TILES = 2
"""Side of a block in tiles, about."""
SHARE = 0.25
"""Of the blocks of a micrograph that validate."""
_DRAWS = 100  # until particles are spread over both sides


@dataclass(frozen=True)
class Blocks:
    """The blocks of one labelled micrograph, in its own (small) pixels."""

    held_out: tuple[Box, ...]
    """Are validated on."""
    rest: tuple[Box, ...]
    """Are taught."""
    scored_labels: int
    known_labels: int
    """Labels in what is held out, and in all of the micrograph."""
    unit: str
    """What a label is, in words: a particle, or a pixel of a mask's class."""

    def taught(self, annotated: Annotated, radius_px: float) -> Annotated:
        """Return the micrograph for training.

        Pixels nearer than ``radius_px``, a particle's, to a block that is held out are not known.
        """
        return annotated.without(self.held_out, radius_px)

    def scored(self, annotated: Annotated) -> Annotated:
        """Return the micrograph for validation."""
        return annotated.without(self.rest)

    def boxes_px(self, annotated: Annotated) -> list[list[float]]:
        """Return (x0, y0, x1, y1) of what is held out, in pixels of the micrograph's file.

        The pixels at x1 and y1 are the first beyond.
        """
        low, high = np.split(np.array(annotated.interior), 2)
        corners = (np.array(self.held_out).reshape(-1, 2, 2) + 0.5).clip(low, high + 1)
        in_file: np.ndarray = corners / annotated.micrograph.scale_xy
        return in_file.round(1).reshape(-1, 4).tolist()


def blocks_of(micrographs: Sequence[Annotated], tile_px: int, split_seed: int) -> dict[str, Blocks]:
    """Draw the blocks of labelled micrographs, by name.

    Raises CryofixError when the labels are too few to be taught and validated on.
    """
    if not micrographs:
        raise CryofixError(
            "no labelled micrograph may be scored (data.never_scored), and validation needs one:"
            " change label_draw, raise ratio, or give data.validation=1 or more"
        )
    found = {
        one.micrograph.name: draw_blocks(
            one, tile_px, [split_seed, 4, *one.micrograph.name.encode()]
        )
        for one in micrographs
    }
    scored, known, unit = _labels(found)
    if not 0 < scored < known:
        raise CryofixError(
            f"the {unit} of {', '.join(found)} ({known}) are too few, or too close "
            "together, to be shared between training and validation: label more of "
            "them, or another micrograph; those in data.border_px do not count"
        )
    return found


def describe(blocks: Mapping[str, Blocks]) -> list[str]:
    """Return a line for the log, or none where whole micrographs are validated on."""
    if not blocks:
        return []
    held_out = sum(len(each.held_out) for each in blocks.values())
    total = held_out + sum(len(each.rest) for each in blocks.values())
    scored, known, unit = _labels(blocks)
    where = next(iter(blocks)) if len(blocks) == 1 else f"{len(blocks)} labelled micrographs"
    return [
        f"validation: {held_out} of {total} blocks of {where}, with {scored} of {known} {unit},"
        " which are not taught. Scores on them are optimistic, because they lie in images that are"
        " taught."
    ]


def _labels(blocks: Mapping[str, Blocks]) -> tuple[int, int, str]:
    """Return how many labels are held out, how many there are, and what they are."""
    scored = sum(each.scored_labels for each in blocks.values())
    known = sum(each.known_labels for each in blocks.values())
    return scored, known, next((each.unit for each in blocks.values()), "labels")


def draw_blocks(annotated: Annotated, tile_px: int, seed: Sequence[int]) -> Blocks:
    """Lay a grid over what is labelled of a micrograph, and draw the blocks that are held out.

    There are at least four blocks, and at least one is held out. The outer blocks have no outer
    edge. The first draw with about SHARE of the labels is taken; if none has, the nearest to that
    with labels on both sides.
    """
    x0, y0, x1, y1 = annotated.interior
    across, down = _lines(x0, x1, tile_px), _lines(y0, y1, tile_px)
    grid = [
        (left, top, right, bottom)
        for top, bottom in pairwise(down)
        for left, right in pairwise(across)
    ]
    count = max(1, round(SHARE * len(grid)))
    if annotated.mask is None:
        known, unit = annotated.particles or Particles.empty(), "labelled particles"
        x, y = known.x, known.y
    else:
        y, x = np.argwhere(annotated.mask.read() > 0).T.astype(np.float64)
        unit = "pixels of the class"
    counted = annotated.area.holds(x, y)
    x, y, random = x[counted], y[counted], np.random.default_rng(seed)

    def drawn() -> Blocks:
        order = random.permutation(len(grid))
        held_out, rest = (
            tuple(grid[i] for i in sorted(part)) for part in (order[:count], order[count:])
        )
        return Blocks(held_out, rest, int(within_boxes(held_out, x, y).sum()), len(x), unit)

    def unevenness(blocks: Blocks) -> tuple[bool, float]:
        share = blocks.scored_labels / max(1, blocks.known_labels)
        return not 0 < share < 1, abs(share - SHARE)

    draws: list[Blocks] = []
    while len(draws) < _DRAWS:
        draws.append(drawn())
        if unevenness(draws[-1]) <= (False, SHARE / 2):
            return draws[-1]
    return min(draws, key=unevenness)


def _lines(first: float, last: float, tile_px: int) -> list[float]:
    """Return where the grid's lines cross an axis, halfway between two pixels."""
    low, high = math.ceil(first), math.floor(last) + 1
    parts = max(2, round((high - low) / (BLOCK_TILES * tile_px)))
    inner = np.linspace(low, high, parts + 1).round()[1:-1] - 0.5
    return [-math.inf, *inner.tolist(), math.inf]
