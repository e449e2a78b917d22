"""STAR files through the package ``starfile``, with its silent failures turned into errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import starfile

from cryofix.errors import CryofixError
from cryofix.files import atomic_write

# starfile would turn "0012" into the number 12.
_TEXT = ["rlnMicrographName", "rlnMicrographCoordinates"]


def read_star(path: Path) -> dict[str, pd.DataFrame]:
    """Return the loops of a STAR file by block name, column names without underscore.

    Raises
    ------
    CryofixError
        If the file is no STAR file, or has rows that starfile takes for the start of a block.
    """
    if not path.is_file():
        raise CryofixError(f"{path} does not exist: check the path")
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=_TEXT)
    except Exception as error:  # starfile's parser raises almost anything
        raise CryofixError(
            f"{path} cannot be read as a STAR file ({type(error).__name__}: {error}): it is "
            "damaged, or of another format"
        ) from error
    for name in blocks:
        if len(name.split()) > 1 or "/" in name:
            raise CryofixError(
                f"{path} has a row that begins with data_{name:.40}, which STAR takes for a new "
                "block: write the coordinates before the name, or put the name in quotes"
            )
    return {name: block for name, block in blocks.items() if isinstance(block, pd.DataFrame)}


def write_star(path: Path, blocks: Mapping[str, pd.DataFrame | dict[str, Any]]) -> None:
    """Write the blocks atomically; tables as loops, dicts as simple blocks."""
    quoted = {
        name: block.map(_quoted) if isinstance(block, pd.DataFrame) else block
        for name, block in blocks.items()
    }
    with atomic_write(path) as temporary:
        starfile.write(quoted, temporary)


def star_name(name: str) -> str:
    """Return ``name`` if a STAR file can hold it.

    Raises
    ------
    CryofixError
        If it holds a quote, a hash or a control character (readers end the value there).
    """
    if any(character in "\"'#" or ord(character) < 32 for character in name):
        raise CryofixError(
            f"the name {name!r} holds a quote, # or a control character, which STAR files "
            "cannot: rename the micrograph"
        )
    return name


def _quoted(value: Any) -> Any:
    """Put quotes round text that a parser would take for a block or a column.

    starfile itself quotes what holds blanks; RELION understands quotes since 3.1.
    """
    if isinstance(value, str) and value.startswith(("data_", "_", "loop_")) and " " not in value:
        return f'"{value}"'
    return value
