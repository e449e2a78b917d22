"""What holds for every format: names, frames, bounds, duplicates, empty files."""

import logging
from pathlib import Path

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import (
    MicrographInfo,
    Particles,
    detect_format,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    read_micrograph,
    write_coordinates,
    write_mrc,
)

ROWS, COLUMNS = 40, 70


def infos(*names: str) -> dict[str, MicrographInfo]:
    """Headers of micrographs that do not exist, which coordinate readers never open."""
    return {Path(name).stem: MicrographInfo(Path(name), (ROWS, COLUMNS), None) for name in names}


def csv(path: Path, *rows: str, header: str = "X-Coordinate,Y-Coordinate,Diameter") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_particles_select_scale_and_count() -> None:
    particles = Particles(
        np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([0.5, 0.9]), np.array([10.0, 20.0])
    )
    half = particles.select(np.array([False, True])).scaled(0.5)
    assert len(particles) == 2
    assert (half.x[0], half.y[0], half.diameter_px) == (1.0, 2.0, np.array([10.0]))
    assert half.score == np.array([0.9])
    assert len(Particles.empty()) == 0
    assert particles.select(np.array([1, 0])).y.tolist() == [4.0, 3.0]


def test_particles_refuse_columns_of_different_length() -> None:
    with pytest.raises(CryofixError, match=r"score has shape \(3,\) where x has \(2,\)"):
        Particles(np.zeros(2), np.zeros(2), np.zeros(3))


@pytest.mark.parametrize(
    ("image", "row"),
    [("a.mrc", 30), ("a.mrcs", 30), ("a.mrc.gz", 30), ("a.tif", 30), ("a.jpg", 10), ("a.png", 10)],
)
def test_csv_counts_y_from_the_bottom_of_an_mrc_and_the_top_of_a_jpeg(
    tmp_path: Path, image: str, row: float
) -> None:
    csv(tmp_path / "a.csv", "60,10,8")
    particles = read_coordinates(tmp_path, {"a": MicrographInfo(Path(image), (40, 70), None)})["a"]
    assert particles.x.tolist() == [60]
    assert particles.y.tolist() == [row]
    assert particles.diameter_px is not None
    assert particles.diameter_px.tolist() == [8]


def test_y_origin_overrides_the_default(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "60,10,8")
    assert read_coordinates(tmp_path, infos("a.mrc"), y_origin="top")["a"].y.tolist() == [10]
    assert read_coordinates(tmp_path, infos("a.jpg"), y_origin="bottom")["a"].y.tolist() == [30]
    with pytest.raises(CryofixError, match="y_origin=up is not known"):
        read_coordinates(tmp_path, infos("a.jpg"), y_origin="up")  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("a", "a.mrc"),
        ("a.mrc", "a.mrc"),
        ("012345678901234567890_a", "a.mrc"),
        ("a", "012345678901234567890_a.mrc"),
        ("grid.1 é=2_x.y", "grid.1 é=2_x.y.mrc"),
    ],
)
def test_names_match_with_and_without_extension_and_uid(
    tmp_path: Path, label: str, image: str
) -> None:
    csv(tmp_path / f"{label}.csv", "60,10,8")
    found = read_coordinates(tmp_path, infos(image))
    assert list(found) == [Path(image).stem]


def test_keys_may_carry_extensions_and_come_back_as_given(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "60,10,8")
    info = MicrographInfo(Path("a.mrc"), (40, 70), None)
    assert list(read_coordinates(tmp_path, {"a.mrc": info})) == ["a.mrc"]
    with pytest.raises(CryofixError, match=r"which may be 'a' or 'a\.mrc'"):
        read_coordinates(tmp_path, {"a": info, "a.mrc": info})


def test_a_micrograph_without_a_file_is_absent_not_empty(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "60,10,8")
    assert list(read_coordinates(tmp_path, infos("a.mrc", "b.mrc"))) == ["a"]


def test_labels_of_other_micrographs_are_ignored_with_a_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        csv(tmp_path / f"{name}.csv", "60,10,8")
    with caplog.at_level(logging.INFO):
        assert list(read_coordinates(tmp_path, infos("b.mrc"))) == ["b"]
    assert "ignored the labels of 2 micrographs" in caplog.text


def test_no_match_at_all_shows_a_name_of_either_side(tmp_path: Path) -> None:
    csv(tmp_path / "left.csv", "60,10,8")
    with pytest.raises(CryofixError, match=r"like 'left', the micrographs like 'right'"):
        read_coordinates(tmp_path, infos("right.mrc"))
    with pytest.raises(CryofixError, match="there are no micrographs"):
        read_coordinates(tmp_path, {})


def test_exact_duplicates_go_with_a_count_and_the_best_score_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    header = "X-Coordinate,Y-Coordinate,Score"
    csv(tmp_path / "a.csv", "9,9,0.1", "5,6,0.2", "5,6,0.8", "5,6.5,0.3", "9,9,0.1", header=header)
    found = read_coordinates(tmp_path, infos("a.jpg"))["a"]
    assert found.x.tolist() == [9, 5, 5]
    assert found.y.tolist() == [9, 6, 6.5]
    assert found.score is not None
    assert found.score.tolist() == [0.1, 0.8, 0.3]
    assert "removed 2 exact duplicates" in caplog.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("74.5,10,8", r"a\.csv, row 3: x = 74\.5 is outside a\.jpg, which has 70 columns"),
        ("-4.25,10,8", r"row 3: x = -4\.25 is outside"),
        ("10,44.01,8", r"row 3: y = 44\.01 is outside"),
        ("10,,8", r"a\.csv, row 3: Y-Coordinate is '', not a number"),
        ("10,abc,8", r"a\.csv, row 3: Y-Coordinate is 'abc', not a number"),
        ("inf,10,8", r"a\.csv, row 3: X-Coordinate is 'inf', not a number"),
    ],
)
def test_bad_coordinates_name_file_row_and_value(tmp_path: Path, row: str, message: str) -> None:
    csv(tmp_path / "a.csv", "0,0,8", "70,40,8", row)
    with pytest.raises(CryofixError, match=message):
        read_coordinates(tmp_path, infos("a.jpg"))


def test_an_empty_file_is_an_empty_micrograph_only_if_the_user_says_so(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv")
    with pytest.raises(CryofixError, match=r"a\.csv lists no particles.*allow_empty=true"):
        read_coordinates(tmp_path, infos("a.jpg"))
    assert len(read_coordinates(tmp_path, infos("a.jpg"), allow_empty=True)["a"]) == 0


def test_two_files_for_one_micrograph_are_an_error(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "60,10,8")
    csv(tmp_path / "012345678901234567890_a.csv", "60,10,8")
    with pytest.raises(
        CryofixError, match=r"012345678901234567890_a\.csv and .*a\.csv both label a\.mrc"
    ):
        read_coordinates(tmp_path, infos("a.mrc"))


def test_unknown_formats_options_and_paths_are_errors(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "60,10,8")
    with pytest.raises(CryofixError, match="format=txt is not known"):
        read_coordinates(tmp_path, infos("a.mrc"), format="txt")
    with pytest.raises(CryofixError, match="diametre is no option of the format cryoppp"):
        read_coordinates(tmp_path, infos("a.mrc"), diametre=3)
    with pytest.raises(CryofixError, match="gone does not exist"):
        read_coordinates(tmp_path / "gone", infos("a.mrc"))
    with pytest.raises(CryofixError, match="gone does not exist"):
        read_coordinates(tmp_path / "gone", infos("a.mrc"), format="cryoppp")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CryofixError, match=r"notes\.txt is in no format"):
        detect_format(tmp_path / "notes.txt")
    (tmp_path / "none").mkdir()
    with pytest.raises(CryofixError, match="none is in no format"):
        detect_format(tmp_path / "none")
    with pytest.raises(CryofixError, match="holds no CSV"):
        read_coordinates(tmp_path / "none", infos("a.mrc"), format="cryoppp")


def test_writing_refuses_unknown_micrographs_and_particles_outside(tmp_path: Path) -> None:
    outside = {"a": Particles(np.array([71.0]), np.array([3.0]))}
    with pytest.raises(CryofixError, match="x = 71 is outside"):
        write_coordinates(tmp_path / "o", outside, infos("a.mrc"), format="cryoppp")
    with pytest.raises(CryofixError, match="particles for 'a' and no such micrograph"):
        write_coordinates(tmp_path / "o", outside, infos("b.mrc"), format="cryoppp")
    assert not (tmp_path / "o").exists()


def test_real_labels_lie_on_real_particles(empiar10017: Path) -> None:
    """Particles of this set are dark against their surroundings; elsewhere they are not."""
    micrographs = index_micrographs(find_micrographs(empiar10017 / "micrographs")[:1])
    particles = read_coordinates(empiar10017 / "coordinates", micrographs)
    [(name, its)] = particles.items()
    assert len(its) == 634
    data = read_micrograph(micrographs[name].path).data
    values = data[its.y.astype(int), its.x.astype(int)]
    mirrored = data[4096 - its.y.astype(int), its.x.astype(int)]
    assert abs(values.mean() - data.mean()) > 2 * abs(mirrored.mean() - data.mean())


UIDS = ("000000000000000000001", "000000000000000000002")


def test_cryosparcs_numbers_tell_micrographs_apart_that_share_a_name(tmp_path: Path) -> None:
    paths = [tmp_path / f"{uid}_0001.mrc" for uid in UIDS]
    for path in paths:
        write_mrc(path, np.arange(400 * 700).reshape(400, 700), 1.0)
    infos = index_micrographs(paths)
    assert list(infos) == [f"{uid}_0001" for uid in UIDS]
    table = tmp_path / "p.tsv"
    rows = "".join(f"{uid}_0001\t{60 + n}\t10\n" for n, uid in enumerate(UIDS))
    table.write_text(f"image_name\tx_coord\ty_coord\n{rows}")
    found = read_coordinates(table, infos, format="topaz")
    assert [float(found[f"{uid}_0001"].x[0]) for uid in UIDS] == [60, 61]
    table.write_text("image_name\tx_coord\ty_coord\n0001\t60\t10\n")
    with pytest.raises(CryofixError, match=r"labels '0001', which may be '0+1_0001' or '0+2_0001'"):
        read_coordinates(table, infos, format="topaz")


@pytest.mark.parametrize(
    "names", [(f"{UIDS[0]}_a", f"{UIDS[1]}_a"), ("grid1/a.mrc", "grid2/a.mrc")]
)
def test_labels_of_two_micrographs_are_not_joined_in_one_of_the_same_name(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    table = tmp_path / "p.tsv"
    rows = "".join(f"{name}\t60\t10\n" for name in names)
    table.write_text(f"image_name\tx_coord\ty_coord\n{rows}")
    infos = {"a": MicrographInfo(Path("a.mrc"), (400, 700), None)}
    with pytest.raises(CryofixError, match=r"p\.tsv labels .* which may both be a\.mrc: keep"):
        read_coordinates(table, infos, format="topaz")
