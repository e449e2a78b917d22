"""Reading small files that nobody vouches for.

A sweep folder may hold files that were cut off by a full disk, written by another version of
cryofix, or made by somebody else. Whatever they hold, reading one costs bounded memory and ends
in a value of the promised type or in :class:`Unreadable`; nothing else is raised.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

MAX_BYTES = 4 * 2**20
"""Largest file that is read; a real ``results.json`` of 1 000 micrographs has under 1 MB."""

MOST_OVERRIDES, LONGEST_OVERRIDE = 1_000, 200_000

MAX_DEPTH, MAX_EVENTS = 50, 50_000
"""Of YAML; what Hydra writes of a sweep has 10 and some hundreds. The C loader recurses."""

# C where PyYAML was built with it. It makes texts of all scalars, so that no tag does anything and
# a merge of merges (``<<``) is not multiplied out.
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class Unreadable(Exception):  # noqa: N818 - an outcome that is listed, not an error of the program
    """Why a file could not be read, in a few words that a table can show."""


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """Return the text of a regular file of at most ``limit`` bytes.

    Raises Unreadable: the file is absent, a pipe or device, too large, or not UTF-8.
    """
    try:
        with _opened(path) as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise Unreadable(f"{path.name}: {error.strerror or error}") from error
    if len(content) > limit:
        raise Unreadable(f"{path.name} has more than {limit / 2**20:g} MB")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path.name} is not UTF-8 text") from error


def tail(path: Path, limit: int = 4_000) -> str:
    """Return the last ``limit`` bytes of a log as clean lines; nothing if it cannot be read."""
    try:
        with _opened(path) as stream:
            stream.seek(max(0, path.stat().st_size - limit))
            return lines(stream.read(limit).decode(errors="replace"), limit)
    except (OSError, Unreadable):
        return ""


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    # Not blocking, because a named pipe would otherwise wait for a writer for ever.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise Unreadable(f"{path.name} is not a regular file")
        yield stream


def last_change(path: Path) -> float:
    """Return when a file or folder was changed last, in seconds; 0 when it has gone meanwhile."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def read_json(path: Path) -> Mapping[str, object]:
    """Return the object that a JSON file holds; NaN and infinity become ``None``."""
    content = read_text(path)
    try:
        value = json.loads(content, parse_constant=lambda _: None)
    except RecursionError as error:
        raise Unreadable(f"{path.name} is nested too deeply") from error
    except ValueError as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Unreadable(f"{path.name} is not valid JSON{where} (cut off?)") from error
    if not isinstance(value, dict):
        raise Unreadable(f"{path.name} holds a {type(value).__name__}, not an object")
    return value


def read_yaml(path: Path) -> object:
    """Return what a YAML file holds: texts in lists and mappings, whatever its tags say.

    Raises Unreadable: the file is no YAML, or nested deeper or longer than any that Hydra writes.
    """
    content = read_text(path)
    try:
        depth = 0
        for count, event in enumerate(yaml.parse(content, _Loader)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH or count > MAX_EVENTS:
                raise Unreadable(f"{path.name} is nested too deeply, or too long")
        return yaml.load(content, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is not valid YAML") from error


def number(value: object, low: float = -math.inf, high: float = math.inf) -> float | None:
    """Return ``value`` as a finite float within ``[low, high]``, or ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if math.isfinite(converted) and low <= converted <= high else None


def integer(value: object) -> int | None:
    """Return ``value`` if it is an int of at most 64 bits, otherwise ``None``."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        return None
    return value


def text(value: object, limit: int = 200) -> str:
    """Return a string as one clean line of at most ``limit`` characters; other types give ''.

    Control characters go, because a terminal would obey them, and so do the characters that
    change the direction of writing, because they can make one name look like another.
    """
    if not isinstance(value, str):
        return ""
    line = " ".join(value[: 4 * limit].split())
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def lines(value: object, limit: int = 4_000) -> str:
    """Return the last ``limit`` characters of a text, each line clean, with its indentation."""
    if not isinstance(value, str):
        return ""
    clean = []
    for line in value[-limit:].splitlines():
        indent = len(line) - len(line.lstrip(" "))
        clean.append(" " * min(indent, 40) + text(line, 500))
    return "\n".join(clean)


def mapping(value: object) -> Mapping[str, object]:
    """Return ``value`` if it is a dict, keeping string keys only, otherwise an empty one."""
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(key, str)}


def sequence(value: object, limit: int = 10_000) -> Sequence[object]:
    """Return at most ``limit`` items of a list; other types give an empty one."""
    return value[:limit] if isinstance(value, list) else []


def planned(folder: Path) -> Mapping[str, object]:
    """Return what ``multirun.yaml`` keeps of Hydra's configuration of a sweep."""
    return mapping(mapping(read_yaml(folder / "multirun.yaml")).get("hydra"))


def override_lines(value: object) -> list[str]:
    """Return the overrides in a list as they were typed, because they make commands again.

    Raises Unreadable for what is too long, or no line of text: `text` would cut it.
    """
    if not isinstance(value, list):
        return []
    if len(value) > MOST_OVERRIDES:
        raise Unreadable(f"it lists {len(value)} overrides, more than {MOST_OVERRIDES}")
    for item in value:
        if not isinstance(item, str) or len(item) > LONGEST_OVERRIDE or not item.isprintable():
            raise Unreadable(f"the override {text(item, 80)} is no line of text, or too long")
    return value
