"""The MRC format, modes 0, 1, 2, 6 and 12, in both byte orders, also with gzip or bzip2."""

import math
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats.mrc_header import MrcHeader, is_compressed, opened, read_mrc_header, warn_once


def read_mrc(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """Return the pixels, float32 of shape (rows, columns), and Angstrom per pixel or None.

    Raises CryofixError as `read_mrc_header`, and if there is more than one image or a compressed
    file is short.
    """
    header = read_mrc_header(path)
    shape = header.one_image()
    pixels = math.prod(shape)
    if is_compressed(path):
        with opened(path) as file:
            file.seek(header.offset)
            stored = np.frombuffer(file.read(pixels * header.dtype.itemsize), np.uint8)
        stored = stored[: stored.size // header.dtype.itemsize * header.dtype.itemsize]
        stored = stored.view(header.dtype)
    else:
        stored = np.fromfile(path, header.dtype, pixels, offset=header.offset)
    if stored.size < pixels:
        raise CryofixError(f"{path} is truncated: copy it again")
    stored = _as_the_extremes_say(header, stored).reshape(shape)
    data = stored.astype(np.float32, copy=not stored.flags.writeable)
    return data, header.pixel_size()


def write_mrc(path: str | Path, data: ArrayLike, pixel_size_angstrom: float | None) -> None:
    """Write one image as an MRC of mode 2 (float32), atomically.

    Raises CryofixError if the name does not end in ``.mrc``, or ``data`` is not two-dimensional and
    finite.

    Parameters
    ----------
    path : str or Path
        Ends in ``.mrc``; folders are made.
    data : array_like, shape (rows, columns)
        Written as float32; the same input gives the same bytes.
    pixel_size_angstrom : float or None
        Angstrom per pixel; None is written as 0, which means unknown.
    """
    path = Path(path)
    array = np.ascontiguousarray(data, dtype=np.float32)
    if path.suffix.lower() != ".mrc":
        raise CryofixError(f"{path} does not end in .mrc: change the name, cryofix writes MRC here")
    if array.ndim != 2 or array.size == 0:
        raise CryofixError(f"{path} needs one (rows, columns) image, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise CryofixError(f"{path}: the image holds NaN or infinity, so no program could use it")
    with atomic_write(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(array)
        mrc.voxel_size = 0.0 if pixel_size_angstrom is None else pixel_size_angstrom
        # mrcfile stamps the time of writing here; equal input should give equal bytes.
        mrc.header.label[0] = "written by cryofix"


def _as_the_extremes_say(header: MrcHeader, stored: NDArray[Any]) -> NDArray[Any]:
    """Return integers signed or unsigned, whichever has the header's minimum and maximum.

    Many programs write unsigned bytes as mode 0, and unsigned 16-bit integers as mode 1, which
    both are signed by the standard. Where the header knows no extremes, the mode decides.
    """
    if header.dtype.kind not in "iu":
        return stored
    swapped = {"i": "u", "u": "i"}[header.dtype.kind]
    other = stored.view(header.dtype.str.replace(header.dtype.kind, swapped))
    found, others = ((int(each.min()), int(each.max())) for each in (stored, other))
    low, high = float(header.fields["dmin"]), float(header.fields["dmax"])
    if found == others or not _agree(others, (low, high)) or _agree(found, (low, high)):
        return stored
    warn_once(
        header.path,
        f"the header's mode says {header.dtype.name}, of which the values run from {found[0]} to"
        f" {found[1]}, and its extremes {low:g} and {high:g} are those of {other.dtype.name}, from"
        f" {others[0]} to {others[1]}: cryofix reads {other.dtype.name}",
    )
    return other


def _agree(found: tuple[int, int], said: tuple[float, float]) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(found, said, strict=True))
