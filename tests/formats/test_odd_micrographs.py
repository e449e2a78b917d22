"""Headers that contradict themselves, TIFFs of other codecs, lost links and odd names."""

import os
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats import find_micrographs, read_info, read_micrograph


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


def test_a_table_is_no_micrograph_and_the_remedy_is_the_images_that_it_lists(
    tmp_path: Path,
) -> None:
    table = tmp_path / "passthrough.cs"
    table.write_bytes(b"")
    with pytest.raises(
        CryofixError, match=r"passthrough\.cs is a table.* give the folder or a quoted"
    ):
        find_micrographs(table)


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
