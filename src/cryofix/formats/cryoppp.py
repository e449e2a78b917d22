"""CryoPPP: a folder with one CSV for each micrograph.

``<stem>.csv`` has the columns ``X-Coordinate,Y-Coordinate,Diameter`` first (pixels), then
perhaps angles and CTF values, which are ignored. y is counted from the last row of an MRC
(y = H - row); in the JPEG and PNG copies it is the row. A micrograph without a CSV is
unlabelled, not empty.

Source: Dhakal et al., Scientific Data 10, 392 (2023).
"""

from collections.abc import Iterator
from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.formats.columns import read_columns, to_particles
from cryofix.formats.tables import AS_DISPLAYED, Format, Particles, Table, write_table

_X, _Y, _DIAMETER, _SCORE = "X-Coordinate", "Y-Coordinate", "Diameter", "Score"
# Spellings seen in CSVs, as `plain_name` makes them.
_SPELLINGS = {
    _X: ("xcoordinate", "x", "xcoord", "centerx", "xcenter"),
    _Y: ("ycoordinate", "y", "ycoord", "centery", "ycenter"),
    _DIAMETER: ("diameter", "diameterpx"),
    _SCORE: ("score", "confidence"),
}
_LAYOUT = "it needs a header line X-Coordinate,Y-Coordinate,Diameter and one line for each particle"


def plain_name(name: str) -> str:
    """Return a column's name without case, blanks, dashes, underscores and what is in brackets."""
    before, _, rest = name.partition("(")
    name = before + rest.rpartition(")")[2]
    return "".join(each for each in name.lower() if not each.isspace() and each not in "_-")


def read_cryoppp(path: Path) -> Iterator[Table]:
    """Read one CSV; without a column of x and one of y it is a CryofixError."""
    wanted = [each for spellings in _SPELLINGS.values() for each in spellings]
    header, found = read_columns(path, ",", wanted, _LAYOUT, plain_name)
    columns = {
        name: found[each]
        for name, spellings in _SPELLINGS.items()
        for each in reversed(spellings)  # of several, the first counts
        if each in found
    }
    if not {_X, _Y} <= set(columns):
        raise CryofixError(
            f"{path} has the columns {', '.join(header):.80}: it needs X-Coordinate and "
            "Y-Coordinate"
        )
    particles = to_particles(columns, path, _X, _Y, score=_SCORE, diameter=[_DIAMETER])
    yield Table(path.stem, path, particles)


def write_cryoppp(path: Path, particles: Particles, diameter_px: float | None = None) -> None:
    """Write the CSV of one micrograph; scores, where there are any, stand in a last column.

    ``diameter_px`` is for particles without a diameter of their own. Without either there is no
    such column.
    """
    columns = {
        _X: particles.x,
        _Y: particles.y,
        _DIAMETER: particles.diameters(diameter_px),
        _SCORE: particles.score,
    }
    known = {name: values for name, values in columns.items() if values is not None}
    write_table(path, known, ",", header=True)


CRYOPPP = Format(
    "cryoppp",
    (".csv",),
    read_cryoppp,
    write_cryoppp,
    # A data set's folder (the one above ``ground_truth``), or a folder of CSVs.
    folders=("ground_truth/particle_coordinates/*.csv", "particle_coordinates/*.csv", "**/*.csv"),
    no_files="CSV files: give the folder with one <micrograph>.csv for each labelled micrograph",
    from_bottom=AS_DISPLAYED,
    alias="csv",
)
