"""From what a user names (folders, patterns, coordinate files) to annotated micrographs on disk."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cryofix.data.array_cache import CachedMicrograph, cache_all, cache_mask
from cryofix.data.diameters import check_diameter, warn_of_doubles
from cryofix.data.origin import SIMULATED_IGNORED, Files
from cryofix.data.preprocess import Preprocessing
from cryofix.data.scaling import Scaling
from cryofix.data.tiles import Annotated
from cryofix.errors import CryofixError
from cryofix.formats import (
    MicrographInfo,
    Particles,
    check_labels,
    distinct_names,
    file_y_origin,
    find_micrographs,
    read_coordinates,
    read_info,
)
from cryofix.formats.label_fit import evenly
from cryofix.formats.masks import find_masks

log = logging.getLogger(__name__)

SIZE_KEYS = (
    "data.diameter_px, data.diameter_angstrom, data.particle_radius or data.pixel_size_angstrom"
)


@dataclass(frozen=True)
class Diameters:
    """How wide particles are: medians over micrographs."""

    particle_px: float
    """In network pixels."""
    diameter_px: float
    """In full-resolution pixels."""
    diameter_angstrom: float | None
    """In Angstrom, over micrographs of known pixel size; None when all are unknown."""


@dataclass(frozen=True)
class Dataset:
    """All micrographs of a run, preprocessed, with what is known of them."""

    annotated: dict[str, Annotated]
    """By name."""
    diameters: Diameters | None
    """Of particles; None where masks say what is to be found."""

    @property
    def of_particles(self) -> Diameters:
        """The diameters.

        Raises CryofixError where there are no particles.
        """
        if self.diameters is None:
            raise CryofixError(
                "data.masks hold no particles: give micrographs with coordinates, for "
                "example data=micrographs"
            )
        return self.diameters

    @property
    def particle_px(self) -> float:
        """Particle diameter in network pixels."""
        return self.of_particles.particle_px

    @property
    def particle_radius_px(self) -> float:
        """Radius of particles in network pixels; 0 where there are none."""
        return 0.0 if self.diameters is None else self.diameters.particle_px / 2


def load_infos(images: str, pixel_size_angstrom: float | None) -> dict[str, MicrographInfo]:
    """Find micrographs and read their headers."""
    paths = find_micrographs(images)
    infos = {}
    for name, path in zip(distinct_names(paths), paths, strict=True):
        info = read_info(path)
        if pixel_size_angstrom is not None:
            info = MicrographInfo(info.path, info.shape, pixel_size_angstrom)
        infos[name] = info
    return infos


def limited(
    infos: Mapping[str, MicrographInfo], labels: Mapping[str, object], limit: int
) -> dict[str, MicrographInfo]:
    """Return at most ``limit`` micrographs, in their order: labelled ones first, evenly spaced."""
    if limit >= len(infos):
        return dict(infos)
    chosen: set[str] = set()
    for known in (True, False):
        names = [name for name in infos if (name in labels) is known]
        chosen |= {names[i] for i in evenly(len(names), limit - len(chosen))}
    log.warning(
        "data.limit=%d: %d of %d micrographs are used, the labelled ones first",
        *(limit, len(chosen), len(infos)),
    )
    return {name: info for name, info in infos.items() if name in chosen}


def load_dataset(
    files: Files,
    scaling: Scaling,
    preprocessing: Preprocessing,
    *,
    cache: Path,
    check_fit: bool,
    start: Callable[[int], Callable[[], None]],
) -> Dataset:
    """Read headers and coordinates, preprocess what is not cached, and bring all to one scale.

    ``start`` is called with the number of micrographs, and what it returns after each. With
    ``check_fit`` labels that do not lie on particles are warned of.

    Raises CryofixError when files are missing, or particles or the border do not fit into them.
    """
    images, coordinates, ignored = map(files.path, ("images", "coordinates", "ignored"))
    if images is None:
        raise CryofixError(
            "data.images is missing: give a folder, a file or a pattern of micrographs"
        )
    infos = load_infos(images, files.pixel_size_angstrom)
    labels = {} if coordinates is None else read_coordinates(coordinates, infos, **files.options)
    unknown = {}
    if ignored is not None and (files.ignored != SIMULATED_IGNORED or Path(ignored).exists()):
        unknown = read_coordinates(ignored, infos, **{**files.options, "allow_empty": True})
    if files.limit is not None:
        infos = limited(infos, labels, files.limit)
        labels = {name: labels[name] for name in infos if name in labels}
    ordered = list(infos.values())
    diameters = scaling.diameters_px(infos, labels)
    scales = scaling.scales(ordered, diameters)
    for info, diameter, scale in zip(ordered, diameters, scales, strict=True):
        check_diameter(info, diameter, scale, SIZE_KEYS)
    if check_fit and coordinates is not None:
        by_name = dict(zip(infos, diameters, strict=True))
        _warn_of_misfit(infos, labels, by_name, coordinates, files)
        warn_of_doubles(coordinates, labels, by_name)
    particle_px = scaling.network_px(diameters, scales)
    cached = cache_all(ordered, scales, particle_px, preprocessing, cache, start(len(ordered)))
    annotated = {}
    for name, found, scale in zip(infos, cached, scales, strict=True):
        annotated[name] = Annotated(
            micrograph=replace(found, name=name),
            particles=_scaled(labels.get(name), found.scale_xy),
            ignored=_scaled(unknown.get(name), found.scale_xy) or Particles.empty(),
            interior=_interior(found, files.border_px, scale),
        )
    in_angstrom = [
        diameter * info.pixel_size_angstrom
        for diameter, info in zip(diameters, ordered, strict=True)
        if info.pixel_size_angstrom is not None
    ]
    angstrom = float(np.median(in_angstrom)) if in_angstrom else None
    return Dataset(annotated, Diameters(particle_px, float(np.median(diameters)), angstrom))


def load_masked(
    files: Files,
    scaling: Scaling,
    preprocessing: Preprocessing,
    *,
    cache: Path,
    start: Callable[[int], Callable[[], None]],
) -> Dataset:
    """Read images with masks of the same names, all at one scale; see :func:`load_dataset`.

    Raises CryofixError when files are missing, or a mask fits no image.
    """
    images, where = files.path("images"), files.path("masks")
    if images is None or where is None:
        raise CryofixError("data.images and data.masks belong together: give both, or data.root")
    infos, masks = load_infos(images, files.pixel_size_angstrom), find_masks(where)
    lost = [path for name, path in masks.items() if name not in infos]
    if lost:
        raise CryofixError(
            f"{lost[0]} is the mask of no image in {images} ({len(lost)} of {len(masks)} masks):"
            " give masks the names of their images"
        )
    if files.limit is not None:
        infos = limited(infos, masks, files.limit)
    ordered, scale = list(infos.values()), scaling.scale
    scales = [scale] * len(ordered)
    cached = cache_all(ordered, scales, None, preprocessing, cache, start(len(ordered)))
    annotated = {}
    for name, found in zip(infos, cached, strict=True):
        image, mask = replace(found, name=name), masks.get(name)
        annotated[name] = Annotated(
            micrograph=image,
            particles=None,
            ignored=Particles.empty(),
            interior=_interior(found, files.border_px, scale),
            mask=None if mask is None else cache_mask(mask, image, files.mask_value, cache),
        )
    return Dataset(annotated, diameters=None)


def _interior(
    found: CachedMicrograph, border_px: float, scale: float
) -> tuple[float, float, float, float]:
    """Return the part that labels reach.

    Raises CryofixError if the border leaves nothing.
    """
    (rows, columns), border = found.shape, border_px * scale
    if 2 * border >= min(rows, columns):
        raise CryofixError(
            f"data.border_px={border_px} leaves nothing of {found.source}, which is"
            f" {found.full_shape[0]} x {found.full_shape[1]} pixels; lower it"
        )
    return border, border, columns - 1 - border, rows - 1 - border


def _warn_of_misfit(
    infos: Mapping[str, MicrographInfo],
    labels: Mapping[str, Particles],
    diameters: Mapping[str, float],
    coordinates: str,
    files: Files,
) -> None:
    """Say on the terminal that labels do not lie on particles; in the log that they do."""
    options = files.options
    first = infos[next(iter(labels))]
    origin = file_y_origin(
        coordinates, first, format=files.format, y_origin=options["y_origin"], keys=options["keys"]
    )
    fit = check_labels(infos, labels, y_origin=origin, diameters_px=diameters)
    level = logging.INFO if fit.confirmed else logging.WARNING
    log.log(level, "%s: %s", coordinates, fit.message(options["keys"]))


def _scaled(particles: Particles | None, scale_xy: tuple[float, float]) -> Particles | None:
    """Bring full-resolution coordinates to a cached micrograph's pixels."""
    if particles is None:
        return None
    return Particles(x=particles.x * scale_xy[0], y=particles.y * scale_xy[1])
