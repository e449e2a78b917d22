"""STAR files that list micrographs, as RELION's import, motion correction and CTF jobs write."""

from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.formats.columns import numbers
from cryofix.formats.star import read_star

_NAME, _PIXEL_SIZE = "rlnMicrographName", "rlnMicrographPixelSize"


def listed_micrographs(path: Path) -> list[Path]:
    """Return the micrographs that a STAR file lists, in its order, each once.

    Names are relative to the working folder, which for RELION is that of the project. Some of the
    files may be missing, so that whoever reads them says so. Raises CryofixError if the table
    lists none, or none exists from here.
    """
    listed: dict[Path, None] = {}
    for table in read_star(path, [_NAME]):
        listed.update(dict.fromkeys(map(Path, table.columns.get(_NAME, []))))
    if not listed:
        raise CryofixError(
            f"{path} has no column {_NAME}, so it lists no micrographs: give the"
            " micrographs.star of a RELION job, a folder or a quoted pattern"
        )
    if not any(name.is_file() for name in listed):
        raise CryofixError(
            f"{path} lists {next(iter(listed))}, which is not below {Path.cwd()}, nor is any other"
            " of its micrographs: start in the folder of the RELION project"
        )
    return list(listed)


def listed_pixel_size(path: Path) -> float | None:
    """Return the pixel size, Angstrom, of all micrographs that a STAR file lists.

    It is None where the optics groups differ or do not say it.
    """
    sizes: set[float] = set()
    for table in read_star(path, [_PIXEL_SIZE]):
        given = table.columns.get(_PIXEL_SIZE, [])
        sizes.update(numbers(given, _PIXEL_SIZE, path, positive=True).tolist())
    return sizes.pop() if len(sizes) == 1 else None
