"""A bound on what a small file may unpack to, for images hold noise and cannot shrink at will."""

from pathlib import Path

from cryofix.errors import CryofixError

_ALWAYS = 1 << 28  # bytes that any file may need in memory
_MOST = 500  # bytes in memory for one in the file; counts of few electrons reach a tenth of it


def check_growth(path: Path, needed_bytes: int) -> None:
    """Refuse a file (CryofixError) that takes more than 256 MiB and 500 times its size to read."""
    held = path.stat().st_size
    if needed_bytes > max(_ALWAYS, _MOST * held):
        raise CryofixError(
            f"{path} says that its {held} bytes unpack to {needed_bytes}, and no "
            "micrograph can be compressed that far: it is damaged; copy it again or "
            "leave it out"
        )
