"""Micrographs on disk: MRC, TIFF, PNG and JPEG files as (row, column) float32 arrays.

Row 0 is the first row *in the file*. Viewers draw the first row of an MRC at the bottom and the
first row of a TIFF, PNG or JPEG at the top; the array does not know the difference, only the
readers of coordinates do (see `cryofix.formats.coordinates`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.mrc import read_mrc, write_mrc
from cryofix.formats.mrc_header import read_mrc_header
from cryofix.formats.names import distinct_names, find_micrographs, image_kind, micrograph_name
from cryofix.formats.pictures import picture_shape, read_picture, read_tiff, tiff_shape

__all__ = [
    "Micrograph",
    "MicrographInfo",
    "distinct_names",
    "find_micrographs",
    "index_micrographs",
    "micrograph_name",
    "read_info",
    "read_micrograph",
    "write_mrc",
]


@dataclass(frozen=True)
class MicrographInfo:
    """What a micrograph's header says, read without its pixels.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        (rows, columns) at full resolution.
    pixel_size_angstrom : float or None
        Angstrom per pixel; None where the file does not say (always None for TIFF, PNG, JPEG).
    """

    path: Path
    shape: tuple[int, int]
    pixel_size_angstrom: float | None


@dataclass(frozen=True)
class Micrograph:
    """The pixels of one micrograph.

    Attributes
    ----------
    data : ndarray of float32, shape (rows, columns)
        Finite and not constant, in the unit that the file stores.
    pixel_size_angstrom : float or None
        Angstrom per pixel; None where the file does not say.
    """

    data: NDArray[np.float32]
    pixel_size_angstrom: float | None


def index_micrographs(paths: Iterable[Path]) -> dict[str, MicrographInfo]:
    """Read the headers of ``paths`` into the mapping that the coordinate functions take.

    Raises CryofixError if two files share a name, since labels could then not be told apart.

    Returns
    -------
    dict
        `distinct_names` to `MicrographInfo`, in the order of ``paths``.
    """
    paths = list(paths)
    return dict(zip(distinct_names(paths), map(read_info, paths), strict=True))


def read_info(path: str | Path) -> MicrographInfo:
    """Read shape and pixel size from the header, without reading the pixels.

    Raises CryofixError if the file is missing, is not a single image, or holds less than its header
    promises (as far as that shows without unpacking it).
    """
    path = Path(path)
    kind = image_kind(path)
    with _errors_name(path):
        if kind == "mrc":
            header = read_mrc_header(path)
            return MicrographInfo(path, header.one_image(), header.pixel_size())
        shape = tiff_shape(path) if kind == "tiff" else picture_shape(path)
        return MicrographInfo(path, shape, None)


def read_micrograph(path: str | Path) -> Micrograph:
    """Read one micrograph, one image in memory at a time.

    Colour becomes luminance (ITU-R 601); an alpha channel is dropped.

    Raises CryofixError if the file is missing, truncated, not a single image, constant, or holds
    NaN or infinity; always naming the file.

    Returns
    -------
    Micrograph
        A float32 copy, shape (rows, columns), row 0 the first row in the file.
    """
    path = Path(path)
    kind = image_kind(path)
    pixel_size: float | None = None
    with _errors_name(path):
        if kind == "mrc":
            data, pixel_size = read_mrc(path)
        elif kind == "tiff":
            data = read_tiff(path)
        else:
            data = read_picture(path)
    low, high = float(data.min()), float(data.max())  # NaN propagates through both
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(data.size - np.count_nonzero(np.isfinite(data)))
        raise CryofixError(
            f"{path} holds {bad} pixels that are NaN or infinite: repeat the step that wrote it, "
            "or leave it out"
        )
    if low == high:
        raise CryofixError(
            f"{path} is constant (every pixel is {low:g}), so it shows nothing: leave it out"
        )
    return Micrograph(data, pixel_size)


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one sentence that names the file."""
    try:
        yield
    except CryofixError:
        raise
    except OSError as error:
        if error.errno is None:  # a decoder's own
            raise _damaged(path, error) from error
        if path.is_symlink() and not path.exists():
            raise CryofixError(
                f"{path} is a link to {path.readlink()}, which does not exist: restore that file,"
                " or remove the link"
            ) from error
        if isinstance(error, FileNotFoundError):
            raise CryofixError(f"{path} does not exist: check the path") from error
        raise CryofixError(
            f"{path} cannot be read ({error.strerror}): check its permissions and the disk"
        ) from error
    except Exception as error:  # decoders of damaged files raise almost anything
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CryofixError:
    return CryofixError(
        f"{path} cannot be read as an image ({type(error).__name__}: {error}): it may be "
        "damaged, incompletely copied or of another type than its name says"
    )
