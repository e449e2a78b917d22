"""The micrographs of each part of a split, with what is known of them there."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cryofix.data.blocks import Blocks, blocks_of
from cryofix.data.labelling import Labelling
from cryofix.data.sources import Dataset
from cryofix.data.split import Split, Splitting, draw_windows
from cryofix.data.tiles import Annotated
from cryofix.errors import CryofixError
from cryofix.formats.label_fit import evenly


@dataclass(frozen=True)
class Parts:
    """A data set, split."""

    dataset: Dataset
    split: Split
    drawn: Splitting
    """By which it was split."""
    labelling: Labelling
    tile_px: int
    """Side of a tile, in network pixels."""

    def part(self, name: str) -> list[Annotated]:
        """Return the micrographs of ``test``, ``validation``, ``labelled`` or ``unlabelled``."""
        if name == "labelled":
            return [self._taught(one) for one in self._labelled]
        if name == "validation" and self.blocks:
            found = ((self.blocks.get(one.micrograph.name), one) for one in self._labelled)
            return [blocks.scored(one) for blocks, one in found if blocks is not None]
        return self._whole(name)

    def to_look_at(self) -> list[Annotated]:
        """Return where unlabelled tiles are cut.

        What partial labels leave unknown is unlabelled as well. With ratio=1 there is nothing but
        the labelled micrographs to look at: all of them but for what is validated on.
        """
        unlabelled = self._whole("unlabelled")
        if self.labelling.partial:
            return [*unlabelled, *self.part("labelled")]
        return unlabelled or [self._taught(one) for one in self._whole("labelled")]

    @cached_property
    def scored_partially(self) -> bool:
        """Whether there may be particles without a label where validation is."""
        return any(one.partial for one in self.part("validation"))

    def to_count_in(self, most: int, *parts: str) -> list[Annotated]:
        """Return at most so many micrographs of each part, evenly spaced, with their blocks."""
        found = [self._labelled if each == "labelled" else self._whole(each) for each in parts]
        return [part[index] for part in found for index in evenly(len(part), most)]

    @cached_property
    def blocks(self) -> dict[str, Blocks]:
        """Blocks of labelled micrographs, by name; none where whole micrographs validate."""
        if self.split.validation:
            return {}
        if self.drawn.labelled_windows > 1:
            raise CryofixError(
                f"data.labelled_windows={self.drawn.labelled_windows} needs whole micrographs to"
                " validate on, since blocks are drawn in one window only: give data.validation=1"
                " or more, or data.labelled_windows=1"
            )
        never = self.drawn.never_scored
        scorable = [one for one in self._labelled if one.micrograph.name not in never]
        return blocks_of(scorable, self.tile_px, self.drawn.split_seed)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``splits.json``."""
        blocks = {
            name: each.boxes_px(self.dataset.annotated[name]) for name, each in self.blocks.items()
        }
        clicks: dict[str, list[list[float]]] = {}
        windows: dict[str, list[list[float]]] = {}
        for one in self._labelled:
            name = one.micrograph.name
            if one.partial:
                clicks.setdefault(name, []).extend(one.particles_px())
            if self.drawn.labelled_area < 1:
                corners = np.array(one.interior) / np.tile(one.micrograph.scale_xy, 2)
                windows.setdefault(name, []).append(corners.round(1).tolist())
        return {
            **asdict(self.split),
            "validation_blocks": blocks,
            "windows": windows,
            "clicks": clicks,
            "options": asdict(self.drawn) | asdict(self.labelling),
        }

    def labels_digest(self) -> str:
        """Return a digest of the labels that teach, and of the names that are kept from teaching.

        Of masks it takes the names of their micrographs alone.
        """
        taught = [
            (one.micrograph.name, one.particles_px(), one.interior, one.closed)
            for one in self.part("labelled")
        ]
        text = json.dumps([taught, self.split.validation, self.split.test], default=float)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @cached_property
    def _labelled(self) -> list[Annotated]:
        """The labelled micrographs with all that is labelled of them, each window by itself."""
        micrographs, drawn = self._whole("labelled"), self.drawn
        if drawn.labelled_area < 1:
            seed = [drawn.split_seed, 2, drawn.label_draw]
            size = drawn.labelled_area, drawn.labelled_windows
            micrographs = [
                one.within(window)
                for i, one in enumerate(micrographs)
                for window in draw_windows(one.interior, *size, [*seed, i])
            ]
        return self.labelling.apply(micrographs, [drawn.split_seed, 3, drawn.label_draw])

    def _whole(self, name: str) -> list[Annotated]:
        """Return the micrographs of a part with all labels that there are."""
        return [self.dataset.annotated[key] for key in getattr(self.split, name)]

    def _taught(self, one: Annotated) -> Annotated:
        """Return a labelled micrograph without its blocks."""
        blocks = self.blocks.get(one.micrograph.name)
        return one if blocks is None else blocks.taught(one, self.dataset.particle_radius_px)
