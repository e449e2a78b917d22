"""Particle coordinates of any supported program, in one frame.

The frame: centre (x = column, y = row), float, 0-based, full-resolution pixels of the array that
`read_micrograph` returns. Everything about other frames ends in this package.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryofix.errors import CryofixError, check_known
from cryofix.formats.frames import Outside, Remarks, check_inside, to_our_frame, without_duplicates
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.names import image_stem, micrograph_name
from cryofix.formats.option_keys import CommandKeys, keys_of_command, option_key
from cryofix.formats.registry import (
    check_options,
    detect_format,
    find_format,
    find_writer,
    find_y_origin,
)
from cryofix.formats.tables import Entry, Particles, Table, YOrigin

_log = logging.getLogger(__name__)


def read_coordinates(
    path: str | Path,
    micrographs: Mapping[str, MicrographInfo],
    *,
    format: str | None = None,
    y_origin: YOrigin | None = None,
    allow_empty: bool = False,
    outside: Outside = "error",
    keys: CommandKeys | None = None,
    **options: Any,
) -> dict[str, Particles]:
    """Read the particles of the given micrographs.

    Raises CryofixError if the format is unknown, a value is no number or outside its image, no
    label matches any micrograph, or a micrograph has no particles and ``allow_empty`` is False.

    Parameters
    ----------
    path
        A file, or a folder of files, one for each micrograph.
    micrographs
        Name to header, as `index_micrographs` makes it. Labels of other micrographs are ignored.
    format
        A key of `FORMATS`; None detects it.
    y_origin
        None takes the format's default.
    allow_empty
        Whether a label file without particles means "looked at, and empty" (True) or is a
        mistake (False, an error).
    outside
        What happens to particles whose centre is outside the image by more than half a diameter
        (where none is known, by more than 1 % of its longer side). Those that are less far
        outside are kept, with a warning.
    keys
        What the command calls these options, for messages.
    **options
        The format's own, for example ``downsample`` for Topaz.

    Returns
    -------
    dict
        Keys of ``micrographs`` that have labels. A micrograph that is absent is unlabelled,
        which is not the same as empty. Exact duplicates are removed, the best score kept.
    """
    path, particles, remarks = Path(path), {}, Remarks()
    with keys_of_command(keys):
        check_known(option_key("outside"), outside, ("error", "drop"))
        chosen = find_format(format if format is not None else detect_format(path))
        check_options(chosen, chosen.read_options, options)
        if not path.exists():
            raise CryofixError(f"{path} does not exist: check the path of the coordinates")
        tables = chosen.tables(path, options)
        matched = _by_name(micrographs, tables)
        if not matched:
            raise CryofixError(_no_match(path, tables, micrographs))
        if ignored := len(tables) - sum(map(len, matched.values())):
            _log.info("%s: ignored the labels of %d micrographs not in use", path, ignored)
        for key, its_tables in matched.items():
            info = micrographs[key]
            _check_one_source(its_tables, info)
            origin = find_y_origin(chosen, info, y_origin)
            merged = Particles.joined(
                [
                    to_our_frame(table, info, origin, outside, remarks, chosen.last_row)
                    for table in its_tables
                ]
            )
            particles[key] = without_duplicates(merged)
            remarks.duplicates += len(merged) - len(particles[key])
            if len(merged) == 0 and not allow_empty:
                raise CryofixError(
                    f"{its_tables[0].source} lists no particles for {info.path.name}: remove it if "
                    f"the micrograph is unlabelled, or set {option_key('allow_empty')}=true if it "
                    "truly shows none"
                )
    for sentence in remarks.sentences():
        _log.warning("%s: %s", path, sentence)
    return particles


def file_y_origin(
    path: str | Path,
    info: MicrographInfo,
    *,
    format: str | None = None,
    y_origin: YOrigin | None = None,
    keys: CommandKeys | None = None,
) -> YOrigin:
    """Return where y counts from in a file of coordinates of a micrograph, as they are read."""
    with keys_of_command(keys):
        chosen = find_format(format if format is not None else detect_format(path))
        return find_y_origin(chosen, info, y_origin)


def write_coordinates(
    path: str | Path,
    particles: Mapping[str, Particles],
    micrographs: Mapping[str, MicrographInfo],
    *,
    format: str,
    y_origin: YOrigin | None = None,
    keys: CommandKeys | None = None,
    **options: Any,
) -> list[Path]:
    """Write particles in another program's format, atomically; return the files.

    Raises CryofixError if the format is unknown, a micrograph is, or a particle is outside its
    image.

    Parameters
    ----------
    path
        A folder for formats with a file for each micrograph, else a file.
    particles, micrographs
        By the same names; every micrograph in ``particles`` is needed in ``micrographs``.
    format, y_origin, keys, **options
        As in `read_coordinates`.
    """
    path, entries = Path(path), []
    with keys_of_command(keys):
        chosen = find_writer(format, y_origin, options)
        for key, each in particles.items():
            if key not in micrographs:
                raise CryofixError(
                    f"there are particles for '{key}' and no such micrograph: give the micrographs "
                    "that the particles were picked on"
                )
            info = micrographs[key]
            try:
                str(info.path).encode()
            except UnicodeEncodeError:
                raise CryofixError(
                    f"{str(info.path)!r} is not UTF-8, as the names in coordinate files have to be:"
                    " rename the micrograph"
                ) from None
            check_inside(each, info, path)
            bottom = find_y_origin(chosen, info, y_origin) == "bottom"
            entries.append(Entry(info, each.flipped(info, chosen.last_row) if bottom else each))
        empty = sum(len(each) == 0 for each in particles.values())
        if empty and not chosen.keeps_empty:
            _log.warning(
                "%s: the format %s cannot name the %d micrographs without particles, so they will "
                "read back as unlabelled",
                path,
                chosen.name,
                empty,
            )
        return chosen.put(path, entries, options)


def _check_one_source(tables: list[Table], info: MicrographInfo) -> None:
    """Refuse tables of one micrograph that two files, or two names, give."""
    sources = sorted({str(table.source) for table in tables})
    if len(sources) > 1:
        raise CryofixError(
            f"{sources[0]} and {sources[1]} both label {info.path.name}: keep one of them"
        )
    names = list(dict.fromkeys(re.sub(r"\.\w+$", "", table.micrograph) for table in tables))
    if len(names) > 1:
        raise CryofixError(
            f"{sources[0]} labels '{names[0]}' and '{names[1]}', which may both be "
            f"{info.path.name}: keep the labels of one of them"
        )


def _by_name(
    micrographs: Mapping[str, MicrographInfo], tables: list[Table]
) -> dict[str, list[Table]]:
    """Give each micrograph, by the caller's keys, the tables of its name.

    A name is matched without cryoSPARC's number only where it does not match with it.
    """
    whole: dict[str, list[str]] = {}
    short: dict[str, list[str]] = {}
    for key in micrographs:
        whole.setdefault(image_stem(key), []).append(key)
        short.setdefault(micrograph_name(key), []).append(key)
    matched: dict[str, list[Table]] = {}
    for table in tables:
        name = table.micrograph
        found = whole.get(image_stem(name)) or short.get(micrograph_name(name), [])
        if len(found) > 1:
            raise CryofixError(
                f"{table.source} labels '{name}', which may be '{found[0]}' or '{found[1]}':"
                " rename one of these micrographs, or leave one out"
            )
        if found:
            matched.setdefault(found[0], []).append(table)
    return matched


def _no_match(path: Path, tables: list[Table], micrographs: Mapping[str, MicrographInfo]) -> str:
    if not tables:
        return f"{path} holds no coordinates: check the path and the format"
    if not micrographs:
        return f"{path}: there are no micrographs to match its labels with: check their path"
    label, names = micrograph_name(tables[0].micrograph), list(map(micrograph_name, micrographs))
    start = max((name for name in names if label.startswith(name)), key=len, default=names[0])
    remedy = "check that they are of one data set"
    if label.startswith(start) and tables[0].source.suffix == ".star":
        remedy += f", or set {option_key('suffix')}={label.removeprefix(start)}.star"
    return (
        f"{path}: no label belongs to any of the {len(micrographs)} micrographs; the labels are "
        f"called like '{label}', the micrographs like '{start}': {remedy}"
    )
