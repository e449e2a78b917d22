"""The formats of particle coordinates by name: what they can do, and which one a file is in."""

import inspect
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
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.option_keys import CommandKeys, keys_of_command, option_key
from cryofix.formats.tables import CoordinateFormat, YOrigin

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


def detect_format(path: str | Path, *, keys: CommandKeys | None = None) -> str:
    """Return the name of the format of a file or folder, judged by suffix and content.

    ``keys`` is that of `read_coordinates`.

    Raises CryofixError if ``path`` is missing or no format claims it.
    """
    path = Path(path)
    if not path.exists():
        raise CryofixError(f"{path} does not exist: check the path of the coordinates")
    for name, each in FORMATS.items():
        if each.read is not None and each.detect(path):
            return name
    with keys_of_command(keys):
        raise CryofixError(
            f"{path} is in no format that cryofix recognises: say {option_key('format')}=, one of "
            f"{', '.join(FORMATS)}"
        )


def find_format(name: str) -> CoordinateFormat:
    """Return the format of a name.

    Raises CryofixError if there is none.
    """
    if name not in FORMATS:
        raise CryofixError(
            f"{option_key('format')}={name} is not known: choose one of {', '.join(FORMATS)}"
        )
    return FORMATS[name]


def check_options(
    chosen: CoordinateFormat, function: Callable[..., Any], options: Mapping[str, Any]
) -> None:
    """Refuse options that a format's reader or writer does not have.

    Raises CryofixError naming the option, and those that there are.
    """
    known = list(inspect.signature(function).parameters)
    own = [name for name in known if name not in ("path", "entries")]
    for name in options:
        if name not in own:
            raise CryofixError(
                f"{option_key(name)} is no option of the format {chosen.name}: it has "
                f"{', '.join(map(option_key, own)) or 'none'}"
            )


def find_writer(
    name: str, y_origin: YOrigin | None, options: Mapping[str, Any]
) -> tuple[CoordinateFormat, Callable[..., list[Path]]]:
    """Return a format and its writer, after all checks that need no particles.

    Raises CryofixError if the format is unknown or cannot be written, lacks a y origin, or has not
    these options.
    """
    chosen = find_format(name)
    if chosen.write is None:
        raise CryofixError(f"cryofix reads the format {name}, it does not write it")
    check_options(chosen, chosen.write, options)
    _check_y_origin(chosen, y_origin)
    return chosen, chosen.write


def find_y_origin(chosen: CoordinateFormat, info: MicrographInfo, given: YOrigin | None) -> YOrigin:
    """Return where a micrograph's y counts from: as given, else as the format does.

    Raises CryofixError if the format leaves it open and nothing is given.
    """
    _check_y_origin(chosen, given)
    if given is None:
        assert chosen.y_origin is not None
        return chosen.y_origin(info)
    return given


def _check_y_origin(chosen: CoordinateFormat, given: YOrigin | None) -> None:
    key = option_key("y_origin")
    if given is None and chosen.y_origin is None:
        raise CryofixError(
            f"the format {chosen.name} needs {key}=top or {key}=bottom, because programs disagree "
            "on where it counts y from: try one and look at the particles"
        )
    if given not in (None, "top", "bottom"):
        raise CryofixError(f"{key}={given} is not known: choose top or bottom")
