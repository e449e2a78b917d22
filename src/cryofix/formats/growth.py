"""A bound on what a small file may unpack to, for images hold noise and cannot shrink at will."""

from pathlib import Path

from cryofix.errors import CryofixError

_ALWAYS = 1 << 28  # bytes that any file may need in memory
_MOST = 500  # bytes in memory for one in the file; counts of few electrons reach a tenth of it


def check_growth(path: Path, needed_bytes: int, held_bytes: int | None = None) -> None:
    """Refuse a compressed file that promises far more than it can honestly hold.

    Raises CryofixError if it needs more than 256 MiB and more than 500 times what it holds.

    Parameters
    ----------
    path : Path
        The file.
    needed_bytes : int
        What reading it takes in memory.
    held_bytes : int or None
        What of the file holds this; None is all of it.
    """
    held = path.stat().st_size if held_bytes is None else held_bytes
    if needed_bytes > max(_ALWAYS, _MOST * held):
        raise CryofixError(
            f"{path} promises to unpack {held} bytes to {needed_bytes}, which no image with its"
            " noise does: it is damaged; copy it again or leave it out"
        )
