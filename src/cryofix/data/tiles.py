"""Endless streams of tiles in which every draw depends on (seed, stream, index) alone.

That makes the tiles independent of the number of workers and ranks, different in every worker and
step, and lets a run go on after a kill exactly where it stopped: the sampler starts at the step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cryofix.data.array_cache import CachedMicrograph
from cryofix.data.augment import Cutout, Geometry, punch, warp
from cryofix.data.intensity import sample_generator, sample_seed
from cryofix.data.targets import target_maps
from cryofix.formats import Particles
from cryofix.metrics.area import Area, Box

LABELLED, UNLABELLED = 0, 1  # numbers of the streams; part of every draw


@dataclass(frozen=True)
class Annotated:
    """A cached micrograph with what is known of it, in its own (small) pixels."""

    micrograph: CachedMicrograph
    """Where the pixels are."""
    particles: Particles | None
    """Labelled particles; None when nobody labelled any."""
    ignored: Particles
    """Particles that count for neither side."""
    interior: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the part that labels reach."""
    closed: tuple[Box, ...] = ()
    """Boxes in it that count for neither side."""
    partial: bool = False
    """Whether there may be particles without a label."""
    mask: CachedMicrograph | None = None
    """Instead of particles: 1 in the pixels that are to be found, else 0."""

    @property
    def labelled(self) -> bool:
        """Whether somebody labelled this micrograph."""
        return self.particles is not None or self.mask is not None

    @property
    def complete(self) -> bool:
        """Whether everything that is to be found here is labelled, so that the rest is not."""
        return self.labelled and not self.partial

    @property
    def area(self) -> Area:
        """What counts.

        Where labels reach the edge of the micrograph, so do particles with their centre beyond it.
        """
        rows, columns = self.micrograph.shape
        left, top, right, bottom = self.interior
        interior = (
            left if left > 0 else -math.inf,
            top if top > 0 else -math.inf,
            right if right < columns - 1 else math.inf,
            bottom if bottom < rows - 1 else math.inf,
        )
        return Area(interior, self.closed)

    def particles_px(self) -> list[list[float]]:
        """Return (x, y) of the labelled particles in pixels of the micrograph's file."""
        known = self.particles or Particles.empty()
        places = np.stack([known.x, known.y], axis=1) / self.micrograph.scale_xy
        in_file: list[list[float]] = places.round(2).tolist()
        return in_file

    def maps(
        self,
        radius_px: float,
        ignore_radius_px: float,
        box: tuple[int, int, int, int] | None = None,
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return target and validity of a box (row, column, height, width), or of everything.

        The radii are those of particles and of ignored ones; a mask needs none.
        """
        box = box or (0, 0, *self.micrograph.shape)
        if self.mask is None:
            known = self.particles or Particles.empty()
            return target_maps(known, self.ignored, radius_px, ignore_radius_px, box, self.area)
        target, valid = self.mask.read(box) > 0, np.ones(box[2:], dtype=bool)
        self.area.leave_out(valid, *box[:2])
        return target, valid

    def within(self, window: tuple[float, float, float, float]) -> "Annotated":
        """Return it as if labels reached only ``window`` (x0, y0, x1, y1).

        Particles outside count for neither side.
        """
        return replace(self, interior=window)._keeping()

    def without(self, boxes: tuple[Box, ...], margin_px: float = 0.0) -> "Annotated":
        """Return it as if nothing were known in ``boxes``, and nearer to them than a margin.

        Particles with their centre in a box count for neither side.
        """
        grown = tuple(
            (x0 - margin_px, y0 - margin_px, x1 + margin_px, y1 + margin_px)
            for x0, y0, x1, y1 in boxes
        )
        return replace(self, closed=grown)._keeping(boxes)

    def _keeping(self, boxes: tuple[Box, ...] = ()) -> "Annotated":
        """Let labelled particles outside the interior, or in ``boxes``, count for neither side."""
        particles = self.particles
        if particles is None:
            return self
        inside = Area(self.area.interior, boxes).holds(particles.x, particles.y)
        ignored = Particles(
            x=np.concatenate([self.ignored.x, particles.x[~inside]]),
            y=np.concatenate([self.ignored.y, particles.y[~inside]]),
        )
        return replace(self, particles=particles.select(inside), ignored=ignored)

    def read(self, box: tuple[int, int, int, int] | None = None) -> NDArray[np.float32]:
        """Read a box (row, column, height, width), or everything, as float32."""
        return self.micrograph.read(box)


class TileStream(Dataset[dict[str, Any]]):
    """Tile number ``index`` of an endless stream.

    Each item has ``image`` (1, tile, tile) float32, ``target`` float32 in {0, 1}, ``valid`` bool,
    ``known`` bool (target is a label, not a placeholder; of partial labels the particles alone),
    ``visible`` bool (strong views, tile, tile; False in their holes), ``uniform`` bool (its place
    was drawn without looking at particles, of which centred tiles hold more than their share),
    ``micrograph`` (its number in ``micrographs``) and ``index``.

    Parameters
    ----------
    micrographs
        Where tiles are cut.
    seed, stream
        What the draws depend on, besides the index.
    tile_px
        Side of a tile.
    radius_px, ignore_radius_px
        Of target discs and of the unknown discs around ignored particles.
    geometry, cutout
        The random changes; holes are drawn for the unlabelled stream.
    centred_share
        Share of tiles that have a random labelled particle near their middle.
    strong_views
        How many strong views there are; each has its own holes.
    """

    def __init__(
        self,
        micrographs: Sequence[Annotated],
        *,
        seed: int,
        stream: int,
        tile_px: int,
        radius_px: float,
        ignore_radius_px: float,
        geometry: Geometry,
        cutout: Cutout | None,
        centred_share: float,
        strong_views: int = 1,
    ) -> None:
        self.micrographs = micrographs
        self.seed = seed
        self.stream = stream
        self.tile_px = tile_px
        self.radius_px = radius_px
        self.ignore_radius_px = ignore_radius_px
        self.centred_share = centred_share
        self.strong_views = strong_views
        self._geometry = geometry.build()
        self._cutout = None if cutout is None else cutout.build()

    def __getitem__(self, index: int) -> dict[str, Any]:
        random = sample_generator(self.seed, self.stream, index)
        micrograph = int(random.integers(len(self.micrographs)))
        annotated = self.micrographs[micrograph]
        centred, uniform = self._centred_on(annotated, random)
        row, column = self._place(annotated, centred, random)
        shape = annotated.micrograph.shape
        height, width = min(self.tile_px, shape[0]), min(self.tile_px, shape[1])
        box = (row, column, height, width)
        image = annotated.read(box)
        target, valid = annotated.maps(self.radius_px, self.ignore_radius_px, box)
        if (height, width) != (self.tile_px, self.tile_px):
            bottom, right = self.tile_px - height, self.tile_px - width
            image = np.pad(image, ((0, bottom), (0, right)), mode="symmetric")
            target, valid = (np.pad(part, ((0, bottom), (0, right))) for part in (target, valid))
        seed = sample_seed(self.seed, self.stream, index) % 2**32
        image, target, valid = warp(self._geometry, seed, image, target, valid)
        # Numbered from 1: a seed sequence takes a missing number for 0, which is the geometry's.
        seeds = [
            sample_seed(self.seed, self.stream, index, view + 1) % 2**32
            for view in range(self.strong_views)
        ]
        whole = [punch(self._cutout, each, (self.tile_px, self.tile_px)) for each in seeds]
        if not annotated.labelled:
            known = np.zeros_like(valid)
        else:
            known = valid & target if annotated.partial else valid
        return {
            "image": torch.from_numpy(image)[None],
            "target": torch.from_numpy(target.astype(np.float32))[None],
            "valid": torch.from_numpy(valid)[None],
            "known": torch.from_numpy(known)[None],
            "visible": torch.from_numpy(np.stack(whole)),
            "uniform": uniform,
            "micrograph": micrograph,
            "index": index,
        }

    def _centred_on(
        self, annotated: Annotated, random: np.random.Generator
    ) -> tuple[tuple[float, float] | None, bool]:
        """Draw the (y, x) of a particle to be near a tile's middle; None for a place anywhere.

        Beside it stands whether the tile is uniform. Of a micrograph without particles no larger
        share is, or its pixels would count more than those of others.
        """
        particles = annotated.particles
        if particles is None or random.uniform() >= self.centred_share:
            return None, True
        if not len(particles):
            return None, False
        which = random.integers(len(particles))
        return (float(particles.y[which]), float(particles.x[which])), False

    def _place(
        self, annotated: Annotated, centred: tuple[float, float] | None, random: np.random.Generator
    ) -> tuple[int, int]:
        """Draw the (row, column) of a tile's first pixel."""
        x0, y0, x1, y1 = annotated.interior
        if centred is not None:
            jitter = random.uniform(-0.25, 0.25, size=2) * self.tile_px
            first = [
                position + each - self.tile_px / 2
                for position, each in zip(centred, jitter, strict=True)
            ]
        else:
            first = [
                random.uniform(low, max(low, high - self.tile_px + 1))
                for low, high in ((y0, y1), (x0, x1))
            ]
        rows, columns = annotated.micrograph.shape
        row, column = (
            min(max(round(position), 0), max(0, size - self.tile_px))
            for position, size in zip(first, (rows, columns), strict=True)
        )
        return row, column
