"""RELION's STAR files: as RELION writes them, and as it will look for ours."""

from pathlib import Path

import numpy as np
import pytest
import starfile

from cryofix.errors import CryofixError
from cryofix.formats import (
    MicrographInfo,
    Particles,
    detect_format,
    read_coordinates,
    write_coordinates,
)

INDEX = """
# version 30001

data_coordinate_files

loop_
_rlnMicrographName #1
_rlnMicrographCoordinates #2
MotionCorr/job002/Movies/sub/a.mrc AutoPick/job003/Movies/sub/a_autopick.star
MotionCorr/job002/Movies/b.mrc AutoPick/job003/Movies/b_autopick.star
"""
PICKS = """
# version 30001

data_

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnClassNumber #3
_rlnAnglePsi #4
_rlnAutopickFigureOfMerit #5
   60.000000    10.000000            1   330.000000     0.523123
    5.500000     2.000000            2     0.000000    -0.250000

"""
PARTICLES = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnVoltage #3
opticsGroup1 1 300.000000


# version 30001

data_particles

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnImageName #3
_rlnMicrographName #4
_rlnOpticsGroup #5
60.0 10.0 000001@Extract/job005/Movies/a.mrcs MotionCorr/job002/Movies/a.mrc 1
 7.0 30.0 000001@Extract/job005/Movies/b.mrcs MotionCorr/job002/Movies/b.mrc 1
 5.0  2.0 000002@Extract/job005/Movies/a.mrcs MotionCorr/job002/Movies/a.mrc 1
"""


def infos(*paths: str) -> dict[str, MicrographInfo]:
    return {Path(path).stem: MicrographInfo(Path(path), (40, 70), 1.25) for path in paths}


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    job = tmp_path / "AutoPick" / "job003"
    put(job / "autopick.star", INDEX)
    put(job / "Movies" / "sub" / "a_autopick.star", PICKS)
    put(job / "Movies" / "b_autopick.star", PICKS.replace("60.0", "61.0"))
    return tmp_path


@pytest.mark.parametrize("where", ["AutoPick/job003/autopick.star", "AutoPick/job003"])
def test_reads_an_index_from_any_current_folder(project: Path, where: str) -> None:
    found = read_coordinates(project / where, infos("x/a.mrc", "x/b.mrc"))
    assert found["a"].x.tolist() == [60, 5.5]
    assert found["a"].y.tolist() == [10, 2]
    assert found["a"].score is not None
    assert found["a"].score.tolist() == [0.523123, -0.25]
    assert found["b"].x.tolist() == [61, 5.5]


def test_reads_a_folder_without_an_index_by_suffix(project: Path) -> None:
    job = project / "AutoPick" / "job003"
    (job / "autopick.star").unlink()
    assert set(read_coordinates(job, infos("a.mrc", "b.mrc"))) == {"a", "b"}
    put(job / "c_mine.star", PICKS)
    found = read_coordinates(job, infos("a.mrc", "c.mrc"), suffix="_mine.star")
    assert list(found) == ["c"]
    with pytest.raises(CryofixError, match=r"no STAR that ends in _other\.star"):
        read_coordinates(job, infos("a.mrc"), suffix="_other.star")


def test_reads_the_star_of_one_micrograph(project: Path) -> None:
    path = project / "AutoPick" / "job003" / "Movies" / "b_autopick.star"
    assert list(read_coordinates(path, infos("b.mrc"))) == ["b"]
    bare = put(project / "b.star", PICKS)
    assert list(read_coordinates(bare, infos("b.mrc"))) == ["b"]


def test_reads_particles_of_version_3_1_and_3_0(tmp_path: Path) -> None:
    path = put(tmp_path / "p.star", PARTICLES)
    old = put(tmp_path / "old.star", "data_\n" + PARTICLES.split("data_particles")[1])
    for star in (path, old):
        found = read_coordinates(star, infos("a.mrc", "b.mrc"))
        assert found["a"].x.tolist() == [60, 5]
        assert found["b"].y.tolist() == [30]
        assert found["a"].score is None


def test_manual_picks_have_no_score(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a_manualpick.star", PICKS.replace("0.523123", "-999").replace("-0.25", "-999.0")
    )
    found = read_coordinates(path, infos("a.mrc"))["a"]
    assert found.score is None


def test_y_is_turned_over_for_tiffs_as_relion_does(tmp_path: Path) -> None:
    path = put(tmp_path / "a_autopick.star", PICKS)
    assert read_coordinates(path, infos("a.mrc"))["a"].y.tolist() == [10, 2]
    assert read_coordinates(path, infos("a.tiff"))["a"].y.tolist() == [29, 37]
    assert read_coordinates(path, infos("a.tiff"), y_origin="top")["a"].y.tolist() == [10, 2]


def test_a_row_outside_is_named_by_its_row_in_the_file(tmp_path: Path) -> None:
    path = put(tmp_path / "p.star", PARTICLES.replace(" 5.0  2.0", "71.0  2.0"))
    with pytest.raises(CryofixError, match=r"p\.star, row 3: x = 71 is outside a\.mrc"):
        read_coordinates(path, infos("a.mrc", "b.mrc"))


def test_a_listed_file_that_is_gone_is_an_error(project: Path) -> None:
    (project / "AutoPick/job003/Movies/b_autopick.star").unlink()
    with pytest.raises(CryofixError, match=r"autopick\.star lists AutoPick/job003/Movies/b_auto"):
        read_coordinates(project / "AutoPick/job003", infos("a.mrc", "b.mrc"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", r"x\.star has no block with rlnCoordinateX"),
        ("data_optics\n\nloop_\n_rlnVoltage #1\n300\n", r"x\.star has no block"),
        (
            "data_coordinate_files\n\nloop_\n_rlnMicrographName #1\na.mrc\n",
            r"coordinate_files lacks rlnMicrographCoordinates",
        ),
        (
            PICKS.replace("10.000000", "ten"),
            r"x\.star, row 1: rlnCoordinateY is 'ten', not a number",
        ),
        ("data_x\n\nloop_\n_a #1\n_b #2\n1 2 3\n4\n", r"x\.star cannot be read as a STAR file"),
        (
            INDEX.replace("MotionCorr", "data_1"),
            r"x\.star (has a row that begins with data_|cannot be read)",
        ),
        ("", r"x\.star has no block"),
    ],
)
def test_other_stars_are_errors_with_the_name(tmp_path: Path, text: str, message: str) -> None:
    path = put(tmp_path / "x.star", text)
    with pytest.raises(CryofixError, match=message):
        read_coordinates(path, infos("x.mrc"))


def test_writes_where_relion_looks(tmp_path: Path) -> None:
    images = infos(
        str(tmp_path / "MotionCorr/job002/Movies/sub/a.mrc"),
        str(tmp_path / "raw/b.mrc"),
        "/elsewhere/c.mrc",
    )
    one = Particles(np.array([60.5]), np.array([10.25]), np.array([0.5]))
    job = tmp_path / "External" / "job007"
    written = write_coordinates(
        job, dict.fromkeys(images, one), images, format="relion", project=tmp_path
    )
    assert written == [
        job / "autopick.star",
        job / "Movies/sub/a_autopick.star",
        job / "raw/b_autopick.star",
        job / "c_autopick.star",
    ]
    index = starfile.read(written[0], always_dict=True)["coordinate_files"]
    assert index["rlnMicrographName"].tolist() == [
        "MotionCorr/job002/Movies/sub/a.mrc",
        "raw/b.mrc",
        "/elsewhere/c.mrc",
    ]
    assert index["rlnMicrographCoordinates"][0] == "External/job007/Movies/sub/a_autopick.star"
    picks = starfile.read(written[1])
    assert list(picks.columns)[:3] == [
        "rlnCoordinateX",
        "rlnCoordinateY",
        "rlnAutopickFigureOfMerit",
    ]
    assert detect_format(job) == "relion"


def test_writes_manual_picks_under_their_suffix(tmp_path: Path) -> None:
    one = {"a": Particles(np.array([60.5]), np.array([10.25]))}
    job = tmp_path / "job"
    write_coordinates(job, one, infos("raw/a.mrc"), format="relion", kind="manualpick")
    assert (job / "manualpick.star").is_file()
    assert (job / "raw" / "a_manualpick.star").is_file()
    assert read_coordinates(job, infos("raw/a.mrc"))["a"].score is None
    with pytest.raises(CryofixError, match="kind=pick is not known"):
        write_coordinates(job, one, infos("raw/a.mrc"), format="relion", kind="pick")


def test_two_micrographs_never_share_a_file(tmp_path: Path) -> None:
    one = Particles(np.array([60.5]), np.array([10.25]))
    images = {
        "a": MicrographInfo(Path("/x/a.mrc"), (40, 70), None),
        "b": MicrographInfo(Path("/y/a.mrc"), (40, 70), None),
    }
    with pytest.raises(CryofixError, match=r"would both have their picks in .*a_autopick\.star"):
        write_coordinates(tmp_path / "job", {"a": one, "b": one}, images, format="relion")
    assert not (tmp_path / "job").exists()


def test_particles_have_an_optics_group_for_each_pixel_size(tmp_path: Path) -> None:
    one = Particles(np.array([60.5]), np.array([10.25]))
    images = {
        name: MicrographInfo(Path(f"{name}.mrc"), (40, 70), size)
        for name, size in (("a", 1.25), ("b", 0.83), ("c", 1.2500001))
    }
    path = tmp_path / "p.star"
    write_coordinates(
        path, dict.fromkeys(images, one), images, format="relion_particles", voltage_kv=200
    )
    blocks = starfile.read(path, always_dict=True)
    assert blocks["optics"]["rlnMicrographPixelSize"].tolist() == [1.25, 0.83]
    assert blocks["optics"]["rlnVoltage"].tolist() == [200, 200]
    assert blocks["particles"]["rlnOpticsGroup"].tolist() == [1, 2, 1]
    nameless = {"a": MicrographInfo(Path("a.jpg"), (40, 70), None)}
    with pytest.raises(CryofixError, match=r"a\.jpg does not say its pixel size"):
        write_coordinates(path, {"a": one}, nameless, format="relion_particles")


@pytest.mark.parametrize("name", ["it's.mrc", 'say "x".mrc', "a#1.mrc", "a\tb.mrc"])
def test_names_that_star_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    one = {"a": Particles(np.array([60.5]), np.array([10.25]))}
    images = {"a": MicrographInfo(Path(name), (40, 70), 1.0)}
    for kind in ("relion", "relion_particles"):
        with pytest.raises(CryofixError, match="rename the file or the folder"):
            write_coordinates(tmp_path / "x.star", one, images, format=kind)


def test_names_lead_up_and_down_again_without_a_detour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "project" / "Micrographs"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    one = Particles(np.array([60.0]), np.array([10.0]))
    for path in ("a.mrc", "../Micrographs/a.mrc", str(here / "a.mrc")):
        info = {"a": MicrographInfo(Path(path), (40, 70), 1.5)}
        files = write_coordinates("../Picks", {"a": one}, info, format="relion", project="..")
        assert [file.exists() for file in files] == [True, True]
        index = starfile.read(tmp_path / "project" / "Picks" / "autopick.star")
        assert index.to_numpy().tolist() == [
            ["Micrographs/a.mrc", "Picks/Micrographs/a_autopick.star"]
        ]
    info = {"a": MicrographInfo(Path("../../data/a.mrc"), (40, 70), 1.5)}
    files = write_coordinates("../Picks", {"a": one}, info, format="relion", project="..")
    assert [Path("..", "Picks") in file.parents for file in files] == [True, True]
