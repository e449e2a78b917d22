"""Tables in text files with a separator: CryoPPP's and Topaz's."""

import csv
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from cryofix.errors import CryofixError, reason


def read_columns(
    path: Path,
    separator: str,
    wanted: Collection[str],
    needs: str,
    plain: Callable[[str], str] = str.strip,
) -> tuple[list[str], dict[str, list[str]]]:
    """Read some columns of a table whose first line names them.

    Raises CryofixError if the file is no such text, a row has more values than there are names, or
    a wanted column is there twice.

    Parameters
    ----------
    path
        UTF-8 text; quotes may stand round values.
    separator
        One character.
    wanted
        Names of columns.
    needs
        What the program writes, for messages.
    plain
        From a name in the file to what ``wanted`` calls it.

    Returns
    -------
    header
        All names as they are in the file.
    columns
        Name to values, of the wanted columns that are there. Values missing at the end of a row
        are empty.
    """
    rows = _rows(path, separator, needs)
    header = next(rows)
    places = column_places(list(map(plain, header)), wanted, str(path))
    columns: dict[str, list[str]] = {name: [] for name in places}
    for row in rows:
        for name, place in places.items():
            columns[name].append(row[place] if place < len(row) else "")
    return header, columns


def column_places(header: Sequence[str], wanted: Collection[str], where: str) -> dict[str, int]:
    """Return the places of the wanted columns in a header.

    Raises CryofixError if one is there twice, since nobody knows which of them is meant.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        if name in places:
            raise CryofixError(f"{where} has the column {name} twice: remove one of them")
        if name in wanted:
            places[name] = place
    return places


def plain_name(name: str) -> str:
    """Return a column's name without case, blanks, dashes, underscores and what is in brackets."""
    before, _, rest = name.partition("(")
    name = before + rest.rpartition(")")[2]
    return "".join(each for each in name.lower() if not each.isspace() and each not in "_-")


def _rows(path: Path, separator: str, needs: str) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
            width = 0
            for row in reader:
                if not any(row):
                    continue
                width = width or len(row)
                if any(row[width:]):
                    raise ValueError(
                        f"line {reader.line_num} has {len(row)} values under {width} names"
                    )
                yield row
            if not width:
                raise ValueError("it is empty")
    except (ValueError, OSError, csv.Error) as error:
        raise CryofixError(f"{path} cannot be read ({reason(error)}): {needs}") from error
