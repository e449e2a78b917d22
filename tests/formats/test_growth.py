"""Small files that claim gigabytes."""

import bz2
import gzip
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from cryofix.formats import read_micrograph

MEBIBYTE = 1 << 20


def header(columns: int, rows: int, mode: int = 2, extended: int = 0) -> bytes:
    fields = np.zeros(256, "<i4")
    fields[:4] = columns, rows, 1, mode
    fields[7:10] = columns, rows, 1
    fields[23] = extended
    return fields.tobytes()


def zeros(pack: Callable[..., bytes], start: bytes, size: int) -> bytes:
    """Pack ``start`` and many zeros; both formats take members in a row."""
    block = pack(bytes(64 * MEBIBYTE))
    return pack(start) + block * (size // (64 * MEBIBYTE))


def png_of_one_colour(columns: int, rows: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    packer = zlib.compressobj(9)
    row = bytes(1 + 4 * columns)
    pixels = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    size = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def tiff_of_one_colour(side: int) -> bytes:
    strip = zlib.compress(bytes(side * 64), 9)
    strips = side // 64
    tags = [
        (256, 3, 1, side), (257, 3, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
        (273, 4, strips, 8), (277, 3, 1, 1), (278, 3, 1, 64), (279, 4, strips, 8 + 4 * strips),
    ]  # fmt: skip
    start = 8 + 8 * strips + len(strip)
    offsets = struct.pack(f"<{strips}I", *[8 + 8 * strips] * strips)
    counts = struct.pack(f"<{strips}I", *[len(strip)] * strips)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, start) + offsets + counts + strip + directory


BOMBS: dict[str, Callable[[], bytes]] = {
    "extended.mrc.gz": lambda: gzip.compress(header(64, 64, extended=2**31 - 1)),
    "large.mrc.gz": lambda: zeros(gzip.compress, header(32768, 32768), 2 << 30),
    "large.mrc.bz2": lambda: zeros(bz2.compress, header(32768, 32768), 2 << 30),
    "much_behind.mrc.gz": lambda: zeros(
        gzip.compress, header(64, 64) + bytes(64 * 64 * 4), 2 << 30
    ),
    "coloured.png": lambda: png_of_one_colour(8000, 8000),
    "grey.tif": lambda: tiff_of_one_colour(32768),
}

LIMITED = """
import resource, sys
from pathlib import Path
from cryofix.errors import CryofixError
from cryofix.formats import read_info, read_micrograph
baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (read_info, read_micrograph):
    try:
        read(Path(sys.argv[1]))
    except CryofixError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - baseline)
"""


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_claims_gigabytes_takes_neither_memory_nor_time(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path],
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=limit_memory,
        check=False,
    )
    *said, kibibytes = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert int(kibibytes) < 200 * 1024
    assert said, "nothing was refused"
    assert all(line.startswith(f"{path} ") for line in said)


def test_a_compressed_micrograph_of_few_electrons_is_no_bomb(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(0.02, (1024, 1024)).astype(np.int8)
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(counts)
    packed = tmp_path / "a.mrc.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.mrc").read_bytes()))
    np.testing.assert_array_equal(read_micrograph(packed).data, counts)
