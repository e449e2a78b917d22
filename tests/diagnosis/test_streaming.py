import io
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from cryofix.diagnosis import streaming
from cryofix.diagnosis.arrays import find_arrays
from cryofix.diagnosis.streaming import count_arrays, pair_up, segments
from cryofix.errors import CryofixError
from cryofix.metrics.histogram import ProbabilityHistogram

SHAPE = (3, 40, 50)


@pytest.fixture
def p() -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    return (1 / (1 + np.exp(-rng.normal(-2, 3, SHAPE)))).astype(np.float32)


def counts_of(where: Path, truth: Path | None = None) -> NDArray[np.int64]:
    truths = [] if truth is None else find_arrays(truth, "truth")
    return count_arrays(pair_up(find_arrays(where, "probabilities"), truths))


def refusal(where: Path, truth: Path | None = None) -> str:
    with pytest.raises(CryofixError) as error:
        counts_of(where, truth)
    return str(error.value)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
def test_every_kind_of_float_is_counted_as_float32(
    tmp_path: Path, p: NDArray[np.float32], dtype: str
) -> None:
    np.save(tmp_path / "p.npy", p.astype(dtype))
    expected = ProbabilityHistogram.from_arrays(p.astype(dtype).astype(np.float32))
    np.testing.assert_array_equal(counts_of(tmp_path / "p.npy"), expected.counts)


@pytest.mark.parametrize("kind", ["fortran", "flat", "npz", "compressed", "mrc", "mrcs", "folder"])
def test_every_kind_of_file_gives_the_same_counts(
    tmp_path: Path, p: NDArray[np.float32], kind: str
) -> None:
    path = tmp_path / f"p.{kind}"
    if kind == "fortran":
        path = tmp_path / "p.npy"
        np.save(path, np.asfortranarray(p))
    elif kind == "flat":
        path = tmp_path / "p.npy"
        np.save(path, p.ravel())
    elif kind in ("npz", "compressed"):
        path = tmp_path / "p.npz"
        (np.savez if kind == "npz" else np.savez_compressed)(path, a=p[0], b=p[1:])
    elif kind in ("mrc", "mrcs"):
        with mrcfile.new(path) as mrc:
            mrc.set_data(p)
    else:
        path.mkdir()
        np.save(path / "one.npy", p[0])
        np.savez(path / "two.npz", p[1])
        with mrcfile.new(path / "three.mrc") as mrc:
            mrc.set_data(p[2])
        (path / "readme.txt").write_text("not a map")
    np.testing.assert_array_equal(counts_of(path), ProbabilityHistogram.from_arrays(p).counts)


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_segments_and_threads_change_nothing(
    tmp_path: Path, p: NDArray[np.float32], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"p.{kind}"
    (np.save if kind == "npy" else np.savez_compressed)(path, p)
    np.save(tmp_path / "y.npy", p > 0.3)
    pairs = pair_up(find_arrays(path, "p"), find_arrays(tmp_path / "y.npy", "truth"))
    monkeypatch.setattr(streaming, "SEGMENT", 1000)
    monkeypatch.setattr(streaming, "CHUNK", 300)
    ticks: list[int] = []
    for threads in (1, 3):
        found = count_arrays(pairs, lambda: ticks.append(1), threads=threads)
        expected = ProbabilityHistogram.from_arrays(p, p > 0.3)
        np.testing.assert_array_equal(found, expected.counts)
    assert len(ticks) == 2 * segments(pairs)
    assert segments(pairs) == (6 if kind == "npy" else 1)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float32])
def test_truth_is_found_by_name_and_may_be_missing(
    tmp_path: Path, p: NDArray[np.float32], dtype: type
) -> None:
    maps, truths = tmp_path / "p", tmp_path / "y"
    maps.mkdir()
    truths.mkdir()
    truth = p > 0.3
    for number in range(3):
        np.save(maps / f"m{number}.npy", p[number])
    with mrcfile.new(truths / "m0.mrc") as mrc:  # another format, and one map of three missing
        mrc.set_data(truth[0].astype(np.float32))
    np.save(truths / "m2.npy", truth[2].astype(dtype))
    expected = ProbabilityHistogram.from_arrays(p[::2], truth[::2])
    expected += ProbabilityHistogram.from_arrays(p[1])
    np.testing.assert_array_equal(counts_of(maps, truths), expected.counts)


def test_one_file_and_one_truth_belong_together_whatever_their_names(
    tmp_path: Path, p: NDArray[np.float32]
) -> None:
    np.save(tmp_path / "p.npy", p)
    np.save(tmp_path / "y.npy", p > 0.3)
    expected = ProbabilityHistogram.from_arrays(p, p > 0.3)
    found = counts_of(tmp_path / "p.npy", tmp_path / "y.npy")
    np.testing.assert_array_equal(found, expected.counts)


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    p = np.array([-0.0, 0.0, 0.25, 1.0], np.float32)
    np.save(tmp_path / "p.npy", p)
    np.save(tmp_path / "y.npy", np.array([False, True, True, True]))
    np.testing.assert_array_equal(
        counts_of(tmp_path / "p.npy"), ProbabilityHistogram.from_arrays(abs(p)).counts
    )
    with_truth = counts_of(tmp_path / "p.npy", tmp_path / "y.npy")
    assert with_truth[0, 0] == with_truth[1, 0] == 1
    assert with_truth.sum() == 4


def test_a_stack_that_claims_a_huge_extended_header_is_refused_at_once(tmp_path: Path) -> None:
    header = np.zeros(256, "<i4")
    header[:4] = 8, 8, 3, 2
    header[23] = 2**31 - 1
    (tmp_path / "p.mrcs").write_bytes(header.tobytes())
    tracemalloc.start()
    said = refusal(tmp_path / "p.mrcs")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "p.mrcs is truncated: its header promises 2147485439 bytes and it has 1024" in said
    assert peak < 1 << 24


def _open_bracket(content: bytes) -> bytes:
    return content.replace(b"(3,", b"((,", 1)


def _flipped(content: bytes) -> bytes:
    return content[:3000] + bytes([content[3000] ^ 255]) + content[3001:]


def _unknown_method(content: bytes) -> bytes:
    directory = content.rindex(b"PK\x01\x02") + 10
    content = content[:8] + b"\x63\0" + content[10:]
    return content[:directory] + b"\x63\0" + content[directory + 2 :]


@pytest.mark.parametrize(
    ("name", "save", "damage"),
    [
        ("p.npy", np.save, _open_bracket),
        ("p.npz", np.savez, _open_bracket),
        ("p.npz", np.savez, _flipped),  # a wrong checksum
        ("p.npz", np.savez_compressed, _flipped),  # a broken deflate stream
        ("p.npz", np.savez_compressed, _unknown_method),
        ("p.npy", np.savez, bytes),  # an archive under another name
        ("p.npz", np.save, bytes),
    ],
)
def test_a_damaged_file_is_one_sentence_that_names_it(
    tmp_path: Path,
    p: NDArray[np.float32],
    name: str,
    save: Callable[..., None],
    damage: Callable[[bytes], bytes],
) -> None:
    stream = io.BytesIO()
    save(stream, p)
    (tmp_path / name).write_bytes(damage(stream.getvalue()))
    said = refusal(tmp_path / name)
    assert said.startswith(f"{tmp_path / name}")
    assert "cannot be read" in said
    assert len(said.splitlines()) == 1


def test_nan_is_refused_with_the_file_and_how_many(tmp_path: Path, p: NDArray[np.float32]) -> None:
    p[0, :2, :5] = np.nan
    p[2, 1, 1] = np.nan
    np.save(tmp_path / "maps.npy", p)
    said = refusal(tmp_path / "maps.npy")
    assert "maps.npy holds 11 NaN among 6000 values" in said


def test_bytes_are_refused_unless_they_are_0_and_1(tmp_path: Path, p: NDArray[np.float32]) -> None:
    np.save(tmp_path / "p.npy", np.round(p * 255).astype(np.uint8))
    said = refusal(tmp_path / "p.npy")
    assert "p.npy holds uint8 from 0 to 255" in said
    assert "divide by 255" in said
    np.save(tmp_path / "p.npy", (p > 0.5).astype(np.uint8))
    assert counts_of(tmp_path / "p.npy").sum() == p.size


def test_logits_are_refused_with_the_remedy(tmp_path: Path, p: NDArray[np.float32]) -> None:
    np.save(tmp_path / "p.npy", np.log(p / (1 - p)).astype(np.float64) * 1e300)
    said = refusal(tmp_path / "p.npy")
    assert "p.npy holds" in said
    assert "apply the sigmoid" in said


def test_truth_that_is_not_0_to_1_is_refused(tmp_path: Path, p: NDArray[np.float32]) -> None:
    np.save(tmp_path / "p.npy", p)
    np.save(tmp_path / "y.npy", (255 * (p > 0.5)).astype(np.uint8))
    assert "y.npy holds uint8 from 0 to 255, and truth lie" in refusal(
        tmp_path / "p.npy", tmp_path / "y.npy"
    )
    np.save(tmp_path / "y.npy", np.where(p > 0.5, np.nan, 0.0))
    assert "y.npy holds" in refusal(tmp_path / "p.npy", tmp_path / "y.npy")


def test_truth_of_other_pixels_is_refused(tmp_path: Path, p: NDArray[np.float32]) -> None:
    np.save(tmp_path / "p.npy", p)
    np.save(tmp_path / "y.npy", p[:, :30] > 0.5)
    assert "(3, 30, 50): give maps of the same pixels" in refusal(
        tmp_path / "p.npy", tmp_path / "y.npy"
    )
    np.save(tmp_path / "y.npy", np.asfortranarray(p > 0.5))
    assert "ascontiguousarray" in refusal(tmp_path / "p.npy", tmp_path / "y.npy")
    folder = tmp_path / "truths"
    folder.mkdir()
    np.save(folder / "p.npy", p > 0.5)
    np.save(folder / "other.npy", p > 0.5)
    assert "other.npy belongs to no probability map" in refusal(tmp_path / "p.npy", folder)


def test_files_that_cannot_be_read_are_named(tmp_path: Path, p: NDArray[np.float32]) -> None:
    np.save(tmp_path / "short.npy", p)
    whole = (tmp_path / "short.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:5000])
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "complex.npy", p.astype(np.complex64))
    np.save(tmp_path / "records.npy", np.zeros(3, dtype=[("p", "<f4")]))
    (tmp_path / "junk.npz").write_bytes(b"junk" * 100)
    np.savez(tmp_path / "empty.npz")
    (tmp_path / "junk.mrc").write_bytes(b"\xff" * 3000)
    with mrcfile.new(tmp_path / "short.mrc") as mrc:
        mrc.set_data(p)
    mrc_bytes = (tmp_path / "short.mrc").read_bytes()
    (tmp_path / "short.mrc").write_bytes(mrc_bytes[:5000])
    (tmp_path / "p.txt").write_text("0.5")
    (tmp_path / "folder").mkdir()
    for name in (
        *("short.npy", "objects.npy", "complex.npy", "records.npy", "junk.npz", "empty.npz"),
        *("junk.mrc", "short.mrc", "p.txt", "folder", "missing.npy"),
    ):
        assert name in refusal(tmp_path / name), name


def test_an_archive_cut_short_after_its_header_is_named(
    tmp_path: Path, p: NDArray[np.float32]
) -> None:
    np.save(tmp_path / "p.npy", p)
    (array,) = find_arrays(tmp_path / "p.npy", "probabilities")
    with (tmp_path / "p.npy").open("r+b") as file:  # while it is being read
        file.truncate(5000)
    with pytest.raises(CryofixError, match=r"p\.npy is truncated"):
        count_arrays(pair_up([array], []))


def test_the_corner_of_the_first_map_is_read(tmp_path: Path, p: NDArray[np.float32]) -> None:
    np.save(tmp_path / "p.npy", p)
    np.save(tmp_path / "f.npy", np.asfortranarray(p[0]))
    np.save(tmp_path / "flat.npy", p.ravel())
    first = p[0, :30, :30]
    for name, expected in (("p.npy", first), ("f.npy", first), ("flat.npy", None)):
        (array,) = find_arrays(tmp_path / name, "p")
        corner = array.corner(30)
        if expected is None:
            assert corner is None
        else:
            np.testing.assert_array_equal(corner, expected)


def test_counting_needs_neither_torch_nor_scipy() -> None:
    # It runs while they are being imported.
    code = (
        "import sys, cryofix.diagnosis.streaming\n"
        "assert not {'torch', 'scipy', 'pandas'} & set(sys.modules), 'slow imports'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
