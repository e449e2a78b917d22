"""Which way up are these labels? The image itself says, if asked over enough particles.

A wrong y is the commonest silent error in particle picking: a flipped set of labels trains
without complaint. Particles differ from the ice around them, so the labels whose discs stand out
from a ring around them are the right way up. Raw particles are dark and processed ones may be
bright, so it is the size of the contrast that counts, not its sign.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from cryofix.formats.frames import flipped
from cryofix.formats.micrograph import MicrographInfo, read_micrograph
from cryofix.formats.tables import Particles

_DISC = 0.35  # radius of the disc, in diameters: inside of most particles, whatever their shape
_RING = (0.6, 0.75)  # inner and outer radius, in diameters: outside of the particle
_WORKING_DIAMETER = 16  # pixels; enough to tell disc from ring, and cheap
_CERTAIN = 4.0  # standard errors between the two before anyone is told
_GUESSED_SHARES = (0.015, 0.03, 0.06)  # of the image's longer side, where no diameter is known


@dataclass(frozen=True)
class OrientationScore:
    """How much labels stand out from their surroundings, as given and flipped in y.

    Attributes
    ----------
    as_given, flipped : float
        |mean contrast| over all particles; one particle's contrast is (mean in the disc - mean
        in the ring) / noise level, which is that of the binned micrograph without background.
    standard_error : float
        Of either, the larger; NaN below two particles.
    particles, micrographs : int
        How many were looked at and counted.
    """

    as_given: float
    flipped: float
    standard_error: float
    particles: int
    micrographs: int

    @property
    def certainty(self) -> float:
        """|difference| in its own standard errors; 0 where there are too few particles."""
        error = math.sqrt(2) * self.standard_error
        return abs(self.as_given - self.flipped) / error if error > 0 else 0.0

    @property
    def flip_wins(self) -> bool:
        """Whether the flipped labels stand out more, by four standard errors of the difference."""
        return self.flipped > self.as_given and self.certainty > _CERTAIN

    @property
    def message(self) -> str:
        """A sentence for the log; a warning if `flip_wins`."""
        if self.particles == 0:
            return "the labels' y could not be checked, since there are no particles to look at"
        numbers = (
            f"contrast {self.as_given:.3f} as given and {self.flipped:.3f} flipped "
            f"(+- {self.standard_error:.3f}, {self.particles} particles in {self.micrographs} "
            "micrographs)"
        )
        if self.flip_wins:
            return (
                f"THE LABELS SEEM UPSIDE DOWN: {numbers}. Set y_origin to the other of top and "
                "bottom, and look at a picture of the labels before training"
            )
        if self.certainty > _CERTAIN:
            return f"the labels are the right way up: {numbers}"
        return f"the labels' y could not be checked, look at a picture of them: {numbers}"


def score_orientations(
    micrographs: Mapping[str, MicrographInfo],
    labels: Mapping[str, Particles],
    *,
    diameter_px: float | None = None,
    max_micrographs: int = 20,
    max_particles: int = 5000,
) -> OrientationScore:
    """Compare how much labels stand out as given and flipped in y.

    Parameters
    ----------
    micrographs, labels : mapping
        By the same names, as the functions that read them give them.
    diameter_px : float or None
        The particles' diameter at full resolution; None takes the labels' own, and failing that
        the clearest of three guesses (1.5, 3 and 6 % of the image's longer side).
    max_micrographs, max_particles : int
        Larger sets are thinned evenly over their sorted names, so always in the same way; at
        most one micrograph is in memory at a time.

    Raises
    ------
    CryofixError
        If a micrograph cannot be read.
    """
    names = sorted(name for name, its in labels.items() if name in micrographs and len(its))
    names = [names[index] for index in _evenly(len(names), max_micrographs)]
    quota = max(1, max_particles // max(1, len(names)))
    own = all(labels[name].diameter_px is not None for name in names)
    trials = 1 if own or diameter_px is not None else len(_GUESSED_SHARES)
    given: list[list[NDArray[np.float64]]] = [[] for _ in range(trials)]
    turned: list[list[NDArray[np.float64]]] = [[] for _ in range(trials)]
    for name in names:
        info = micrographs[name]
        particles = labels[name].select(_evenly(len(labels[name]), quota))
        data = read_micrograph(info.path).data
        for trial, diameter in enumerate(_diameters(particles, info, diameter_px, own)):
            factor = max(1, round(diameter / _WORKING_DIAMETER))
            image = _shrunk(data, factor)
            given[trial].append(_contrasts(image, particles, diameter, factor))
            turned[trial].append(_contrasts(image, flipped(particles, info), diameter, factor))
    return max(map(_score, given, turned), key=lambda score: score.certainty)


def _score(given: list[NDArray[np.float64]], turned: list[NDArray[np.float64]]) -> OrientationScore:
    """Average over particles; those whose ring leaves the image are NaN and do not count."""
    means, errors, counts = [], [], []
    for each in (given, turned):
        finite = np.concatenate([np.empty(0), *(values[np.isfinite(values)] for values in each)])
        counts.append(len(finite))
        means.append(float(abs(finite.mean())) if len(finite) else 0.0)
        errors.append(
            float(finite.std(ddof=1)) / math.sqrt(len(finite)) if len(finite) > 1 else math.nan
        )
    return OrientationScore(means[0], means[1], max(errors), min(counts), len(given))


def _diameters(
    particles: Particles, info: MicrographInfo, given: float | None, own: bool
) -> list[float]:
    if given is not None:
        return [given]
    if own and particles.diameter_px is not None:
        return [float(np.median(particles.diameter_px))]
    return [share * max(info.shape) for share in _GUESSED_SHARES]


def _evenly(count: int, most: int) -> NDArray[np.intp]:
    """Return at most ``most`` indices of ``count``, evenly spread, the same every time."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def _shrunk(data: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of ``factor`` pixels, take off the slow background, scale to noise levels.

    Gold and hot pixels are cut at five noise levels, or a few of them would decide for all.
    """
    rows, columns = (size // factor * factor for size in data.shape)
    blocks = data[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor)
    image = blocks.mean(axis=(1, 3), dtype=np.float32)
    image = image - uniform_filter(image, size=4 * _WORKING_DIAMETER, mode="reflect")
    noise = 1.4826 * float(np.median(np.abs(image - np.median(image))))
    return np.asarray(np.clip(image / max(noise, 1e-12), -5, 5), dtype=np.float32)


def _contrasts(
    image: NDArray[np.float32], particles: Particles, diameter_px: float, factor: int
) -> NDArray[np.float64]:
    """Return disc minus ring for each particle; NaN where the ring leaves the image."""
    diameter = diameter_px / factor
    reach = int(np.ceil(_RING[1] * diameter))
    offset = np.arange(-reach, reach + 1)
    distance = np.hypot(offset[:, None], offset[None, :]) / diameter
    kernel = np.zeros_like(distance)
    disc = distance <= _DISC
    ring = (distance >= _RING[0]) & (distance <= _RING[1])
    kernel[disc] = 1 / disc.sum()
    kernel[ring] = -1 / ring.sum()
    rows = np.floor(particles.y / factor).astype(int)
    columns = np.floor(particles.x / factor).astype(int)
    contrasts = np.full(len(particles), np.nan)
    height, width = image.shape
    for index, (row, column) in enumerate(zip(rows, columns, strict=True)):
        if reach <= row < height - reach and reach <= column < width - reach:
            patch = image[row - reach : row + reach + 1, column - reach : column + reach + 1]
            contrasts[index] = float((patch * kernel).sum())
    return contrasts
