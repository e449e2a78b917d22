"""TIFF, PNG and JPEG, decoded to float32 grey; they carry no pixel size that can be trusted."""

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

# ITU-R 601-2, the weights that Pillow and most viewers turn colour to grey with.
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def tiff_shape(path: Path) -> tuple[int, int]:
    """Return (rows, columns) of a TIFF of one page.

    Raises
    ------
    CryofixError
        If there is more than one page.
    """
    with tifffile.TiffFile(path) as tiff:
        return _page_shape(path, tiff)


def picture_shape(path: Path) -> tuple[int, int]:
    """Return (rows, columns) of a PNG or JPEG."""
    with _open_picture(path) as picture:
        return picture.height, picture.width


def read_tiff(path: Path) -> NDArray[np.float32]:
    """Return the pixels of a TIFF of one page, float32 of shape (rows, columns).

    Raises
    ------
    CryofixError
        If there is more than one page, or the page is neither grey nor RGB.
    """
    with tifffile.TiffFile(path) as tiff:
        shape = _page_shape(path, tiff)
        page = tiff.pages.first
        stored = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and stored.ndim == 3:
            stored = np.moveaxis(stored, 0, -1)
    if np.iscomplexobj(stored):
        raise CryofixError(f"{path} holds complex numbers: give real images")
    data = _to_luminance(stored)
    if data.shape != shape:
        raise CryofixError(f"{path} has shape {stored.shape}: give one grey or RGB image a file")
    return data


def read_picture(path: Path) -> NDArray[np.float32]:
    """Return the pixels of a PNG or JPEG, float32 of shape (rows, columns), 0..255 or 0..65535."""
    with _open_picture(path) as picture:
        if picture.mode.startswith(("I", "F")) or picture.mode == "L":
            return _to_luminance(np.asarray(picture))
        if picture.mode in ("1", "LA", "La"):
            return _to_luminance(np.asarray(picture.convert("L")))
        return _to_luminance(np.asarray(picture.convert("RGB")))


def _page_shape(path: Path, tiff: tifffile.TiffFile) -> tuple[int, int]:
    if len(tiff.pages) != 1:
        raise CryofixError(
            f"{path} holds {len(tiff.pages)} images: give one micrograph a file "
            "(align and average movie frames first)"
        )
    page = tiff.pages.first
    return int(page.imagelength), int(page.imagewidth)


@contextmanager
def _open_picture(path: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # Pillow suspects anything above 89 million pixels of being an attack; a K3 in
        # super-resolution has 94. Its hard limit, twice that, stays in force.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            yield picture


def _to_luminance(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 grey; (rows, columns, samples) is grey, grey + alpha, RGB or RGBA."""
    data = np.array(stored, dtype=np.float32, order="C")
    if data.ndim == 3 and data.shape[-1] in (1, 2):
        return np.ascontiguousarray(data[..., 0])
    if data.ndim == 3 and data.shape[-1] in (3, 4):
        return np.asarray(data[..., :3] @ _LUMINANCE, dtype=np.float32)
    return data
