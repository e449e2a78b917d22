"""Headers that contradict themselves, compressed files that claim too much, and odd names."""

import bz2
import gzip
import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.micrograph import find_micrographs, read_info, read_micrograph

MEBIBYTE = 1 << 20


def write_mrc_with(path: Path, data: NDArray[Any], **fields: float) -> Path:
    """Write an MRC with mrcfile, then set header fields (``cella_x`` means ``cella.x``)."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 1.0
        for name, value in fields.items():
            field, _, part = name.partition("_")
            if part:
                mrc.header[field][part] = value
            else:
                mrc.header[field] = value
    return path


def noise(low: int, high: int, dtype: type, shape: tuple[int, int] = (40, 60)) -> NDArray[Any]:
    return np.random.default_rng(0).integers(low, high, shape, endpoint=True).astype(dtype)


@pytest.mark.parametrize(
    ("stored", "unsigned"), [(np.int8, np.uint8), (np.int16, np.uint16)], ids=["mode0", "mode1"]
)
def test_extremes_in_the_header_tell_unsigned_from_signed_integers(
    tmp_path: Path, stored: type, unsigned: type, caplog: pytest.LogCaptureFixture
) -> None:
    top = np.iinfo(unsigned).max
    data = noise(top // 4, top, unsigned)
    extremes = {"dmin": float(data.min()), "dmax": float(data.max())}
    path = write_mrc_with(tmp_path / "a.mrc", data.view(stored), **extremes)
    np.testing.assert_array_equal(read_micrograph(path).data, data)
    assert f"{path}: the header's mode says {np.dtype(stored).name}" in caplog.text
    assert f"cryofix reads {np.dtype(unsigned).name}" in caplog.text
    assert f"to {int(data.view(stored).max())}," in caplog.text
    assert f"to {int(data.max())}:" in caplog.text


def test_signed_bytes_stay_signed_where_the_header_says_so_or_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = noise(-100, 100, np.int8)
    path = write_mrc_with(tmp_path / "a.mrc", data)
    np.testing.assert_array_equal(read_micrograph(path).data, data)
    path = write_mrc_with(tmp_path / "b.mrc", data, dmin=0, dmax=0)
    np.testing.assert_array_equal(read_micrograph(path).data, data)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("fields", "right", "other"),
    [
        # binned by 8, and mx left as it was: the cell is that of the whole image
        ({"mx": 480, "my": 320, "cella_x": 379.2, "cella_y": 252.8}, 6.32, "0.79"),
        # cut out of a larger image: the cell is that of mx samples, as the standard says
        ({"mx": 480, "my": 480, "cella_x": 379.2, "cella_y": 379.2}, 0.79, "6.32"),
        ({"mx": 120, "my": 80, "nxstart": 9, "cella_x": 120, "cella_y": 80}, 1.0, "2"),
        # only mx is damaged: pixels are square
        ({"mx": 480, "cella_x": 120, "cella_y": 80}, 2.0, "0.25"),
        # mx is 1, as some programs leave it
        ({"mx": 1, "my": 1, "cella_x": 120, "cella_y": 80}, 2.0, "120"),
    ],
)
def test_a_cell_of_other_samples_is_settled_by_evidence(
    tmp_path: Path,
    fields: dict[str, float],
    right: float,
    other: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write_mrc_with(tmp_path / "a.mrc", noise(0, 99, np.int16), **fields)
    assert read_info(path).pixel_size_angstrom == pytest.approx(right)
    assert f"{right:g} or {other} Angstrom" in caplog.text
    assert f"cryofix takes {right:g}" in caplog.text


def test_pixels_that_are_not_square_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_mrc_with(tmp_path / "a.mrc", noise(0, 99, np.int16), cella_x=60, cella_y=120)
    assert read_info(path).pixel_size_angstrom == pytest.approx(1.0)
    assert "1 Angstrom along x and 3 along y" in caplog.text


@pytest.mark.parametrize("cell", [-60.0, np.nan, np.inf, 1e30, 1e-30])
def test_a_pixel_size_that_cannot_be_is_unknown_and_said(
    tmp_path: Path, cell: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_mrc_with(tmp_path / "a.mrc", noise(0, 99, np.int16), cella_x=cell, cella_y=cell)
    assert read_info(path).pixel_size_angstrom is None
    assert f"{cell / 60:.4g} Angstrom, which cannot be" in caplog.text


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
from cryofix.formats.micrograph import read_info, read_micrograph
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
    plain = write_mrc_with(tmp_path / "a.mrc", counts)
    packed = tmp_path / "a.mrc.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_micrograph(packed).data, counts)


def lzw(content: bytes) -> bytes:
    """Pack bytes as LZW of literal codes: a clear code before each 200, all codes of 9 bits."""
    codes: list[int] = []
    for start in range(0, len(content), 200):
        codes += [256, *content[start : start + 200]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def lzw_tiff(
    path: Path, data: NDArray[Any], order: Literal["<", ">"] = "<", predictor: int = 1
) -> Path:
    rows, columns = data.shape
    size, kind = data.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[data.dtype.kind]
    stored = np.diff(data, axis=1, prepend=data.dtype.type(0)) if predictor == 2 else data
    packed = lzw(stored.astype(data.dtype.newbyteorder(order)).tobytes())
    tags = [
        (256, columns), (257, rows), (258, size), (259, 5), (262, 1), (273, 8),
        (277, 1), (278, rows), (279, len(packed)), (317, predictor), (339, kind),
    ]  # fmt: skip
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    magic = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(packed))
    path.write_bytes(magic + packed + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))
    return path


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4"])
def test_reads_lzw_tiffs(tmp_path: Path, dtype: str, predictor: int) -> None:
    data = noise(0, 250, np.dtype(dtype).type) * np.dtype(dtype).type(1 if dtype == "u1" else 131)
    if dtype == "f4":
        data, predictor = data / np.float32(7), 1
    np.testing.assert_array_equal(
        read_micrograph(lzw_tiff(tmp_path / "a.tif", data, "<", predictor)).data, data
    )


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_big_endian_lzw_tiff_is_read_right_or_names_codec_and_package(
    tmp_path: Path, dtype: str
) -> None:
    data = noise(0, 9999, np.dtype(dtype).type)
    path = lzw_tiff(tmp_path / "a.tif", data, ">")
    if dtype == "u2" or find_spec("imagecodecs"):
        np.testing.assert_array_equal(read_micrograph(path).data, data)
    else:
        with pytest.raises(
            CryofixError, match=r"a\.tif .*LZW, which needs the package imagecodecs"
        ):
            read_micrograph(path)


def test_a_lost_link_among_the_micrographs_is_reported(tmp_path: Path) -> None:
    write_mrc_with(tmp_path / "a.mrc", noise(0, 9, np.int16))
    (tmp_path / "b.mrc").symlink_to(tmp_path / "gone.mrc")
    found = find_micrographs(tmp_path)
    assert [path.name for path in found] == ["a.mrc", "b.mrc"]
    with pytest.raises(
        CryofixError, match=r"b\.mrc is a link to .*gone\.mrc, which does not exist"
    ):
        read_info(found[1])
    with pytest.raises(CryofixError, match="which does not exist"):
        read_info(find_micrographs(tmp_path / "b.mrc")[0])


def test_a_file_that_is_longer_than_its_header_promises_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = noise(0, 99, np.int16)
    path = write_mrc_with(tmp_path / "a.mrc", data)
    path.write_bytes(path.read_bytes() + bytes(4800))
    np.testing.assert_array_equal(read_micrograph(path).data, data)
    assert f"{path}: the header promises 5824 bytes and the file has 10624" in caplog.text


def test_odd_names_are_found_and_read(tmp_path: Path) -> None:
    names = [
        "a b.mrc",
        "ha#sh.mrc",
        "new\nline.mrc",
        'quo"te.mrc',
        "ta\tb.mrc",
        os.fsdecode(b"\xe9.mrc"),
    ]
    for name in [*names, "no.mrc\n"]:
        write_mrc_with(tmp_path / "x.mrc", noise(0, 99, np.int16)).rename(tmp_path / name)
    found = find_micrographs(tmp_path)
    assert sorted(path.name for path in found) == sorted(names)
    assert all(read_info(path).shape == (40, 60) for path in found)
    assert len(find_micrographs(f"{tmp_path}/*.mrc")) == len(names)
