"""Micrographs on disk: MRC, TIFF, PNG and JPEG files as (row, column) float32 arrays.

Row 0 is the first row *in the file*. Viewers draw the first row of an MRC at the bottom and the
first row of a TIFF, PNG or JPEG at the top; the array does not know the difference, only the
readers of coordinates do (see `cryofix.formats.coordinates`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats.mrc import read_mrc, read_mrc_header
from cryofix.formats.names import distinct_names, image_kind
from cryofix.formats.pictures import picture_shape, read_picture, read_tiff, tiff_shape


@dataclass(frozen=True)
class MicrographInfo:
    """What a micrograph's header says, read without its pixels."""

    path: Path
    """The file."""
    shape: tuple[int, int]
    """(rows, columns) at full resolution."""
    pixel_size_angstrom: float | None
    """Angstrom per pixel; None where the file does not say (always None for TIFF, PNG, JPEG)."""


@dataclass(frozen=True)
class Micrograph:
    """The pixels of one micrograph."""

    data: NDArray[np.float32]
    """Finite and not constant, in the unit that the file stores; shape (rows, columns)."""
    pixel_size_angstrom: float | None
    """Angstrom per pixel; None where the file does not say."""


def index_micrographs(paths: Iterable[Path]) -> dict[str, MicrographInfo]:
    """Return `distinct_names` to headers, as the coordinate functions take them, in this order."""
    paths = list(paths)
    return dict(zip(distinct_names(paths), map(read_info, paths), strict=True))


def read_info(path: str | Path) -> MicrographInfo:
    """Read shape and pixel size from the header, without reading the pixels.

    Raises CryofixError if the file is missing, is not a single image, or holds less than its header
    promises (as far as that shows without unpacking it).
    """
    path = Path(path)
    kind = image_kind(path)
    with errors_name(path):
        if kind == "mrc":
            header = read_mrc_header(path)
            return MicrographInfo(path, header.one_image(), header.pixel_size())
        shape = tiff_shape(path) if kind == "tiff" else picture_shape(path)
        return MicrographInfo(path, shape, None)


def read_micrograph(path: str | Path) -> Micrograph:
    """Read one micrograph as float32, shape (rows, columns), row 0 the first row in the file.

    Colour becomes luminance (ITU-R 601); an alpha channel is dropped. Raises CryofixError, always
    naming the file, if it is missing, truncated, not a single image, constant, or holds NaN or
    infinity.
    """
    path = Path(path)
    kind = image_kind(path)
    pixel_size: float | None = None
    with errors_name(path):
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


def write_mrc(path: str | Path, data: ArrayLike, pixel_size_angstrom: float | None) -> None:
    """Write an image, shape (rows, columns), as an MRC of mode 2 (float32), atomically.

    The same input gives the same bytes; folders are made. A pixel size of None is written as 0,
    which means unknown. Raises CryofixError if the name does not end in ``.mrc``, or ``data`` is
    not two-dimensional and finite.
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
def errors_name(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one sentence that names the file."""
    try:
        yield
    except CryofixError:
        raise
    except Exception as error:  # decoders of damaged files raise almost anything
        if not isinstance(error, OSError) or error.errno is None:  # a decoder's own
            said = (
                f"cannot be read as an image ({type(error).__name__}: {error}): it may be damaged,"
                " incompletely copied or of another type than its name says"
            )
        elif path.is_symlink() and not path.exists():
            said = (
                f"is a link to {path.readlink()}, which does not exist: restore that file, or"
                " remove the link"
            )
        elif isinstance(error, FileNotFoundError):
            said = "does not exist: check the path"
        else:
            said = f"cannot be read ({error.strerror}): check its permissions and the disk"
        raise CryofixError(f"{path} {said}") from error
