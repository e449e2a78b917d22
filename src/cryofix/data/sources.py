"""From what a user names (folders, patterns, coordinate files) to annotated micrographs on disk."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cryofix.data.array_cache import cache_all
from cryofix.data.diameters import check_diameter
from cryofix.data.origin import Files
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

log = logging.getLogger(__name__)

SIZE_KEYS = (
    "data.diameter_px, data.diameter_angstrom, data.particle_radius or data.pixel_size_angstrom"
)


@dataclass(frozen=True)
class Dataset:
    """All micrographs of a run, preprocessed, with what is known of them."""

    annotated: dict[str, Annotated]
    """By name."""
    particle_px: float
    """Particle diameter in network pixels (the median over micrographs)."""
    diameter_px: float
    """Particle diameter in full-resolution pixels (the median over micrographs)."""
    diameter_angstrom: float | None
    """Particle diameter in Angstrom (the median over micrographs of known pixel size); None when
    all pixel sizes are unknown."""


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
    infos: Mapping[str, MicrographInfo], labels: Mapping[str, Particles], limit: int
) -> dict[str, MicrographInfo]:
    """Return at most ``limit`` micrographs, in their order: labelled ones first, evenly spaced."""
    if limit >= len(infos):
        return dict(infos)
    chosen: set[str] = set()
    for known in (True, False):
        names = [name for name in infos if (name in labels) is known]
        count = min(limit - len(chosen), len(names))
        chosen |= {names[i] for i in np.linspace(0, len(names) - 1, count).round().astype(int)}
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
    if files.limit is not None:
        infos = limited(infos, labels, files.limit)
        labels = {name: labels[name] for name in infos if name in labels}
    unknown = {}
    if ignored is not None and Path(ignored).exists():
        unknown = read_coordinates(ignored, infos, **{**files.options, "allow_empty": True})
    ordered = list(infos.values())
    diameters = scaling.diameters_px(infos, labels)
    scales = scaling.scales(ordered, diameters)
    for info, diameter, scale in zip(ordered, diameters, scales, strict=True):
        check_diameter(info, diameter, scale, SIZE_KEYS)
    if check_fit and coordinates is not None:
        by_name = dict(zip(infos, diameters, strict=True))
        _warn_of_misfit(infos, labels, by_name, coordinates, files)
    particle_px = scaling.network_px(diameters, scales)
    cached = cache_all(ordered, scales, particle_px, preprocessing, cache, start(len(ordered)))
    annotated = {}
    for name, found, scale in zip(infos, cached, scales, strict=True):
        (rows, columns), border = found.shape, files.border_px * scale
        if 2 * border >= min(rows, columns):
            raise CryofixError(
                f"data.border_px={files.border_px} leaves nothing of {found.source}, which is"
                f" {found.full_shape[0]} x {found.full_shape[1]} pixels; lower it"
            )
        annotated[name] = Annotated(
            micrograph=replace(found, name=name),
            particles=_scaled(labels.get(name), found.scale_xy),
            ignored=_scaled(unknown.get(name), found.scale_xy) or Particles.empty(),
            interior=(border, border, columns - 1 - border, rows - 1 - border),
        )
    in_angstrom = [
        diameter * info.pixel_size_angstrom
        for diameter, info in zip(diameters, ordered, strict=True)
        if info.pixel_size_angstrom is not None
    ]
    return Dataset(
        annotated=annotated,
        particle_px=particle_px,
        diameter_px=float(np.median(diameters)),
        diameter_angstrom=float(np.median(in_angstrom)) if in_angstrom else None,
    )


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
