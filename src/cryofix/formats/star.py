"""STAR files: reads the tables that are asked for, writes what RELION and crYOLO read."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import starfile

from cryofix.errors import CryofixError, explained
from cryofix.files import atomic_write
from cryofix.formats.columns import column_places

# A value in quotes ends at a quote with a blank behind it, any other at a blank; # is a comment.
_VALUE = re.compile(rb"""\s*(?:"(.*?)"(?=\s|$)|'(.*?)'(?=\s|$)|([^\s"'#]\S*)|(\#.*)?$)""")


@dataclass
class StarTable:
    """The wanted columns of one loop; single values of a block are a table of one row."""

    block: str
    """Name of the block, without ``data_``."""
    single: bool
    header: list[str] = field(default_factory=list)
    row: list[bytes] = field(default_factory=list)
    """Of single values, while they are read."""
    places: dict[str, int] | None = None
    """Of the wanted columns in the header; None before the first row."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Name without underscore to text, a value for each row, of the wanted columns it has."""

    def begin(self, wanted: Collection[str], path: Path) -> dict[str, int]:
        """Return the places, once no more names can follow."""
        if self.places is None:
            self.places = column_places(self.header, wanted, str(path))
            self.columns = {name: [] for name in self.places}
        return self.places

    def add(self, values: list[bytes], number: int, wanted: Collection[str], path: Path) -> None:
        """Add the values of one line."""
        places = self.begin(wanted, path)
        if len(values) != len(self.header):
            raise ValueError(
                f"line {number} has {len(values)} values under {len(self.header)} names; a value "
                "with blanks needs quotes"
            )
        for name, place in places.items():
            try:
                self.columns[name].append(values[place].decode())
            except UnicodeDecodeError:
                raise CryofixError(
                    f"{path}, line {number}: {name} is {values[place]!r:.60}, which is not UTF-8: "
                    "convert the file, for example with iconv -f latin1 -t utf-8"
                ) from None


def read_star(path: Path, wanted: Collection[str]) -> list[StarTable]:
    """Return all tables of a STAR file, in order; blocks may share a name.

    starfile does not read them, because it keeps the last of several blocks of one name, ends a
    value at any ``#``, takes other encodings for empty files, and a minute for 20 000 blocks.

    ``wanted`` are names of columns, without underscore; others are not kept. Raises CryofixError
    if the file is no STAR file, a wanted column is there twice, or a wanted value is not UTF-8.
    """
    if not path.is_file():
        raise CryofixError(f"{path} does not exist: check the path")
    what, remedy = f"{path} cannot be read as a STAR file", "it is damaged, or of another format"
    with explained(what, remedy, ValueError, OSError):
        tables = _tables(path, wanted)
        for table in tables:
            table.begin(wanted, path)
            if table.single:
                table.add(table.row, 0, wanted, path)
        return tables


def _tables(path: Path, wanted: Collection[str]) -> list[StarTable]:
    tables: list[StarTable] = []
    block: str | None = None
    table: StarTable | None = None  # that the next line belongs to
    for number, line in _lines(path):
        if line.startswith(b"data_"):
            block, table = _block_name(line, path), None
        elif block is None:
            continue
        elif line.startswith(b"loop_"):
            table = StarTable(block, single=False)
            tables.append(table)
        elif line.startswith(b"_") and (table is None or table.places is None):
            if table is None:
                table = StarTable(block, single=True)
                tables.append(table)
            name, *values = _values(line, number)
            if table.single and len(values) != 1:
                raise ValueError(f"line {number} has {len(values)} values for one name")
            table.header.append(name[1:].decode(errors="replace"))
            table.row += values if table.single else []
        elif table is not None and not table.single:
            table.add(_values(line, number), number, wanted, path)
    return tables


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers, without blanks at the ends, empty ones and comments."""
    number = 0
    with path.open("rb") as file:
        for chunk in file:
            for line in chunk.splitlines():  # old files end lines with a carriage return alone
                number += 1
                if number == 1:
                    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                        raise ValueError("it is in UTF-16: save it as UTF-8")
                    line = line.removeprefix(b"\xef\xbb\xbf")
                line = line.strip()
                if line and not line.startswith(b"#"):
                    yield number, line


def _block_name(line: bytes, path: Path) -> str:
    name = line.removeprefix(b"data_").partition(b"#")[0].decode(errors="replace").rstrip()
    if len(name.split()) > 1 or "/" in name:
        raise CryofixError(
            f"{path} has a row that begins with data_{name:.40}, which STAR takes for a new "
            "block: write the coordinates before the name, or put the name in quotes"
        )
    return name


def _values(line: bytes, number: int) -> list[bytes]:
    if not any(mark in line for mark in b"\"'#"):
        return line.split()
    values, place = [], 0
    while place < len(line):
        found = _VALUE.match(line, place)
        if found is None:
            raise ValueError(f"line {number} has a quote without its partner")
        place = found.end()
        values += [group for group in found.groups()[:3] if group is not None]
    return values


def write_star(path: Path, blocks: Mapping[str, pd.DataFrame | dict[str, Any]]) -> None:
    """Write the blocks atomically; tables as loops, dicts as simple blocks."""
    quoted = {
        name: block.map(_quoted) if isinstance(block, pd.DataFrame) else block
        for name, block in blocks.items()
    }
    with atomic_write(path) as temporary:
        starfile.write(quoted, temporary)


def star_name(name: str) -> str:
    """Return ``name``; one with what ends a value for readers of STAR files is a CryofixError."""
    if any(character in "\"'#" or ord(character) < 32 for character in name):
        raise CryofixError(
            f"the name {name!r} holds a quote, # or a control character, which STAR files "
            "cannot: rename the file or the folder, or choose another format"
        )
    return name


def _quoted(value: Any) -> Any:
    """Put quotes round text that a parser would take for a block or a column.

    starfile itself quotes what holds blanks; RELION understands quotes since 3.1.
    """
    if isinstance(value, str) and value.startswith(("data_", "_", "loop_")) and " " not in value:
        return f'"{value}"'
    return value
