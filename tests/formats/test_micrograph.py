"""Micrographs of every supported kind, sound and damaged."""

import bz2
import gzip
from pathlib import Path
from typing import Literal

import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cryofix.errors import CryofixError
from cryofix.formats import (
    find_micrographs,
    index_micrographs,
    micrograph_name,
    read_info,
    read_micrograph,
    write_mrc,
)
from cryofix.formats.names import image_stem

ByteOrder = Literal["<", ">"]


def ramp(dtype: type = np.float32, rows: int = 5, columns: int = 7) -> NDArray[np.float32]:
    """Non-square and without any symmetry."""
    return np.arange(rows * columns).reshape(rows, columns).astype(dtype)


def raw_mrc(path: Path, data: NDArray[np.generic], order: ByteOrder, mode: int) -> Path:
    """Write an MRC byte by byte, independently of mrcfile, without MAP tag and machine stamp."""
    rows, columns = data.shape
    header = np.zeros(256, dtype=f"{order}i4")
    header[:4] = columns, rows, 1, mode
    header[7:10] = columns, rows, 1
    header[10:13] = np.array([columns * 1.5, rows * 1.5, 1.5], f"{order}f4").view(f"{order}i4")
    header[16:19] = 1, 2, 3
    path.write_bytes(header.tobytes() + data.astype(data.dtype.newbyteorder(order)).tobytes())
    return path


@pytest.mark.parametrize(
    ("dtype", "mode"),
    [(np.int8, 0), (np.int16, 1), (np.float32, 2), (np.uint16, 6), (np.float16, 12)],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_every_mrc_mode_in_both_byte_orders(
    tmp_path: Path, dtype: type, mode: int, order: ByteOrder
) -> None:
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(ramp(dtype).astype(np.dtype(dtype).newbyteorder(order)))
        mrc.voxel_size = 1.25
        assert int(mrc.header.mode) == mode
    micrograph = read_micrograph(path)
    np.testing.assert_array_equal(micrograph.data, ramp())
    assert micrograph.data.dtype == np.float32
    assert micrograph.data.dtype.isnative
    assert micrograph.pixel_size_angstrom == pytest.approx(1.25)
    assert read_info(path).shape == (5, 7)


@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_old_mrcs_without_map_tag_and_machine_stamp(tmp_path: Path, order: ByteOrder) -> None:
    path = raw_mrc(tmp_path / "old.mrc", ramp(np.int16), order, mode=1)
    np.testing.assert_array_equal(read_micrograph(path).data, ramp())
    assert read_info(path).pixel_size_angstrom == pytest.approx(1.5)


def test_reads_unsigned_bytes_where_imod_says_so(tmp_path: Path) -> None:
    path = raw_mrc(tmp_path / "imod.mrc", ramp(np.uint8) + np.uint8(200), "<", mode=0)
    content = bytearray(path.read_bytes())
    content[152:156] = (1146047817).to_bytes(4, "little")
    path.write_bytes(content)
    np.testing.assert_array_equal(read_micrograph(path).data, ramp() + 200)
    content[156] = 1  # the flag for signed bytes
    path.write_bytes(content)
    np.testing.assert_array_equal(read_micrograph(path).data, ramp() - 56)


@pytest.mark.parametrize("missing", [1, 4, 100, 139])
def test_a_truncated_mrc_is_an_error_with_its_name(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "short.mrc"
    write_mrc(path, ramp(), 1.0)
    path.write_bytes(path.read_bytes()[:-missing])
    for read in (read_info, read_micrograph):
        with pytest.raises(CryofixError, match=r"short\.mrc is truncated.*1164 bytes"):
            read(path)


@pytest.mark.parametrize("size", [0, 3, 1023])
def test_an_mrc_shorter_than_its_header_is_an_error(tmp_path: Path, size: int) -> None:
    path = tmp_path / "stub.mrc"
    write_mrc(path, ramp(), 1.0)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CryofixError, match=r"stub\.mrc"):
        read_info(path)


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_reads_compressed_mrcs_and_notices_truncated_ones(
    tmp_path: Path, suffix: str, compress: object
) -> None:
    assert callable(compress)
    plain = tmp_path / "a.mrc"
    write_mrc(plain, ramp(), 2.5)
    path = tmp_path / f"a.mrc{suffix}"
    path.write_bytes(compress(plain.read_bytes()))
    assert read_info(path).pixel_size_angstrom == 2.5
    np.testing.assert_array_equal(read_micrograph(path).data, ramp())
    path.write_bytes(compress(plain.read_bytes()[:-8]))
    with pytest.raises(CryofixError, match=r"a\.mrc\..* is truncated"):
        read_micrograph(path)
    path.write_bytes(compress(plain.read_bytes())[:-20])
    with pytest.raises(CryofixError, match=r"a\.mrc\."):
        read_micrograph(path)


def test_a_stack_of_one_is_a_micrograph_and_of_two_is_not(tmp_path: Path) -> None:
    path = tmp_path / "stack.mrcs"
    with mrcfile.new(path) as mrc:
        mrc.set_data(ramp()[None])
    np.testing.assert_array_equal(read_micrograph(path).data, ramp())
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.stack([ramp(), ramp()]))
    with pytest.raises(CryofixError, match=r"stack\.mrcs holds 2 images"):
        read_info(path)


def test_complex_mrcs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fft.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(ramp(np.complex64))
    with pytest.raises(CryofixError, match=r"fft\.mrc is an MRC of mode 4"):
        read_info(path)


def test_a_voxel_size_of_zero_means_unknown(tmp_path: Path) -> None:
    write_mrc(tmp_path / "a.mrc", ramp(), None)
    assert read_info(tmp_path / "a.mrc").pixel_size_angstrom is None
    assert read_micrograph(tmp_path / "a.mrc").pixel_size_angstrom is None


def test_writes_mrc_that_a_strict_reader_accepts_twice_the_same(tmp_path: Path) -> None:
    write_mrc(tmp_path / "sub" / "a.mrc", ramp(np.float64), 0.834)
    assert mrcfile.validate(tmp_path / "sub" / "a.mrc")
    with mrcfile.open(tmp_path / "sub" / "a.mrc") as mrc:
        assert int(mrc.header.mode) == 2
        assert int(mrc.header.nz) == 1
        assert float(mrc.voxel_size.y) == pytest.approx(0.834)
        np.testing.assert_array_equal(mrc.data, ramp())
    write_mrc(tmp_path / "b.mrc", ramp(), 0.834)
    assert (tmp_path / "b.mrc").read_bytes() == (tmp_path / "sub" / "a.mrc").read_bytes()


def test_write_mrc_refuses_other_suffixes_and_other_shapes(tmp_path: Path) -> None:
    with pytest.raises(CryofixError, match=r"does not end in \.mrc"):
        write_mrc(tmp_path / "a.tif", ramp(), 1.0)
    with pytest.raises(CryofixError, match=r"\(5, 7, 1\)"):
        write_mrc(tmp_path / "a.mrc", ramp()[..., None], 1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
def test_reads_tiff_depths(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(dtype))
    np.testing.assert_array_equal(read_micrograph(path).data, ramp())
    assert read_info(path).shape == (5, 7)
    assert read_info(path).pixel_size_angstrom is None


def test_reads_rgb_tiff_in_both_plane_orders_and_refuses_movies(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    rgb = np.stack([ramp(np.uint8)] * 3, axis=-1)
    tifffile.imwrite(path, rgb, photometric="rgb")
    np.testing.assert_allclose(read_micrograph(path).data, ramp(), rtol=1e-6)
    planar = np.moveaxis(rgb, -1, 0)
    tifffile.imwrite(path, planar, photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(read_micrograph(path).data, ramp(), rtol=1e-6)
    assert read_info(path).shape == (5, 7)
    tifffile.imwrite(path, np.stack([ramp(np.uint8)] * 9), photometric="minisblack")
    with pytest.raises(CryofixError, match=r"a\.tiff holds 9 images"):
        read_info(path)


def test_reads_png_depths_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(ramp(np.uint8)).save(path)
    np.testing.assert_array_equal(read_micrograph(path).data, ramp())
    Image.fromarray((ramp() * 1000).astype(np.uint16)).save(path)
    np.testing.assert_array_equal(read_micrograph(path).data, ramp() * 1000)
    colour = np.zeros((5, 7, 3), np.uint8)
    colour[1, 2] = 255, 0, 0
    colour[3, 4] = 0, 255, 0
    for mode in ("RGB", "RGBA", "P"):
        Image.fromarray(colour).convert(mode).save(path)
        data = read_micrograph(path).data
        assert data.shape == (5, 7)
        assert data[1, 2] == pytest.approx(255 * 0.299, abs=0.01)
        assert data[3, 4] == pytest.approx(255 * 0.587, abs=0.01)
    Image.fromarray(ramp(np.uint8)).convert("LA").save(path)
    np.testing.assert_array_equal(read_micrograph(path).data, ramp())
    Image.fromarray(ramp(np.uint8) > 17).save(path)
    np.testing.assert_array_equal(read_micrograph(path).data, 255.0 * (ramp() > 17))


def test_reads_jpeg_rows_from_the_top(tmp_path: Path) -> None:
    path = tmp_path / "a.jpeg"
    image = np.zeros((32, 48), np.uint8)
    image[:8, :8] = 200
    for mode in ("L", "RGB"):
        Image.fromarray(image).convert(mode).save(path, quality=95)
        data = read_micrograph(path).data
        assert data.shape == (32, 48)
        assert data[:8, :8].mean() > 190
        assert data[16:].mean() < 10
    assert read_info(path).pixel_size_angstrom is None


def test_a_k3_superresolution_sized_picture_is_no_attack(tmp_path: Path) -> None:
    path = tmp_path / "k3.png"
    noise = np.random.default_rng(0).bytes(11520 * 8184 // 8)
    Image.frombytes("1", (11520, 8184), noise).save(path, compress_level=0)
    assert read_info(path).shape == (8184, 11520)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_truncated_picture_is_an_error_with_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CryofixError, match=rf"{name}.*damaged"):
        read_micrograph(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_pixels_are_an_error_with_their_count(tmp_path: Path, bad: float) -> None:
    data = ramp()
    data[2, 3] = data[0, 0] = bad
    path = raw_mrc(tmp_path / "a.mrc", data, "<", mode=2)
    with pytest.raises(CryofixError, match=r"a\.mrc holds 2 pixels"):
        read_micrograph(path)
    with pytest.raises(CryofixError, match=r"b\.mrc: the image holds NaN or infinity"):
        write_mrc(tmp_path / "b.mrc", data, 1.0)


def test_constant_images_are_an_error(tmp_path: Path) -> None:
    write_mrc(tmp_path / "flat.mrc", np.full((4, 6), 3.5), 1.0)
    with pytest.raises(CryofixError, match=r"flat\.mrc is constant .*3\.5"):
        read_micrograph(tmp_path / "flat.mrc")


def test_missing_files_and_unknown_suffixes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CryofixError, match=r"none\.mrc does not exist"):
        read_info(tmp_path / "none.mrc")
    for name in ("a.eer", "a.png.gz", "a"):
        with pytest.raises(CryofixError, match="no micrograph that cryofix reads"):
            read_info(tmp_path / name)


def test_text_called_mrc_or_png_is_an_error_with_its_name(tmp_path: Path) -> None:
    for name in ("a.mrc", "a.png", "a.tif"):
        (tmp_path / name).write_text("<html>404</html>" * 100)
        for read in (read_info, read_micrograph):
            with pytest.raises(CryofixError, match=name):
                read(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.mrc", "a"),
        ("raw/sub/a.MRC", "a"),
        (r"C:\raw\a.tif", "a"),
        ("a.mrc.gz", "a"),
        ("a.mrcs.bz2", "a"),
        ("a.b.c.jpeg", "a.b.c"),
        ("grid 1 é.png", "grid 1 é"),
        ("012345678901234567890_a.mrc", "a"),
        ("20240315094512_0001.mrc", "20240315094512_0001"),
        ("1700000000_b.mrc", "1700000000_b"),
        ("a_0123456789_b.mrc", "a_0123456789_b"),
        ("012345678901234567890_.mrc", "012345678901234567890_"),
        ("Falcon_2012_06_12-14_33_35_0.jpg", "Falcon_2012_06_12-14_33_35_0"),
        ("v1.5", "v1.5"),
        (".mrc", ".mrc"),
    ],
)
def test_names_drop_folder_suffix_and_uid(path: str, name: str) -> None:
    assert micrograph_name(path) == name


@given(st.text(alphabet="ab1290_. /é", max_size=40).map(lambda s: s + ".mrc"))
def test_naming_twice_changes_nothing(path: str) -> None:
    assert micrograph_name(micrograph_name(path)) == micrograph_name(path)
    assert image_stem(image_stem(path)) == image_stem(path)


def test_finds_folders_files_and_patterns_sorted(tmp_path: Path) -> None:
    folder = tmp_path / "set[1] =x"
    for name in ("b.mrc", "a.tif", "sub/c.jpg", ".hidden.mrc", "notes.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert find_micrographs(folder) == [folder / "a.tif", folder / "b.mrc"]
    assert find_micrographs(folder / "b.mrc") == [folder / "b.mrc"]
    assert find_micrographs(f"{tmp_path}/*/*.mrc") == [folder / "b.mrc"]
    assert len(find_micrographs(f"{tmp_path}/**/*")) == 3
    with pytest.raises(CryofixError, match=r"no micrographs at .*nothing"):
        find_micrographs(tmp_path / "nothing*")
    with pytest.raises(CryofixError, match=r"notes\.txt is no micrograph"):
        find_micrographs(folder / "notes.txt")


def test_two_micrographs_of_one_name_are_an_error(tmp_path: Path) -> None:
    for name in ("x.mrc", "x.tif.mrc", "012345678901234567890_x.mrc"):
        write_mrc(tmp_path / name, ramp(), 1.0)
    with pytest.raises(CryofixError, match=r"x\.mrc and .*x\.tif\.mrc are both called 'x'"):
        index_micrographs(find_micrographs(tmp_path))


def test_reads_the_real_mrc(mrc_sample: Path) -> None:
    micrograph = read_micrograph(mrc_sample)
    assert micrograph.data.shape == read_info(mrc_sample).shape == (512, 512)
    assert micrograph.pixel_size_angstrom == pytest.approx(6.32)


def test_reads_a_real_jpeg(empiar10017: Path) -> None:
    path = find_micrographs(empiar10017 / "micrographs")[0]
    data = read_micrograph(path).data
    assert data.shape == read_info(path).shape == (4096, 4096)
    assert 0 <= data.min() < data.max() <= 255
