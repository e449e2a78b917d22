"""cryoSPARC's structured arrays, which are read without ever unpickling."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import (
    MicrographInfo,
    Particles,
    detect_format,
    read_coordinates,
    write_coordinates,
)

NAME = "J2/motioncorrected/012345678901234567890_a_patch_aligned.mrc"
IMAGES = {"a_patch_aligned": MicrographInfo(Path(NAME), (400, 700), 1.5)}


def dataset(path_type: str, paths: list[Any]) -> np.ndarray:
    array = np.zeros(
        len(paths),
        dtype=[
            ("uid", "<u8"),
            ("location/micrograph_path", path_type),
            ("location/micrograph_shape", "<u4", (2,)),
            ("location/center_x_frac", "<f4"),
            ("location/center_y_frac", "<f4"),
        ],
    )
    array["location/micrograph_path"] = paths
    array["location/center_x_frac"] = 0.5
    array["location/center_y_frac"] = 0.25
    return array


def save(path: Path, array: np.ndarray, allow_pickle: bool = False) -> Path:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=allow_pickle)
    return path


@pytest.mark.parametrize("path_type", ["S80", "U80"])
def test_fractions_become_pixels_with_the_y_origin_that_is_given(
    tmp_path: Path, path_type: str
) -> None:
    path = save(tmp_path / "p.cs", dataset(path_type, [">" + NAME]))
    top = read_coordinates(path, IMAGES, y_origin="top")["a_patch_aligned"]
    bottom = read_coordinates(path, IMAGES, y_origin="bottom")["a_patch_aligned"]
    assert (top.x.tolist(), top.y.tolist()) == ([350], [100])
    assert (bottom.x.tolist(), bottom.y.tolist()) == ([350], [300])
    assert detect_format(path) == "cryosparc"


def test_y_origin_has_to_be_said_for_reading_and_writing(tmp_path: Path) -> None:
    path = save(tmp_path / "p.cs", dataset("S80", [NAME]))
    with pytest.raises(CryofixError, match="cryosparc needs y_origin=top or y_origin=bottom"):
        read_coordinates(path, IMAGES)
    particles = {"a_patch_aligned": Particles(np.array([3.0]), np.array([4.0]))}
    with pytest.raises(CryofixError, match="cryosparc needs y_origin"):
        write_coordinates(tmp_path / "q.cs", particles, IMAGES, format="cryosparc")


class _Boom:
    """Something whose unpickling would be noticed."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("the file was unpickled",))


def test_python_objects_are_refused_and_never_run(tmp_path: Path) -> None:
    path = save(tmp_path / "p.cs", dataset("O", [_Boom()]), allow_pickle=True)
    with pytest.raises(CryofixError, match=r"p\.cs holds Python objects.*cryosparc-tools"):
        read_coordinates(path, IMAGES, y_origin="top")
    path.write_bytes(pickle.dumps(_Boom()))
    with pytest.raises(CryofixError, match=r"p\.cs is no NumPy array"):
        read_coordinates(path, IMAGES, y_origin="top")


def test_damaged_compressed_and_other_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "p.cs"
    path.write_bytes(b"\x95CSDAT" + bytes(100))
    with pytest.raises(CryofixError, match=r"p\.cs is no NumPy array.*compressed"):
        read_coordinates(path, IMAGES, y_origin="top")
    save(path, dataset("S80", [NAME] * 9))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CryofixError, match=r"p\.cs cannot be read as a \.cs file"):
        read_coordinates(path, IMAGES, y_origin="top")
    save(path, np.zeros(3, dtype=[("uid", "<u8")]))
    with pytest.raises(CryofixError, match=r"p\.cs lacks location/micrograph_path.*passthrough"):
        read_coordinates(path, IMAGES, y_origin="top")
    save(path, np.zeros(3))
    with pytest.raises(CryofixError, match=r"p\.cs lacks location/micrograph_path"):
        read_coordinates(path, IMAGES, y_origin="top")


def test_writes_the_fields_that_cryosparc_has(tmp_path: Path) -> None:
    particles = Particles(
        np.array([350.0, 7.0]), np.array([100.0, 4.0]), np.array([0.5, 0.25]), np.full(2, 108.0)
    )
    path = tmp_path / "p.cs"
    for _ in range(2):
        written = write_coordinates(
            path, {"a_patch_aligned": particles}, IMAGES, format="cryosparc", y_origin="top"
        )
    assert written == [path]
    array = np.load(path, allow_pickle=False)
    assert array["location/center_x_frac"][0] == 0.5
    assert array["location/center_y_frac"][0] == 0.25
    assert array["location/micrograph_shape"].tolist() == [[400, 700]] * 2
    assert array["location/micrograph_path"][0].decode() == NAME
    assert array["location/micrograph_uid"].tolist() == [12345678901234567890] * 2
    assert array["location/min_dist_A"].tolist() == [162, 162]
    assert len(set(array["uid"].tolist())) == 2
    assert not array.dtype.hasobject


def test_no_particles_at_all_are_a_valid_file(tmp_path: Path) -> None:
    write_coordinates(tmp_path / "p.cs", {}, IMAGES, format="cryosparc", y_origin="top")
    assert len(np.load(tmp_path / "p.cs", allow_pickle=False)) == 0
    with pytest.raises(CryofixError, match=r"p\.cs holds no coordinates"):
        read_coordinates(tmp_path / "p.cs", IMAGES, y_origin="top")
