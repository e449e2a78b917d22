"""Do these labels lie on particles? The image itself says, if asked over enough particles.

Labels that are flipped, exchanged in x and y, or in the pixels of binned images train without
complaint. Particles differ from the ice around them, so labels whose discs stand out from a ring
around them lie on particles. Raw particles are dark and processed ones may be bright, so it is the
size of the contrast that counts, not its sign.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryofix.formats.contrast import (
    BINNED,
    TURNS,
    WORKING_DIAMETER,
    Fit,
    Reading,
    contrasts,
    shrunk,
)
from cryofix.formats.micrograph import MicrographInfo, read_micrograph
from cryofix.formats.option_keys import CommandKeys
from cryofix.formats.tables import Particles, YOrigin

_GUESSED_SHARES = (0.015, 0.03, 0.06)  # of the image's longer side, where no diameter is known
_FEW, _MANY = 4, 16  # micrographs: a second of reading, and what is read where that does not do
_MOST_PARTICLES = 250  # of one micrograph
_SMALLEST_DIAMETER = 5.0  # pixels; narrower particles have no ring to speak of
_WORKING_SIZE = 2048 * 2048  # pixels; larger images would take seconds


@dataclass(frozen=True)
class LabelFit:
    """Whether labels lie on particles as they are given, or in another reading."""

    as_given: Fit
    """Of the labels as they are."""
    better: Fit | None
    """The best of the other readings that beat it."""
    origin: YOrigin
    """Where the file's y counts from, as given."""

    @property
    def confirmed(self) -> bool:
        """Whether the labels as given lie on particles and no other reading fits better."""
        return self.better is None and self.as_given.certain

    @property
    def doubtful(self) -> bool:
        """Whether the images say nothing, neither for the labels as given nor for others."""
        return self.better is None and not self.as_given.certain

    def message(self, keys: CommandKeys | None = None) -> str:
        """Return one sentence: a warning unless `confirmed`; ``keys`` are the user's command's."""
        keys = keys or CommandKeys()
        given, better = self.as_given, self.better
        shown = better or given
        if shown.particles < 2:
            return (
                "it could not be checked whether the labels lie on particles, since"
                f" {shown.particles or 'none'} of them can be looked at: it takes two or more whose"
                " surroundings lie within the micrograph; look at a picture of the labels before"
                " training"
            )
        plural = "s" if shown.micrographs > 1 else ""
        of = f"{shown.particles} particles in {shown.micrographs} micrograph{plural}"
        numbers = f"{given.contrast:.3f} +- {given.standard_error:.3f}"
        if better is not None:
            fault = "SEEM UPSIDE DOWN" if better.reading == Reading(turned=True) else "DO NOT FIT"
            return (
                f"THE LABELS {fault}: their contrast with what surrounds them is {numbers} noise"
                f" levels as given and {better.contrast:.3f} +- {better.standard_error:.3f} if you"
                f" {' and '.join(better.reading.remedies(keys, self.origin))} ({of}); look at a"
                " picture of the labels before training"
            )
        if given.certain:
            return f"the labels lie on particles: contrast {numbers} noise levels ({of})"
        return (
            "IT COULD NOT BE CHECKED WHETHER THE LABELS LIE ON PARTICLES: their contrast with what"
            f" surrounds them is {numbers} noise levels ({of}), which chance explains, and so it is"
            " with x and y exchanged, counted from the other side or scaled; the labels are too"
            " few, the images too noisy, or the labels belong to other images: look at a picture of"
            " them before training"
        )


_Found = dict[tuple[int, Reading], list[NDArray[np.float64]]]
"""Contrasts by diameter (its index among those that are tried) and reading, one array for each
micrograph."""


def check_labels(
    micrographs: Mapping[str, MicrographInfo],
    labels: Mapping[str, Particles],
    *,
    y_origin: YOrigin = "top",
    diameters_px: Mapping[str, float] | None = None,
) -> LabelFit:
    """Compare how much labels stand out as given, flipped, exchanged in x and y, and scaled.

    Four micrographs are looked at; sixteen, and scales, only where they leave doubts. They are
    spread evenly over the sorted names, so they are always the same, and one is in memory at a
    time. Readings are of the file's x and y, so ``y_origin`` is where it counts y from.
    ``diameters_px`` are the particles' at full resolution in each micrograph; None takes the
    labels' own, and failing that the clearest of three guesses (1.5, 3 and 6 % of the image's
    longer side). Raises CryofixError if a micrograph cannot be read.
    """
    labelled = sorted(name for name, its in labels.items() if name in micrographs and len(its))
    names = [labelled[index] for index in evenly(len(labelled), _MANY)]
    few = [names[index] for index in evenly(len(names), _FEW)]
    widths = _widths(micrographs, {name: labels[name] for name in names}, diameters_px)
    found: _Found = defaultdict(list)

    def look(at: Sequence[str], readings: Sequence[Reading]) -> LabelFit:
        for name in at:
            _look(found, micrographs[name], labels[name], widths[name], readings, y_origin)
        return _verdict(found, y_origin)

    verdict = look(few, TURNS)
    if verdict.doubtful:
        verdict = look([name for name in names if name not in few], TURNS)
    if verdict.doubtful:
        verdict = look(few, BINNED)
    return verdict


def _widths(
    micrographs: Mapping[str, MicrographInfo],
    labels: Mapping[str, Particles],
    diameters_px: Mapping[str, float] | None,
) -> dict[str, list[float]]:
    """Return the diameters to try in each micrograph, equally many in all."""
    if diameters_px is not None:
        return {name: [diameters_px[name]] for name in labels}
    widths = {}
    for name, its in labels.items():
        if its.diameter_px is None or np.isnan(its.diameter_px).all():
            sides = {each: max(micrographs[each].shape) for each in labels}
            return {each: [share * sides[each] for share in _GUESSED_SHARES] for each in labels}
        widths[name] = [float(np.nanmedian(its.diameter_px))]
    return widths


def _look(
    found: _Found,
    info: MicrographInfo,
    particles: Particles,
    widths: Sequence[float],
    readings: Sequence[Reading],
    origin: YOrigin,
) -> None:
    """Add the contrasts of each reading in one micrograph, for each of the diameters."""
    data = read_micrograph(info.path).data
    particles = particles.select(evenly(len(particles), _MOST_PARTICLES))
    for index, width in enumerate(widths):
        # Readings of one width stand together, so that each shrunk image is made once.
        for scale, same in itertools.groupby(readings, Reading.width_factor):
            coarse = math.ceil(math.sqrt(data.size / _WORKING_SIZE))
            factor = max(coarse, round(width * scale / WORKING_DIAMETER))
            if not _SMALLEST_DIAMETER * factor <= width * scale <= min(info.shape):
                continue
            image = shrunk(data, factor)
            for reading in same:
                read = reading.apply(particles, info, origin)
                found[index, reading].append(contrasts(image, read, width * scale, factor))


def _verdict(found: _Found, origin: YOrigin) -> LabelFit:
    """Return the clearest of what the diameters say."""
    verdicts, readings = [], (*TURNS, *BINNED)
    for index in range(1 + max((index for index, _ in found), default=0)):
        given, *others = (Fit.of(each, found.get((index, each), [])) for each in readings)
        better = [fit for fit in others if fit.beats(given)]
        best = max(better, key=lambda fit: fit.errors, default=None)
        verdicts.append(LabelFit(given, best, origin))
    return max(verdicts, key=lambda verdict: (verdict.better or verdict.as_given).errors)


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """Return at most ``most`` indices of ``count``, evenly spread, the same every time."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))
