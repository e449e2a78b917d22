"""TIFF, PNG and JPEG, decoded to float32 grey; they carry no pixel size that can be trusted."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cryofix.errors import CryofixError
from cryofix.formats.growth import check_growth

# What tifffile finds wrong with a file it also logs; here it ends in one sentence.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

# ITU-R 601-2, the weights that Pillow and most viewers turn colour to grey with.
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)

# Memory that reading takes: as decoded, and as float32.
_BYTES_A_PIXEL = {"1": 6, "L": 5, "I;16": 6, "I;16B": 6, "I": 8, "F": 8}
_BYTES_A_COLOURED_PIXEL = 28


def tiff_shape(path: Path) -> tuple[int, int]:
    """Return (rows, columns) of a TIFF; more than one page is a CryofixError."""
    with tifffile.TiffFile(path) as tiff:
        return _only_page(path, tiff)[1]


def picture_shape(path: Path) -> tuple[int, int]:
    """Return (rows, columns) of a PNG or JPEG."""
    with _open_picture(path) as picture:
        return picture.height, picture.width


def read_tiff(path: Path) -> NDArray[np.float32]:
    """Return the pixels of a TIFF of one page, float32 of shape (rows, columns).

    Raises CryofixError if there is more than one page, or the page is neither grey nor RGB.
    """
    stored = read_tiff_pixels(path)
    data = _to_luminance(stored)
    if data.shape != stored.shape[:2]:
        raise CryofixError(f"{path} has shape {stored.shape}: give one grey or RGB image a file")
    return data


def read_tiff_pixels(path: Path) -> NDArray[Any]:
    """Return the pixels of a TIFF of one page as stored, (rows, columns) or with samples last.

    Raises CryofixError if there is more than one page, or numbers are complex.
    """
    with tifffile.TiffFile(path) as tiff:
        page, shape = _only_page(path, tiff)
        try:
            stored = page.asarray()
        except (ValueError, ImportError) as error:
            if "imagecodecs" not in str(error) and not isinstance(error, ImportError):
                raise
            stored = _read_with_libtiff(path, page)
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and stored.ndim == 3:
            stored = np.moveaxis(stored, 0, -1)
    if np.iscomplexobj(stored):
        raise CryofixError(f"{path} holds complex numbers: give real images")
    if stored.shape[:2] != shape:
        raise CryofixError(f"{path} has shape {stored.shape}: give one grey or RGB image a file")
    return stored


def read_labels(path: Path) -> NDArray[Any]:
    """Return the pixels of a PNG as stored: of a palette the numbers, of colours the samples."""
    with _open_picture(path, "PNG") as picture:
        return np.asarray(picture)


def read_picture(path: Path) -> NDArray[np.float32]:
    """Return the pixels of a PNG or JPEG, float32 of shape (rows, columns), 0..255 or 0..65535."""
    with _open_picture(path) as picture:
        if not (picture.mode.startswith(("I", "F")) or picture.mode == "L"):
            picture = picture.convert("L" if picture.mode in ("1", "LA", "La") else "RGB")
        return _to_luminance(np.asarray(picture))


def _only_page(path: Path, tiff: tifffile.TiffFile) -> tuple[tifffile.TiffPage, tuple[int, int]]:
    if len(tiff.pages) != 1:
        raise CryofixError(
            f"{path} holds {len(tiff.pages)} images: give each micrograph a file of its "
            "own (align and average movie frames first)"
        )
    page = tiff.pages.first
    shape = int(page.imagelength), int(page.imagewidth)
    values = math.prod(shape) * int(page.samplesperpixel)
    check_growth(path, values * (page.dtype.itemsize + 4 if page.dtype else 8))
    return page, shape


def _read_with_libtiff(path: Path, page: tifffile.TiffPage) -> NDArray[Any]:
    """Read LZW and other codecs that tifffile leaves to imagecodecs by Pillow's libtiff.

    Pillow gives the same values for the kinds of pixels here. Others it gets wrong in silence:
    signed bytes become unsigned, and what is wider than 16 bits is swapped in big-endian files.
    """
    kind, codec = str(page.dtype), tifffile.COMPRESSION(page.compression).name
    right = kind in ("uint8", "uint16") or (
        kind in ("int16", "int32", "float32") and page.parent.byteorder == "<"
    )
    grey = page.samplesperpixel == 1 and page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
    upright = "Orientation" not in page.tags or page.tags["Orientation"].value == 1
    if not (right and grey and upright and kind.endswith(str(page.bitspersample))):
        raise CryofixError(
            f"{path} is a TIFF of {kind} compressed with {codec}, which needs the"
            " package imagecodecs: pip install imagecodecs, or convert the file to .mrc"
        )
    with _open_picture(path, "TIFF") as picture:
        return np.asarray(picture)


@contextmanager
def _open_picture(path: Path, *formats: str) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # Pillow suspects anything above 89 million pixels of being an attack; a K3 in
        # super-resolution has 94. Its hard limit, twice that, stays in force.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=formats or ("PNG", "JPEG")) as picture:
            a_pixel = _BYTES_A_PIXEL.get(picture.mode, _BYTES_A_COLOURED_PIXEL)
            check_growth(path, picture.width * picture.height * a_pixel)
            yield picture


def _to_luminance(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 grey; (rows, columns, samples) is grey, grey + alpha, RGB or RGBA."""
    data = np.array(stored, dtype=np.float32, order="C")
    if data.ndim == 3 and data.shape[-1] in (1, 2):
        return np.ascontiguousarray(data[..., 0])
    if data.ndim == 3 and data.shape[-1] in (3, 4):
        return np.asarray(data[..., :3] @ _LUMINANCE, dtype=np.float32)
    return data
