"""Probability maps as files of any program: where their numbers lie, to be read piece by piece.

Files are read and not mapped: pages of a mapped file count as the process's own memory, so a pass
over a large one would look, to a scheduler with a memory limit, as if all of it had been loaded.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError, explained
from cryofix.formats.mrc import read_mrc_header
from cryofix.formats.npy import NpyHeader, read_npy_header

MRC = (".mrc", ".mrcs", ".map", ".st")
SUFFIXES = (".npy", ".npz", *MRC)
_opening = Lock()
_LARGEST_PICTURE = 1 << 25  # values that may be read to show a part of them


@dataclass(frozen=True)
class StoredArray:
    """One array in a file."""

    path: Path
    """The file."""
    member: str | None
    """Name inside a .npz archive; None for other files."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """As stored."""
    by_column: bool
    """True when stored in Fortran order."""
    offset: int
    """Where its first byte is, from the start of the file or of the archive's member."""

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def title(self) -> str:
        """How messages call it."""
        return str(self.path) if self.member is None else f"{self.path}[{self.member}]"

    def pieces(self, start: int, stop: int, length: int) -> Iterator[NDArray[Any]]:
        """Yield the values from ``start`` to ``stop`` in stored order, ``length`` at a time.

        All pieces share one buffer: use a piece before asking for the next. A file that ends early
        is a CryofixError.
        """
        buffer = np.empty(min(length, max(stop - start, 0)), self.dtype)
        skip = self.offset + start * self.dtype.itemsize
        with _errors_name(self.title, "numpy.savez"), _opened(self.path, self.member, skip) as file:
            for first in range(start, stop, length):
                part = buffer[: min(length, stop - first)]
                view = memoryview(part.view(np.uint8).data)
                while view:
                    done = file.readinto(view)
                    if not done:
                        raise CryofixError(f"{self.title} is truncated: copy it again")
                    view = view[done:]
                yield part

    def corner(self, side: int) -> NDArray[np.float32] | None:
        """Return the first rows and columns of the first map as float32, at most ``side`` each.

        None where there are no rows, or ``side`` of them are too much to read for a picture.
        """
        if len(self.shape) < 2 or (self.by_column and len(self.shape) > 2) or 0 in self.shape:
            return None
        rows, columns = self.shape[-2:] if not self.by_column else self.shape[::-1]
        rows = min(rows, side)
        if rows * columns > _LARGEST_PICTURE:
            return None
        (piece,) = self.pieces(0, rows * columns, rows * columns)
        stored = piece.reshape(rows, columns)[:, :side].astype(np.float32)
        return stored.T.copy() if self.by_column else stored


def find_arrays(where: str | Path, key: str) -> list[StoredArray]:
    """Return the arrays of a .npy, .npz or MRC file, or of all such files of a folder, by name.

    ``key`` is the configuration's name for it, for messages. Raises CryofixError if there is
    nothing, or something unreadable.
    """
    path = Path(where).expanduser()
    if path.is_dir():
        files = sorted(part for part in path.iterdir() if part.suffix.lower() in SUFFIXES)
        if not files:
            raise CryofixError(
                f"{key}={where} holds no {', '.join(SUFFIXES)} file: give the folder of the maps"
            )
    elif path.is_file():
        files = [path]
    else:
        raise CryofixError(f"{key}={where} does not exist: give a file or a folder of files")
    return [array for file in files for array in _arrays_of(file, key)]


def _arrays_of(path: Path, key: str) -> list[StoredArray]:
    suffix = path.suffix.lower()
    found: list[StoredArray] = []
    if suffix == ".npy":
        with _errors_name(path, "numpy.save"), path.open("rb") as file:
            found.append(_described(path, None, read_npy_header(file, path.stat().st_size)))
    elif suffix == ".npz":
        found += _archive_arrays(path)
    elif suffix in MRC:
        mrc = read_mrc_header(path)
        found.append(StoredArray(path, None, mrc.dtype, mrc.shape, False, mrc.offset))
    else:
        raise CryofixError(
            f"{key}={path} is of no known kind: save the maps as one of {', '.join(SUFFIXES)}"
        )
    for array in found:
        if array.dtype.kind not in "fiub":
            raise CryofixError(
                f"{array.title} holds {array.dtype}, not numbers: save an array of float32"
            )
    return found


def _described(path: Path, member: str | None, header: NpyHeader) -> StoredArray:
    return StoredArray(path, member, header.dtype, header.shape, header.by_column, header.offset)


def _archive_arrays(path: Path) -> list[StoredArray]:
    found = []
    with _errors_name(path, "numpy.savez"), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    # The others can make any size of nothing; deflation at most a thousand times.
                    raise ValueError(f"{member.filename} is packed as NumPy does not do it")
                with archive.open(member) as file:
                    header = read_npy_header(file, member.file_size)
                found.append(_described(path, member.filename, header))
    if not found:
        raise CryofixError(f"{path} holds no array: save the maps with numpy.savez")
    return found


def _opened(path: Path, member: str | None, skip: int) -> Any:
    """Open a file, or an archive's array, which is read up to there, behind so many bytes."""
    if member is None:
        plain = path.open("rb", buffering=0)
        plain.seek(skip)
        return plain
    stat = path.stat()
    with _opening:  # an archive counts who reads it, and threads may not count at a time
        file = _archive(path, stat.st_size, stat.st_mtime_ns).open(member)
    while skip:
        skip -= len(file.read(min(skip, 1 << 20))) or skip
    return file


@lru_cache(maxsize=4)
def _archive(path: Path, _size: int, _time: int) -> zipfile.ZipFile:
    """Keep archives open: reading the list of members for each of them is quadratic."""
    return zipfile.ZipFile(path)


@contextmanager
def _errors_name(title: str | Path, writer: str) -> Iterator[None]:
    """Turn whatever a damaged file raises into a sentence that names it."""
    remedy = f"copy it again, or save it again with {writer} from arrays of float32"
    # There is no end to what archives and their codecs raise.
    with explained(f"{title} cannot be read as NumPy's arrays", remedy, Exception):
        yield
