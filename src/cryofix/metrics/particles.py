"""What is counted of a micrograph: its picks against its labels, and its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats import Particles
from cryofix.metrics import curves
from cryofix.metrics.area import Area
from cryofix.metrics.curves import BINS, Counts, Curve, FloatArray, IntArray
from cryofix.metrics.matching import grow_matches, match, within
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.suppression import suppress

RADIUS_FRACTION = 0.5
STRICT_RADIUS_FRACTION = 0.25


@dataclass(frozen=True)
class ParticleRecord(Curve):
    """What the picks of one or more micrographs found, at every score threshold.

    Raising the threshold removes picks, and the pairing changes with them; the counts here are
    those of pairing afresh at each threshold (see ``matching``), so that the picks scoring at or
    above a threshold are right ``matched[bin:].sum()`` times.
    """

    matched: IntArray
    """Particles gained in each score bin as the threshold falls, int64, shape
    (``curves.BINS``,)."""
    unmatched: IntArray
    """Wrong picks gained in each score bin, the same shape."""
    truth: int
    """Labelled particles, found or not."""

    @classmethod
    def empty(cls) -> "ParticleRecord":
        """Return the record of no micrograph, the neutral element of ``+``."""
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64), 0)

    @classmethod
    def from_picks(
        cls,
        picks: Particles,
        truth: Particles,
        *,
        diameter: float,
        radius_fraction: float = RADIUS_FRACTION,
        ignored: Particles | None = None,
        area: Area | None = None,
        min_distance: float | None = None,
    ) -> "ParticleRecord":
        """Compare the picks of one micrograph with its labels.

        Picks are first freed of duplicates. Then picks and particles are paired one to one by
        increasing distance up to ``radius_fraction * diameter``, whatever their scores. A pick
        without a partner is wrong, unless an ignored particle lies within that radius or the
        pick lies outside the area: then it counts for neither side. Labelled particles outside
        the area count as ignored, so that a pick inside is not punished for them.

        Raises CryofixError if scores leave [0, 1].

        Parameters
        ----------
        picks
            Scores in [0, 1]; without scores all picks count as 1.
        truth
            Labelled particles in the same frame. No particles means that none is there; leave a
            micrograph without labels out.
        diameter
            Particle diameter in the pixels of the coordinates.
        radius_fraction
            Radius of a match in diameters: 0.5 is the primary measure, 0.25 the strict one.
        ignored
            Particles that need not be found and may be.
        area
            Where labels are known; everywhere if None.
        min_distance
            Picks closer than this to a better one are duplicates; half a diameter if None.
        """
        xy, truth_xy = centres(picks), centres(truth)
        score = np.ones(len(xy)) if picks.score is None else picks.score
        score = curves.checked_scores(score, "scores of picks").astype(np.float64)
        order = suppress(xy, score, diameter / 2 if min_distance is None else min_distance)
        xy, score = xy[order], score[order]

        outside = _outside(truth_xy, area)
        others = np.empty((0, 2)) if ignored is None else centres(ignored)
        others = np.concatenate([others, truth_xy[outside]])
        truth_xy = truth_xy[~outside]

        radius = radius_fraction * diameter
        excused = within(xy, others, radius) | _outside(xy, area)
        left_out = grow_matches(xy, truth_xy, radius)
        gained = left_out < 0
        wrong = ~gained & ~excused[left_out]
        bins = curves.score_bins(score.astype(np.float32))
        return cls(
            np.bincount(bins[gained], minlength=BINS).astype(np.int64),
            np.bincount(bins[wrong], minlength=BINS).astype(np.int64),
            len(truth_xy),
        )

    def __add__(self, other: "ParticleRecord") -> "ParticleRecord":
        return ParticleRecord(
            self.matched + other.matched, self.unmatched + other.unmatched, self.truth + other.truth
        )

    @property
    def binned(self) -> Counts:
        """Right and wrong picks gained in each score bin, and the labelled particles."""
        return Counts(self.matched, self.unmatched, self.truth)


@dataclass(frozen=True)
class Thresholds:
    """Where to cut: pixels by p, picks by their score."""

    pixel: float = 0.5
    particle: float = 0.5
    by_count: bool = False
    """Whether there are as many positives above them as are expected; else F1 is highest there."""

    @property
    def source(self) -> str:
        """Where they come from, in words."""
        return "the expected number of particles" if self.by_count else "validation"


@dataclass(frozen=True)
class MicrographRecord:
    """Everything that is kept of one scored micrograph, whatever its size."""

    name: str
    """The micrograph's name, by which two models are paired."""
    pixels: PixelHistogram
    """Its probability map against its target."""
    particles: ParticleRecord | None = None
    strict: ParticleRecord | None = None
    """Its picks against its labels within d/2, and within d/4; None where masks are the labels."""

    @classmethod
    def measure(
        cls,
        name: str,
        picks: Particles,
        truth: Particles,
        *,
        diameter: float,
        ignored: Particles | None = None,
        area: Area | None = None,
        pixels: PixelHistogram | None = None,
    ) -> "MicrographRecord":
        """Score the picks of one micrograph, as `ParticleRecord.from_picks` does.

        ``pixels`` count its probability map, if there is one, and give the coordinates their unit.
        """
        half, quarter = (
            ParticleRecord.from_picks(
                picks,
                truth,
                diameter=diameter,
                radius_fraction=fraction,
                ignored=ignored,
                area=area,
            )
            for fraction in (RADIUS_FRACTION, STRICT_RADIUS_FRACTION)
        )
        return cls(name, PixelHistogram.empty() if pixels is None else pixels, half, quarter)


def pooled_pixels(records: Sequence[MicrographRecord]) -> PixelHistogram:
    """Return the pixels of all records together.

    Raises CryofixError if there is no record.
    """
    if not records:
        raise CryofixError(
            "no labelled micrograph to score: give the split at least one with labels"
        )
    return sum((record.pixels for record in records), PixelHistogram.empty())


def pooled_particles(
    records: Sequence[MicrographRecord], *, strict: bool = False
) -> ParticleRecord:
    """Return the picks of all records together, within d/2, or d/4 if ``strict``."""
    return sum(particle_records(records, strict), ParticleRecord.empty())


def particle_records(
    records: Sequence[MicrographRecord], strict: bool = False
) -> list[ParticleRecord]:
    """Return the records of picks; none where masks are the labels."""
    found = (record.strict if strict else record.particles for record in records)
    return [each for each in found if each is not None]


def judged(
    picks: Particles,
    truth: Particles,
    *,
    diameter: float,
    ignored: Particles | None = None,
    area: Area | None = None,
) -> dict[str, FloatArray]:
    """Return the centres (x, y) of what is found, extra, missed and not scored, to draw them.

    The arguments are those of `ParticleRecord.from_picks`, and so are the counts, of picks without
    duplicates. Not scored are ignored particles, and labels and picks outside of the area.
    """
    xy, truth_xy = centres(picks), centres(truth)
    outside = _outside(truth_xy, area)
    others = np.empty((0, 2)) if ignored is None else centres(ignored)
    others = np.concatenate([others, truth_xy[outside]])
    truth_xy, radius = truth_xy[~outside], RADIUS_FRACTION * diameter
    pairs = match(xy, truth_xy, radius)
    alone = np.delete(xy, pairs.pick, axis=0)
    beside, off = within(alone, others, radius), _outside(alone, area)
    return {
        "found": xy[pairs.pick],
        "extra": alone[~beside & ~off],
        "missed": np.delete(truth_xy, pairs.truth, axis=0),
        "not scored": np.concatenate([others, alone[~beside & off]]),
    }


def centres(particles: Particles) -> FloatArray:
    """Return centres (x, y), shape (n, 2)."""
    return np.stack([particles.x, particles.y], axis=1)


def _outside(xy: FloatArray, area: Area | None) -> NDArray[np.bool_]:
    """Say which centres lie where labels are not known; none without an area."""
    return np.zeros(len(xy), dtype=bool) if area is None else ~area.holds(xy[:, 0], xy[:, 1])
