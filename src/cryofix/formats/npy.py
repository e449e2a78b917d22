"""The header of NumPy's own files, read so that no content of a file does harm."""

import io
import math
import warnings
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from cryofix.errors import reason

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 14  # bytes; NumPy itself refuses descriptions of more than 10 000


@dataclass(frozen=True)
class NpyHeader:
    """What a ``.npy`` stream says of its array."""

    shape: tuple[int, ...]
    by_column: bool
    """True when stored in Fortran order."""
    dtype: np.dtype[Any]
    """As stored. A dtype with Python objects (``dtype.hasobject``) has to be refused: reading its
    values would unpickle them."""
    offset: int
    """Bytes from the start of the stream to the first value."""

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def read_npy_header(file: IO[bytes], size: int) -> NpyHeader:
    """Read the header of a ``.npy`` stream and check it against the size of the stream.

    ``file`` is opened at the start of the stream, which may be a member of a ``.npz`` archive;
    where it stands afterwards is not defined: seek to ``offset``. ``size`` is in bytes, header
    included. Raises ValueError, which does not name the file, if it is no header, or promises more
    values than the stream can hold.
    """
    head = io.BytesIO(file.read(_LONGEST_HEADER))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old spellings of types, and files of Python 2
            version = np.lib.format.read_magic(head)
            # Version 3 is version 2 with names of fields in UTF-8.
            if version == (1, 0):
                shape, by_column, dtype = np.lib.format.read_array_header_1_0(head)
            else:
                shape, by_column, dtype = np.lib.format.read_array_header_2_0(head)
    except Exception as error:  # NumPy lets the tokenizer, the parser and dtype raise as they like
        raise ValueError(f"its header is damaged: {reason(error)}") from error
    header = NpyHeader(shape, by_column and len(shape) > 1, dtype, head.tell())
    if len(shape) > 32 or min(shape, default=0) < 0:
        raise ValueError(f"its header is damaged: the shape is {shape!s:.60}")
    if dtype.hasobject:
        return header
    if dtype.itemsize == 0 and header.size:
        raise ValueError("its header is damaged: the values have no size")
    promised, held = header.size * dtype.itemsize, size - header.offset
    if promised > held:
        raise ValueError(f"it promises {promised} bytes of values and holds {max(held, 0)}")
    return header
