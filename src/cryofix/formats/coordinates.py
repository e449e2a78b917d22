"""Particle coordinates of any supported program, in one frame; the registry of formats.

The frame: centre (x = column, y = row), float, 0-based, full-resolution pixels of the array that
`read_micrograph` returns. Everything about other frames ends in this package.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryofix.errors import CryofixError
from cryofix.formats import (
    cryolo,
    cryoppp,
    cryosparc,
    eman,
    point_json,
    relion,
    relion_particles,
    topaz,
)
from cryofix.formats.frames import (
    check_inside,
    concatenate,
    flipped,
    to_our_frame,
    without_duplicates,
)
from cryofix.formats.micrograph import MicrographInfo, micrograph_name
from cryofix.formats.tables import CoordinateFormat, Entry, Particles, Table, YOrigin

__all__ = [
    "FORMATS",
    "Particles",
    "YOrigin",
    "detect_format",
    "read_coordinates",
    "write_coordinates",
]

_log = logging.getLogger(__name__)

FORMATS: dict[str, CoordinateFormat] = {
    each.name: each
    for each in (
        cryoppp.CRYOPPP,
        relion.RELION,
        relion_particles.RELION_PARTICLES,
        cryolo.CRYOLO,
        eman.EMAN,
        topaz.TOPAZ,
        cryosparc.CRYOSPARC,
        point_json.POINTS,
        point_json.COCO,
    )
}
"""Every known format by name, in the order in which detection tries them."""


def detect_format(path: str | Path) -> str:
    """Return the name of the format of a file or folder, judged by suffix and content.

    Raises
    ------
    CryofixError
        If ``path`` is missing or no format claims it.
    """
    path = Path(path)
    if not path.exists():
        raise CryofixError(f"{path} does not exist: check the path of the coordinates")
    for name, each in FORMATS.items():
        if each.read is not None and each.detect(path):
            return name
    raise CryofixError(
        f"{path} is in no format that cryofix recognises: say format=, one of {', '.join(FORMATS)}"
    )


def read_coordinates(
    path: str | Path,
    micrographs: Mapping[str, MicrographInfo],
    *,
    format: str | None = None,
    y_origin: YOrigin | None = None,
    allow_empty: bool = False,
    **options: Any,
) -> dict[str, Particles]:
    """Read the particles of the given micrographs.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of files, one for each micrograph.
    micrographs : mapping
        Name to header, as `index_micrographs` makes it. Labels of other micrographs are ignored.
    format : str or None
        A key of `FORMATS`; None detects it.
    y_origin : {"top", "bottom"} or None
        Where the file counts y from: ``top`` is row 0 of the array, ``bottom`` means
        y = height - row. None takes the format's default.
    allow_empty : bool
        Whether a label file without particles means "looked at, and empty" (True) or is a
        mistake (False, an error).
    **options
        The format's own, for example ``downsample`` for Topaz.

    Returns
    -------
    dict
        Keys of ``micrographs`` that have labels. A micrograph that is absent is unlabelled,
        which is not the same as empty. Exact duplicates are removed, the best score kept.

    Raises
    ------
    CryofixError
        If the format is unknown, a value is no number or outside its image, no label matches
        any micrograph, or a micrograph has no particles and ``allow_empty`` is False.
    """
    path = Path(path)
    chosen = _format(format if format is not None else detect_format(path))
    if chosen.read is None:
        raise CryofixError(f"{path}: cryofix writes the format {chosen.name}, it does not read it")
    _check_options(chosen, chosen.read, options)
    if not path.exists():
        raise CryofixError(f"{path} does not exist: check the path of the coordinates")
    tables = list(chosen.read(path, **options))
    keys = _by_name(micrographs)
    matched: dict[str, list[Table]] = {}
    for table in tables:
        key = keys.get(micrograph_name(table.micrograph))
        if key is not None:
            matched.setdefault(key, []).append(table)
    if not matched:
        raise CryofixError(_no_match(path, tables, micrographs))
    if ignored := len(tables) - sum(map(len, matched.values())):
        _log.info("%s: ignored the labels of %d micrographs not in use", path, ignored)

    particles: dict[str, Particles] = {}
    duplicates = 0
    for key, its_tables in matched.items():
        info = micrographs[key]
        sources = sorted({str(table.source) for table in its_tables})
        if len(sources) > 1:
            raise CryofixError(
                f"{sources[0]} and {sources[1]} both label {info.path.name}: keep one of them"
            )
        origin = _y_origin(chosen, info, y_origin)
        merged = concatenate([to_our_frame(table, info, origin) for table in its_tables])
        unique = without_duplicates(merged)
        duplicates += len(merged) - len(unique)
        if len(unique) == 0 and not allow_empty:
            raise CryofixError(
                f"{sources[0]} lists no particles for {info.path.name}: remove it if the "
                "micrograph is unlabelled, or set allow_empty=true if it truly shows none"
            )
        particles[key] = unique
    if duplicates:
        _log.warning("%s: removed %d exact duplicates", path, duplicates)
    return particles


def write_coordinates(
    path: str | Path,
    particles: Mapping[str, Particles],
    micrographs: Mapping[str, MicrographInfo],
    *,
    format: str,
    y_origin: YOrigin | None = None,
    **options: Any,
) -> list[Path]:
    """Write particles in another program's format, atomically.

    Parameters
    ----------
    path : str or Path
        A folder for formats with a file for each micrograph, else a file.
    particles, micrographs : mapping
        By the same names; every micrograph in ``particles`` is needed in ``micrographs``.
    format : str
        A key of `FORMATS`.
    y_origin : {"top", "bottom"} or None
        As in `read_coordinates`.
    **options
        The format's own.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    CryofixError
        If the format is unknown, a micrograph is, or a particle is outside its image.
    """
    path = Path(path)
    chosen = _format(format)
    if chosen.write is None:
        raise CryofixError(f"{path}: cryofix reads the format {chosen.name}, it does not write it")
    _check_options(chosen, chosen.write, options)
    entries = []
    for key, each in particles.items():
        if key not in micrographs:
            raise CryofixError(
                f"there are particles for '{key}' and no such micrograph: give the micrographs "
                "that the particles were picked on"
            )
        info = micrographs[key]
        check_inside(each, info, path)
        bottom = _y_origin(chosen, info, y_origin) == "bottom"
        entries.append(Entry(info, flipped(each, info) if bottom else each))
    empty = sum(len(each) == 0 for each in particles.values())
    if empty and not chosen.keeps_empty:
        _log.warning(
            "%s: the format %s cannot name the %d micrographs without particles, so they will "
            "read back as unlabelled",
            path,
            chosen.name,
            empty,
        )
    return chosen.write(path, entries, **options)


def _format(name: str) -> CoordinateFormat:
    if name not in FORMATS:
        raise CryofixError(f"format={name} is not known: choose one of {', '.join(FORMATS)}")
    return FORMATS[name]


def _check_options(
    chosen: CoordinateFormat, function: Callable[..., Any], options: Mapping[str, Any]
) -> None:
    known = list(inspect.signature(function).parameters)
    own = [name for name in known if name not in ("path", "entries")]
    for name in options:
        if name not in own:
            raise CryofixError(
                f"{name} is no option of the format {chosen.name}: it has "
                f"{', '.join(own) or 'none'}"
            )


def _by_name(micrographs: Mapping[str, MicrographInfo]) -> dict[str, str]:
    """Map what labels are matched by to the caller's keys, which may still carry extensions."""
    keys: dict[str, str] = {}
    for key in micrographs:
        name = micrograph_name(key)
        if name in keys:
            raise CryofixError(
                f"the micrographs '{keys[name]}' and '{key}' are both called '{name}': rename "
                "one, or leave one out"
            )
        keys[name] = key
    return keys


def _no_match(path: Path, tables: list[Table], micrographs: Mapping[str, MicrographInfo]) -> str:
    if not tables:
        return f"{path} holds no coordinates: check the path and the format"
    if not micrographs:
        return f"{path}: there are no micrographs to match its labels with: check their path"
    return (
        f"{path}: no label belongs to any of the {len(micrographs)} micrographs; the labels are "
        f"called like '{micrograph_name(tables[0].micrograph)}', the micrographs like "
        f"'{micrograph_name(next(iter(micrographs)))}': check that they are of one data set"
    )


def _y_origin(chosen: CoordinateFormat, info: MicrographInfo, given: YOrigin | None) -> YOrigin:
    if given is None:
        if chosen.y_origin is None:
            raise CryofixError(
                f"the format {chosen.name} needs y_origin=top or y_origin=bottom, because "
                "programs disagree on where it counts y from: try one and look at the particles"
            )
        return chosen.y_origin(info)
    if given not in ("top", "bottom"):
        raise CryofixError(f"y_origin={given} is not known: choose top or bottom")
    return given
