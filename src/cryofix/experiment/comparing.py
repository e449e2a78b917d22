"""From a data module to what the comparison of programs wants to know of it."""

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.tiles import Annotated
from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo
from cryofix.metrics.programs import Labelled

PARTS = ("test", "validation", "labelled", "unlabelled", "all")


def annotated_part(data: CryoDataModule, part: str) -> list[Annotated]:
    """Return the micrographs of a part that have labels.

    Raises CryofixError if none has, or there is no such part.
    """
    if part not in PARTS:
        raise CryofixError(f"part={part} is not known; use one of {', '.join(PARTS)}")
    if part == "validation":  # which may be blocks of labelled micrographs
        annotated = data.part(part)
    else:
        parts = PARTS[:-1] if part == "all" else (part,)
        names = [name for each in parts for name in getattr(data.split, each)]
        annotated = [data.dataset.annotated[name] for name in names]
    known = [each for each in annotated if each.particles is not None]
    if not known:
        other = "part=validation or part=all" if part == "test" else "another part"
        raise CryofixError(f"part={part} has no micrograph with coordinates: use {other}")
    return known


def labelled_part(data: CryoDataModule, part: str) -> dict[str, Labelled]:
    """Return what picks in the micrographs of a part are compared with, by name."""
    return {
        each.micrograph.name: Labelled(
            info=header(each),
            particles=each.particles,
            ignored=each.ignored,
            scale_xy=each.micrograph.scale_xy,
            diameter=data.dataset.particle_px,
            area=each.area,
        )
        for each in annotated_part(data, part)
        if each.particles is not None
    }


def headers(data: CryoDataModule) -> dict[str, MicrographInfo]:
    """Return the headers of all micrographs, by name."""
    return {name: header(each) for name, each in data.dataset.annotated.items()}


def header(annotated: Annotated) -> MicrographInfo:
    """Return what a micrograph's own file says."""
    cached = annotated.micrograph
    return MicrographInfo(cached.source, cached.full_shape, cached.pixel_size_angstrom)
