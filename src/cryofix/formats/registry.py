"""The formats of particle coordinates by name, and which one a file is in."""

from collections.abc import Iterable
from pathlib import Path

from cryofix.errors import CryofixError, check_known
from cryofix.formats.cryolo import CRYOLO
from cryofix.formats.cryoppp import CRYOPPP
from cryofix.formats.cryosparc import CRYOSPARC
from cryofix.formats.eman import EMAN
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.names import image_kind
from cryofix.formats.option_keys import CommandKeys, keys_of_command, option_key
from cryofix.formats.point_json import COCO, POINTS
from cryofix.formats.relion import RELION, RELION_PARTICLES
from cryofix.formats.tables import Format, YOrigin
from cryofix.formats.topaz import TOPAZ

_ALL = (CRYOPPP, RELION, RELION_PARTICLES, CRYOLO, EMAN, TOPAZ, CRYOSPARC, POINTS, COCO)
FORMATS: dict[str, Format] = {each.name: each for each in _ALL}
"""Every known format by name, in the order in which detection tries them."""

_BY_SUBFOLDERS = (*_ALL[1:], CRYOPPP)
"""The same for what only subfolders hold: programs write other things as CSV, so it comes last."""

ALIASES = {each.alias: name for name, each in FORMATS.items() if each.alias}
"""What people call formats by their suffix, which every command takes as well."""


def detect_format(path: str | Path, *, keys: CommandKeys | None = None) -> str:
    """Return the name of the format of a file or folder, judged by suffix and content.

    A CryofixError, with the ``keys`` of a command, says if it is missing or in no format.
    """
    path = Path(path)
    if not path.exists():
        raise CryofixError(f"{path} does not exist: check the path of the coordinates")
    for name, each in FORMATS.items():
        if each.detect(path):
            return name
    for each in _BY_SUBFOLDERS:
        if each.detect(path, below=True):
            return each.name
    with keys_of_command(keys):
        raise CryofixError(
            f"{path} is in no format that cryofix recognises: say {option_key('format')}=, one of "
            f"{', '.join(FORMATS)}"
        )


def find_format(name: str) -> Format:
    """Return the format of a name or an alias; a CryofixError says if there is none."""
    known = ALIASES.get(name, name)
    if known not in FORMATS:
        raise CryofixError(
            f"{option_key('format')}={name} is not known: choose one of"
            f" {', '.join([*FORMATS, *ALIASES])}"
        )
    return FORMATS[known]


def check_options(chosen: Format, own: list[str], given: Iterable[str]) -> None:
    """Refuse options that a format's reader or writer does not have, naming those that it has."""
    for name in given:
        if name not in own:
            raise CryofixError(
                f"{option_key(name)} is no option of the format {chosen.name}: it has "
                f"{', '.join(map(option_key, own)) or 'none'}"
            )


def find_writer(name: str, y_origin: str | None, options: Iterable[str]) -> Format:
    """Return a format to write; a CryofixError says if it is unknown or what it lacks."""
    chosen = find_format(name)
    check_options(chosen, chosen.write_options, options)
    _check_y_origin(chosen, y_origin)
    return chosen


def find_y_origin(chosen: Format, info: MicrographInfo, given: YOrigin | None) -> YOrigin:
    """Return where y counts from: as given, else as the format says; else it is a CryofixError."""
    _check_y_origin(chosen, given)
    if given is None and chosen.from_bottom:
        return "bottom" if image_kind(info.path) in chosen.from_bottom else "top"
    return given or "top"


def _check_y_origin(chosen: Format, given: str | None) -> None:
    key = option_key("y_origin")
    if given is None and chosen.from_bottom is None:
        raise CryofixError(
            f"the format {chosen.name} needs {key}=top or {key}=bottom, because programs disagree "
            "on where it counts y from: try one and look at the particles"
        )
    if given is not None:
        check_known(key, given, ("top", "bottom"))
