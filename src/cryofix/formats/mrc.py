"""The MRC format, modes 0, 1, 2, 6 and 12, in both byte orders, also with gzip or bzip2.

Headers contradict themselves; what is taken for true then stands here.

Source: MRC2014 (Cheng et al., J. Struct. Biol. 192, 146, 2015); mode 12 is its float16 extension.
"""

import bz2
import gzip
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.growth import check_growth
from cryofix.formats.names import COMPRESSIONS

_log = logging.getLogger(__name__)

_MRC_MODES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
_HEADER_BYTES = 1024
_LARGEST_MODE = 101  # 4 bits a pixel, which is an MRC, though none that is read here
_LARGEST_EXTENSION = 1 << 26  # bytes; what programs write about one image is a thousand times less
_IMOD_STAMP = 1146047817
_PIXEL_SIZES = (0.01, 100.0)  # Angstrom; nobody sees a particle in larger pixels
_warned: set[str] = set()


@dataclass(frozen=True)
class MrcHeader:
    """What an MRC header says, once its contradictions are settled."""

    path: Path
    """The file."""
    shape: tuple[int, int, int]
    """(images, rows, columns), all at least 1."""
    dtype: np.dtype[Any]
    """As stored, with its byte order."""
    offset: int
    """Where the first value is, in bytes from the start of the (unpacked) file."""
    fields: Any
    """All fields, with mrcfile's names."""

    def one_image(self) -> tuple[int, int]:
        """Return (rows, columns); more than one image is a CryofixError."""
        images, rows, columns = self.shape
        if images > 1:
            raise CryofixError(
                f"{self.path} holds {images} images of {columns} x {rows}: give each "
                "micrograph a file of its own (align and average movie frames first)"
            )
        return rows, columns

    def pixel_size(self) -> float | None:
        """Return Angstrom per pixel along x, None for unknown: the cell's length by its samples.

        The standard counts the samples in mx, which for a part cut out of a larger image is more
        than nx. Programs that bin an image leave mx as it was: then the file shows the whole cell
        in nx samples, and image and cell have the same proportions. Where only mx is wrong, the
        pixel is as wide as it is high.
        """
        nx, ny, mx, my = (int(self.fields[key]) for key in ("nx", "ny", "mx", "my"))
        cell, height = (float(self.fields["cella"][key]) for key in "xy")
        if mx == 0 or cell == 0:
            return None
        size, other, height = cell / mx, cell / nx, height / (my or ny)
        if (mx, my) != (nx, ny):
            at_start = not (self.fields["nxstart"] or self.fields["nystart"])
            if my == ny and _plausible(height):
                binned = abs(other - height) < abs(size - height)
            else:
                binned = (at_start and mx * ny == my * nx) or not _plausible(size)
            if binned:
                size, other, height = other, size, height * (my or ny) / ny
            if _plausible(size) and not math.isclose(size, other, rel_tol=1e-3):
                _warn_once(
                    self.path,
                    f"the header describes a cell of {mx} x {my} samples and an image of {nx} x"
                    f" {ny}, so that a pixel is {size:.4g} or {other:.4g} Angstrom wide: cryofix"
                    f" takes {size:.4g}; give the pixel size if that is wrong",
                )
        if not _plausible(size):
            _warn_once(
                self.path,
                f"the header says a pixel of {size:.4g} Angstrom, which cannot be: cryofix takes"
                " the pixel size as unknown",
            )
            return None
        if _plausible(height) and not math.isclose(size, height, rel_tol=0.01):
            _warn_once(
                self.path,
                f"the header says pixels of {size:.4g} Angstrom along x and {height:.4g} along y:"
                f" cryofix takes {size:.4g}; give the pixel size if that is wrong",
            )
        return size


def _warn_once(path: Path, what: str) -> None:
    """Log a warning about a header; once for all files with the same."""
    if what not in _warned:
        _warned.add(what)
        _log.warning("%s: %s", path, what)


def read_mrc_header(path: Path) -> MrcHeader:
    """Read and check the header of an MRC file, and nothing else of it.

    Raises CryofixError if the file is no MRC, its mode is unknown, an uncompressed file is shorter
    than the header promises, or a compressed one is too small to hold that much.
    """
    with _opened(path) as file:
        raw = file.read(_HEADER_BYTES)
    size = path.stat().st_size
    header = _in_its_byte_order(path, raw)
    nx, ny, nz, mode = (int(header[key]) for key in ("nx", "ny", "nz", "mode"))
    if mode not in _MRC_MODES:
        raise CryofixError(
            f"{path} is an MRC of mode {mode}, or no MRC at all: convert it to one of the modes "
            f"{', '.join(map(str, _MRC_MODES))}"
        )
    if min(nx, ny, nz) < 1:
        raise CryofixError(f"{path} has an MRC header of {nx} x {ny} x {nz} pixels: it is damaged")
    dtype = np.dtype(_MRC_MODES[mode]).newbyteorder(header.dtype["mode"].byteorder)
    if mode == 0 and _imod_says_unsigned(header):
        dtype = np.dtype(np.uint8)
    extension = max(int(header["nsymbt"]), 0)
    expected = _HEADER_BYTES + extension + nx * ny * nz * dtype.itemsize
    if path.suffix.lower() in COMPRESSIONS:
        if extension > _LARGEST_EXTENSION:
            raise CryofixError(
                f"{path} has an MRC header that promises {extension} bytes of extended header, "
                "which no program writes: it is damaged; copy it again"
            )
        check_growth(path, nx * ny * nz * (dtype.itemsize + 4))
    elif size < expected:
        raise CryofixError(
            f"{path} is truncated: its header promises {expected} bytes and it has {size}; "
            "copy it again"
        )
    elif size > expected:
        _warn_once(
            path,
            f"the header promises {expected} bytes and the file has {size}: cryofix reads the"
            " first of them; if the image is shifted or is one of several, write the file again",
        )
    return MrcHeader(path, (nz, ny, nx), dtype, _HEADER_BYTES + extension, header)


def _opened(path: Path) -> IO[bytes]:
    """Open a file, unpacked, at its first byte."""
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    return bz2.open(path) if path.suffix.lower() == ".bz2" else path.open("rb")


def _in_its_byte_order(path: Path, raw: bytes) -> Any:
    """Return the header's fields; old files lack the ``MAP`` tag or the machine stamp.

    The byte order is the one in which the header makes sense, and where both do (mode 0 reads
    the same in both), the one with fewer pixels: 512 in the other order is 131 072.
    """
    if len(raw) == _HEADER_BYTES:
        orders = [np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0] for order in "<>"]
        possible = [each for each in orders if 0 <= each["mode"] <= _LARGEST_MODE]
        if possible:
            return min(
                possible, key=lambda each: math.prod(abs(int(each[key])) for key in ("nx", "ny"))
            )
    raise CryofixError(f"{path} is no MRC file, whatever its name says: check where it came from")


def _plausible(pixel_size_angstrom: float) -> bool:
    return _PIXEL_SIZES[0] <= pixel_size_angstrom <= _PIXEL_SIZES[1]  # false for NaN


def _imod_says_unsigned(header: Any) -> bool:
    """Whether mode 0 means 0..255: IMOD and SerialEM say so in words 39 and 40 of the header."""
    stamp, flags = np.frombuffer(header.tobytes()[152:160], header.dtype["mode"]).tolist()
    return stamp == _IMOD_STAMP and not flags & 1


def read_mrc(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """Return the pixels, float32 of shape (rows, columns), and Angstrom per pixel or None.

    Raises CryofixError as `read_mrc_header`, and if there is more than one image or a compressed
    file is short.
    """
    header = read_mrc_header(path)
    shape = header.one_image()
    pixels = math.prod(shape)
    if path.suffix.lower() in COMPRESSIONS:
        size = header.dtype.itemsize
        with _opened(path) as file:
            file.seek(header.offset)
            content = file.read(pixels * size)
        stored = np.frombuffer(content, header.dtype, len(content) // size)
    else:
        stored = np.fromfile(path, header.dtype, pixels, offset=header.offset)
    if stored.size < pixels:
        raise CryofixError(f"{path} is truncated: copy it again")
    stored = _as_the_extremes_say(header, stored).reshape(shape)
    data = stored.astype(np.float32, copy=not stored.flags.writeable)
    return data, header.pixel_size()


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
    here, there = (abs(a - low) <= 1 and abs(b - high) <= 1 for a, b in (found, others))
    if found == others or here or not there:
        return stored
    _warn_once(
        header.path,
        f"the header's mode says {header.dtype.name}, of which the values run from {found[0]} to"
        f" {found[1]}, and its extremes {low:g} and {high:g} are those of {other.dtype.name}, from"
        f" {others[0]} to {others[1]}: cryofix reads {other.dtype.name}",
    )
    return other
