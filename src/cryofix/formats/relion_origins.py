"""How far refined particles lie from their coordinates in a RELION STAR: ``rlnOrigin...``.

A particle's true centre in its micrograph is the coordinate minus the origin. RELION 3.1 gives
origins in Angstrom; before that they are pixels of the particle's image, whose size follows from
``rlnDetectorPixelSize`` (micrometres) and ``rlnMagnification``.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cryofix.formats.star import StarTable
from cryofix.formats.tables import Origins
from cryofix.formats.values import numbers

_OPTICS = ("rlnOpticsGroup", "rlnMicrographPixelSize")
_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
_PIXELS = ("rlnOriginX", "rlnOriginY")
_MICROSCOPE = ("rlnDetectorPixelSize", "rlnMagnification")
COLUMNS = (*_OPTICS, *_ANGSTROM, *_PIXELS, *_MICROSCOPE)
"""What `read_origins` needs of a STAR."""


def read_origins(table: StarTable, tables: Sequence[StarTable], path: Path) -> Origins | None:
    """Return the origins of a table's particles; None where there are none, or all are 0.

    Raises CryofixError if a value is no number.

    Parameters
    ----------
    table : StarTable
        Of particles.
    tables : sequence of StarTable
        All of the file, among them the optics groups, which may say the micrographs' pixel size.
    path : Path
        The file, for messages.
    """
    columns = table.columns
    names = next((each for each in (_ANGSTROM, _PIXELS) if set(each) <= set(columns)), None)
    if names is None:
        return None
    x, y = (np.nan_to_num(numbers(columns[name], name, path, optional=True)) for name in names)
    if not (x.any() or y.any()):
        return None
    if names == _PIXELS:
        size = np.full(len(x), np.nan)
        if set(_MICROSCOPE) <= set(columns):
            micrometres, magnification = (
                numbers(columns[name], name, path, positive=True) for name in _MICROSCOPE
            )
            size = micrometres * 1e4 / magnification
        x, y = (np.where(each == 0, 0, each * size) for each in (x, y))
    return Origins(x, y, _pixel_sizes(table, tables, path, len(x)))


def _pixel_sizes(
    table: StarTable, tables: Sequence[StarTable], path: Path, count: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the micrograph's pixel size for each particle, NaN where no optics group says it."""
    sizes: dict[str, float] = {}
    for optics in tables:
        if set(_OPTICS) <= set(optics.columns):
            values = numbers(optics.columns[_OPTICS[1]], _OPTICS[1], path, positive=True)
            sizes.update(zip(optics.columns[_OPTICS[0]], values.tolist(), strict=True))
    groups = table.columns.get(_OPTICS[0])
    if groups is None:
        return np.full(count, np.nan)
    return np.array([sizes.get(group, np.nan) for group in groups])
