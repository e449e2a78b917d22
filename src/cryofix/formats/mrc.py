"""The MRC format, modes 0, 1, 2, 6 and 12, in both byte orders, also with gzip or bzip2.

Source: MRC2014 (Cheng et al., J. Struct. Biol. 192, 146, 2015); mode 12 is its float16 extension.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import mrcfile
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats.names import COMPRESSIONS

_MRC_MODES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
_HEADER_BYTES = 1024
_LARGEST_MODE = 101  # 4 bits a pixel, which is an MRC, though none that is read here
_IMOD_STAMP = 1146047817


def read_mrc_header(path: Path) -> tuple[tuple[int, int], float | None]:
    """Return (rows, columns) and Angstrom per pixel (None for unknown) of one MRC file.

    Raises
    ------
    CryofixError
        If the mode is unknown, there is more than one image, or an uncompressed file is short.
    """
    with _open_mrc(path, header_only=True) as mrc:
        return _checked_header(path, mrc.header)


def read_mrc(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """Return the pixels, float32 of shape (rows, columns), and Angstrom per pixel or None.

    The file is memory-mapped unless compressed, so that one image is in memory, not two.

    Raises
    ------
    CryofixError
        As `read_mrc_header`, and if a compressed file is short.
    """
    with _open_mrc(path, header_only=False) as mrc:
        shape, pixel_size = _checked_header(path, mrc.header)
        if mrc.data is None:  # how mrcfile's permissive mode says "shorter than promised"
            raise CryofixError(f"{path} is truncated: copy it again")
        stored = mrc.data.reshape(shape)
        if _has_unsigned_bytes(mrc.header):
            stored = stored.view(np.uint8)
        return np.array(stored, dtype=np.float32, order="C"), pixel_size


def write_mrc(path: str | Path, data: ArrayLike, pixel_size_angstrom: float | None) -> None:
    """Write one image as an MRC of mode 2 (float32), atomically.

    Parameters
    ----------
    path : str or Path
        Ends in ``.mrc``; folders are made.
    data : array_like, shape (rows, columns)
        Written as float32; the same input gives the same bytes.
    pixel_size_angstrom : float or None
        Angstrom per pixel; None is written as 0, which means unknown.

    Raises
    ------
    CryofixError
        If the name does not end in ``.mrc``, or ``data`` is not two-dimensional and finite.
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


@contextmanager
def _open_mrc(path: Path, header_only: bool) -> Iterator[Any]:
    """Open permissively: old files lack the ``MAP`` tag or the machine stamp, and are fine."""
    compressed = path.suffix.lower() in COMPRESSIONS
    if not compressed:
        _check_is_mrc(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        if header_only or compressed:
            mrc = mrcfile.open(path, permissive=True, header_only=header_only)
        else:
            mrc = mrcfile.mmap(path, mode="r", permissive=True)
        with mrc:
            yield mrc


def _check_is_mrc(path: Path) -> None:
    """Refuse other files early: mrcfile would believe and allocate what their "header" says."""
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    size = path.stat().st_size
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        mode = int.from_bytes(start[12:16], order, signed=True)
        extended = int.from_bytes(start[92:96], order, signed=True)
        if 0 <= mode <= _LARGEST_MODE and extended <= size:
            return
    raise CryofixError(f"{path} is no MRC file, whatever its name says: check where it came from")


def _checked_header(path: Path, header: Any) -> tuple[tuple[int, int], float | None]:
    """Check an MRC header; return (rows, columns) and Angstrom per pixel."""
    nx, ny, nz, mode = (int(header[key]) for key in ("nx", "ny", "nz", "mode"))
    if mode not in _MRC_MODES:
        raise CryofixError(
            f"{path} is an MRC of mode {mode}, or no MRC at all: convert it to one of the modes "
            f"{', '.join(map(str, _MRC_MODES))}"
        )
    if min(nx, ny, nz) < 1:
        raise CryofixError(f"{path} has an MRC header of {nx} x {ny} x {nz} pixels: it is damaged")
    if nz > 1:
        raise CryofixError(
            f"{path} holds {nz} images of {nx} x {ny}: give one micrograph a file "
            "(align and average movie frames first)"
        )
    expected = (
        _HEADER_BYTES
        + max(int(header["nsymbt"]), 0)
        + nx * ny * np.dtype(_MRC_MODES[mode]).itemsize
    )
    size = path.stat().st_size
    if path.suffix.lower() not in COMPRESSIONS and size < expected:
        raise CryofixError(
            f"{path} is truncated: its header promises {expected} bytes and it has {size}; "
            "copy it again"
        )
    pixel_size = None
    if header["mx"] > 0:
        pixel_size = float(header["cella"]["x"]) / int(header["mx"])
    if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
        pixel_size = None
    return (ny, nx), pixel_size


def _has_unsigned_bytes(header: Any) -> bool:
    """Whether mode 0 means 0..255: IMOD and SerialEM say so in words 39 and 40 of the header."""
    if int(header["mode"]) != 0:
        return False
    raw = header.tobytes()
    order: Literal["little", "big"] = "big" if header["mode"].dtype.byteorder == ">" else "little"
    stamp = int.from_bytes(raw[152:156], order)
    flags = int.from_bytes(raw[156:160], order)
    return stamp == _IMOD_STAMP and not flags & 1
