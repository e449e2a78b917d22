"""How large particles are in files, and the scale at which a network is shown them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryofix.data.diameters import LARGEST_SCALE, check_diameter
from cryofix.errors import CryofixError, check_range
from cryofix.formats import MicrographInfo, Particles

log = logging.getLogger(__name__)

TOLERATED = 1.15  # of two diameters, the larger one over the other, before anybody is told


@dataclass(frozen=True)
class KnownDiameter:
    """The diameter of particles that a trained network looks for."""

    angstrom: float | None
    """Counts for files that say their pixel size, so that a model trained at one magnification sees
    particles alike at another."""
    px: float | None
    """In pixels of the file, for all others; None where only Angstrom are known."""

    def in_pixels(self, info: MicrographInfo, particle_px: float, prefix: str = "") -> float:
        """Return the diameter in pixels of a file.

        Every command that shows a trained network micrographs asks here, and scales them by
        ``particle_px`` over the answer.

        Raises CryofixError when it is only known in Angstrom and the pixel size is not, or makes no
        sense.

        Parameters
        ----------
        info
            Header of the file.
        particle_px
            Particle diameter in network pixels.
        prefix
            Of the keys that messages name.
        """
        pixel_size = info.pixel_size_angstrom
        keys = f"{prefix}pixel_size_angstrom or {prefix}diameter_px"
        diameter = self.px
        if self.angstrom is not None and pixel_size is not None:
            diameter = self.angstrom / pixel_size
        if diameter is None:
            raise CryofixError(
                f"{info.path} does not say its pixel size, and the particle's diameter is known in"
                f" Angstrom only: give {keys}"
            )
        check_diameter(info, diameter, particle_px / diameter, keys)
        return diameter


@dataclass(frozen=True)
class Scaling:
    """How large a particle is in the file and in front of the network."""

    particle_px: float = 24.0
    """Particle diameter in network pixels; micrographs are Fourier-cropped to it."""
    target_size: int | None = None
    """The other way to say it, as the reference run did: network pixels along the longer side of a
    micrograph. Overrides ``particle_px``."""
    diameter_px: float | None = None
    diameter_angstrom: float | None = None
    particle_radius: float | None = None
    """Particle diameter in full-resolution pixels, or in Angstrom, or its radius in full-resolution
    pixels; at most one. Without any, the labels' own diameters are used."""
    scale: float = 1.0
    """Network pixels per pixel of the file where masks are given, which know of no diameter."""
    of_model: KnownDiameter | None = None
    """What a trained network knows of its particles, which then counts instead of the labels'
    diameters; ``particle_px`` is then the network's, and ``target_size`` None."""

    def __post_init__(self) -> None:
        given = {
            f"data.{key}": value
            for key in ("diameter_px", "diameter_angstrom", "particle_radius")
            if (value := getattr(self, key)) is not None
        }
        if len(given) > 1:
            raise CryofixError(
                f"{' and '.join(given)} say the particle's size more than once; keep one"
            )
        for key, value in given.items():
            check_range(key, value, 0.1, 1e5)
        if self.of_model is None:  # a network is shown particles at the size that it learnt
            check_range("data.particle_px", self.particle_px, 4, 512)
        check_range("data.target_size", self.target_size, 32, 65_536)
        check_range("data.scale", self.scale, 0.01, LARGEST_SCALE)

    def diameters_px(
        self, named: Mapping[str, MicrographInfo], labels: Mapping[str, Particles]
    ) -> list[float]:
        """Return the particle diameter in full-resolution pixels of each micrograph.

        Raises CryofixError when nothing says it.

        Parameters
        ----------
        named
            Headers by micrograph.
        labels
            Particles by micrograph.
        """
        infos = list(named.values())
        if self.particle_radius is not None:
            return [2 * self.particle_radius] * len(infos)
        if self.diameter_px is not None:
            return [self.diameter_px] * len(infos)
        if self.diameter_angstrom is not None:
            unknown = [info.path for info in infos if info.pixel_size_angstrom is None]
            if unknown:
                raise CryofixError(
                    f"data.diameter_angstrom={self.diameter_angstrom} needs pixel sizes, and"
                    f" {unknown[0]} has none; give data.pixel_size_angstrom or data.diameter_px"
                )
            return [self.diameter_angstrom / (info.pixel_size_angstrom or 1.0) for info in infos]
        declared = [_declared(labels.get(name)) for name in named]
        if self.of_model is not None:
            found = [self.of_model.in_pixels(info, self.particle_px, "data.") for info in infos]
            _warn_of_others(declared, found)
            return found
        sizes = [info.pixel_size_angstrom for info in infos]
        known = [part for part in declared if np.isfinite(part).any()]
        if not known:
            raise CryofixError(
                "the particle's size is unknown: the coordinates hold no diameter; give"
                " data.diameter_px, data.diameter_angstrom or data.particle_radius"
            )
        if None in sizes or len(set(sizes)) == 1:
            return [float(np.nanmedian(np.concatenate(known)))] * len(infos)
        # The same particle has other pixels at each magnification, and the same Angstrom.
        angstrom = [part * size for part, size in zip(declared, sizes, strict=True) if size]
        return [float(np.nanmedian(np.concatenate(angstrom))) / (size or 1.0) for size in sizes]

    def scales(self, infos: Sequence[MicrographInfo], diameters_px: Sequence[float]) -> list[float]:
        """Return network pixels per full-resolution pixel for each micrograph."""
        if self.target_size is not None:
            return [self.target_size / max(info.shape) for info in infos]
        return [self.particle_px / diameter for diameter in diameters_px]

    def network_px(self, diameters_px: Sequence[float], scales: Sequence[float]) -> float:
        """Return the particle diameter in network pixels: the median over micrographs."""
        if self.target_size is None:
            return float(self.particle_px)
        return float(np.median(np.multiply(diameters_px, scales)))


def _declared(particles: Particles | None) -> NDArray[np.float64]:
    """Return the diameters that the labels of a micrograph have, in its pixels."""
    own = None if particles is None else particles.diameter_px
    return np.empty(0) if own is None else own


def _warn_of_others(declared: Sequence[NDArray[np.float64]], shown_px: Sequence[float]) -> None:
    """Say it when the labels' diameters are not those at which a network is shown particles."""
    ratios = np.concatenate([part / px for part, px in zip(declared, shown_px, strict=True)])
    ratios = ratios[np.isfinite(ratios)]
    if len(ratios) and not 1 / TOLERATED <= (ratio := float(np.median(ratios))) <= TOLERATED:
        log.warning(
            "the labels say that particles are %.2f times as wide as those that the "
            "model was trained on, but micrographs are scaled for the model's "
            "particles, as in cryofix.pick: if the labels are right, give "
            "data.diameter_angstrom or data.diameter_px, and the same diameter to "
            "cryofix.pick",
            ratio,
        )
