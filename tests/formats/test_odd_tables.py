"""Coordinate files as people have them: odd sizes, gaps, edges, several blocks, other folders."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles, read_coordinates, write_coordinates
from cryofix.formats.option_keys import CommandKeys
from cryofix.formats.tables import split_by_name
from support import growth

ROWS, COLUMNS = 400, 700
IMAGES = {name: MicrographInfo(Path(f"{name}.mrc"), (ROWS, COLUMNS), 2.0) for name in ("a", "b")}
JPEGS = {name: MicrographInfo(Path(f"{name}.jpg"), (ROWS, COLUMNS), None) for name in ("a", "b")}


def loop(block: str, names: str, *rows: str) -> str:
    header = "".join(f"_{name} #{i}\n" for i, name in enumerate(names.split(), start=1))
    return f"data_{block}\n\nloop_\n{header}" + "".join(f"{row}\n" for row in rows) + "\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


CBOX = "CoordinateX CoordinateY Width Height EstWidth EstHeight Confidence"


@pytest.mark.parametrize("size", ["-5", "0", "1e9", "inf"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "X-Coordinate,Y-Coordinate,Diameter\n9,9,8\n9,19,SIZE\n"),
        ("a.cbox", loop("cryolo", CBOX, "9 9 8 8 8 8 1", "9 19 8 8 SIZE SIZE 1")),
        ("a.cbox", loop("cryolo", CBOX, "9 9 8 8 8 8 1", "9 19 SIZE SIZE 8 8 1")),
        ("a.box", "9 9 8 8\n9 19 SIZE SIZE\n"),
        (
            "a.json",
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox":'
            ' [9, 9, 8, 8]}, {"image_id": 1, "bbox": [9, 19, "SIZE", "SIZE"]}]}',
        ),
    ],
)
def test_a_size_that_no_particle_has_is_refused_with_its_row(
    tmp_path: Path, name: str, text: str, size: str
) -> None:
    path = put(tmp_path / name, text.replace("SIZE", size))
    with pytest.raises(CryofixError, match=rf"{name}, row 2: "):
        read_coordinates(path, IMAGES)


@pytest.mark.parametrize(
    ("format", "option", "value", "wanted"),
    [
        ("topaz", "downsample", 0, "a number above 0"),
        ("topaz", "downsample", np.inf, "a number above 0"),
        ("eman", "box_size_px", -5, "a number above 0"),
        ("cryolo", "box_size_px", np.nan, "a number above 0"),
        ("cryoppp", "diameter_px", 0, "a number above 0"),
        ("coco", "diameter_px", "wide", "a number above 0"),
        ("relion_particles", "voltage_kv", 0, "a number above 0"),
        ("relion_particles", "spherical_aberration_mm", -1, "a number of 0 or more"),
        ("cryosparc", "exposure_group", -1, "a whole number"),
    ],
)
def test_an_option_that_is_no_length_is_refused_by_its_name(
    tmp_path: Path, format: str, option: str, value: Any, wanted: str
) -> None:
    one = {"a": Particles(np.array([60.0]), np.array([10.0]))}
    options: dict[str, Any] = {"format": format, "y_origin": "top", option: value}
    with pytest.raises(CryofixError, match=rf"^{option}={value} has to be {wanted}"):
        write_coordinates(tmp_path / "o", one, IMAGES, **options)


def test_single_optional_values_may_be_missing(tmp_path: Path) -> None:
    """In every format that has them: the particle stays, its size or score is NaN."""
    star = "rlnCoordinateX rlnCoordinateY rlnAutopickFigureOfMerit"
    files = {
        "a.csv": "X-Coordinate,Y-Coordinate,Diameter,Score\n9,9,8,0.5\n9,19,,nan\n",
        "a.cbox": loop("cryolo", CBOX, "5 5 8 8 8 8 0.5", "5 15 8 8 <NA> 8 <NA>"),
        "a.star": loop("", star, "9 9 0.5", "9 19 nan"),
        "a.tsv": "image_name\tx_coord\ty_coord\tscore\na\t9\t9\t0.5\na\t9\t19\t\n",
        "a.json": '{"a.jpg": [[9, 9, 0.5], [9, 19, null]]}',
    }
    for name, text in files.items():
        found = read_coordinates(put(tmp_path / name, text), JPEGS)["a"]
        assert found.y.tolist() == [9, 19], name
        np.testing.assert_array_equal(found.score, [0.5, np.nan], err_msg=name)
        if name in ("a.csv", "a.cbox"):
            np.testing.assert_array_equal(found.diameter_px, [8, np.nan], err_msg=name)


@pytest.mark.parametrize(
    "format", ["cryoppp", "relion", "cryolo", "eman", "topaz", "cryosparc", "json", "coco"]
)
def test_missing_scores_can_be_written(tmp_path: Path, format: str) -> None:
    gaps = Particles(
        np.array([60.0, 80.0]), np.array([10.0, 20.0]), np.array([0.5, np.nan]), np.full(2, 30.0)
    )
    path = tmp_path / ("o.json" if format in ("json", "coco") else "o")
    write_coordinates(path, {"a": gaps}, IMAGES, format=format, y_origin="top")
    found = read_coordinates(path, IMAGES, format=format, y_origin="top")["a"]
    np.testing.assert_allclose(found.x, [60, 80], atol=1e-3)
    assert found.score is not None
    assert found.score[0] == 0.5
    lowest = {"eman": -3, "cryosparc": 0}.get(format, np.nan)
    np.testing.assert_array_equal(found.score[1], lowest)


def test_a_particle_that_the_edge_cuts_is_kept_with_a_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = put(
        tmp_path / "a.csv", "X-Coordinate,Y-Coordinate,Diameter\n-0.3,9,8\n9,403.5,8\n9,9,8\n"
    )
    found = read_coordinates(path, JPEGS)["a"]
    assert found.x.tolist() == [-0.3, 9, 9]
    assert found.y.tolist() == [9, 403.5, 9]
    assert "kept 2 particles whose centre is outside the image by up to 3.5 pixels" in caplog.text
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    write_coordinates(tmp_path / "b.json", {"a": found}, JPEGS, format="json")
    assert read_coordinates(tmp_path / "b.json", JPEGS)["a"].x.tolist() == [-0.3, 9, 9]


def test_particles_further_outside_are_an_error_that_offers_to_drop_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = put(tmp_path / "a.csv", "X-Coordinate,Y-Coordinate,Diameter\n-4.3,9,8\n9,9,8\n9,500,8\n")
    keys = CommandKeys("data.read.", "data.")
    with pytest.raises(
        CryofixError,
        match=r"row 1: x = -4\.3 is outside a\.jpg.*its 3 particles 2 are.* data\.outside=drop",
    ):
        read_coordinates(path, JPEGS, keys=keys)
    assert read_coordinates(path, JPEGS, outside="drop")["a"].y.tolist() == [9]
    assert "left out 2 particles outside of their image" in caplog.text
    with pytest.raises(CryofixError, match="outside=maybe is not known; use one of error, drop"):
        read_coordinates(path, JPEGS, outside="maybe")  # type: ignore[arg-type] # wrong on purpose


def test_without_a_diameter_one_percent_of_the_longer_side_is_near(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "X-Coordinate,Y-Coordinate\n706.9,9\n")
    assert read_coordinates(path, JPEGS)["a"].x.tolist() == [706.9]
    put(path, "X-Coordinate,Y-Coordinate\n707.1,9\n")
    with pytest.raises(CryofixError, match=r"x = 707\.1 is outside"):
        read_coordinates(path, JPEGS)


def test_every_block_of_a_star_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = "rlnMicrographName rlnCoordinateX rlnCoordinateY"
    path = put(
        tmp_path / "p.star",
        loop("particles", names, "raw/a.mrc 1 2", "raw/b.mrc 3 4")
        + loop("particles", names, "raw/a.mrc 5 6"),
    )
    found = read_coordinates(path, IMAGES)
    assert found["a"].x.tolist() == [1, 5]
    assert found["b"].x.tolist() == [3]
    assert not caplog.records
    put(path, path.read_text() + loop("more", names, "raw/b.mrc 7 8"))
    assert read_coordinates(path, IMAGES)["b"].x.tolist() == [3, 7]
    assert "read the particles of all its blocks, data_particles, data_more" in caplog.text
    put(path, "".join(loop(f"b{i}", names, f"raw/b.mrc {i} 8") for i in range(9)))
    assert read_coordinates(path, IMAGES)["b"].x.tolist() == list(range(9))
    assert caplog.messages[-1].endswith("data_b0, data_b1, data_b2 and 6 more")


def test_every_list_of_an_index_and_every_block_of_a_cbox_is_read(tmp_path: Path) -> None:
    names = "rlnMicrographName rlnMicrographCoordinates"
    for name in ("a", "b"):
        put(tmp_path / f"{name}_pick.star", loop("", "rlnCoordinateX rlnCoordinateY", "1 2"))
    index = "".join(
        loop("coordinate_files", names, f"raw/{name}.mrc {name}_pick.star") for name in "ab"
    )
    assert set(read_coordinates(put(tmp_path / "autopick.star", index), IMAGES)) == {"a", "b"}
    boxes = [loop("cryolo", CBOX, f"{x} 5 8 8 8 8 1") for x in (5, 25)]
    cbox = put(tmp_path / "a.cbox", "".join(boxes))
    assert read_coordinates(cbox, IMAGES)["a"].x.tolist() == [9, 29]


def test_an_index_may_list_boxes(tmp_path: Path) -> None:
    names = "rlnMicrographName rlnMicrographCoordinates"
    put(tmp_path / "a_manual.box", "60 10 20 30\n")
    path = put(tmp_path / "m.star", loop("coordinate_files", names, "raw/a.mrc a_manual.box"))
    found = read_coordinates(path, IMAGES)["a"]
    assert (found.x.tolist(), found.y.tolist()) == ([70], [25])
    put(tmp_path / "a.txt", "")
    put(path, loop("coordinate_files", names, "raw/a.mrc a.txt"))
    with pytest.raises(
        CryofixError, match=r"m\.star lists a\.txt, and cryofix reads STAR and \.box"
    ):
        read_coordinates(path, IMAGES)


@pytest.mark.parametrize("where", [".", "coords_suffix_autopick.star"])
def test_the_job_folder_of_relion_3_0_is_read(tmp_path: Path, where: str) -> None:
    picks = loop("", "rlnCoordinateX rlnCoordinateY", "1 2")
    put(tmp_path / "raw" / "a_autopick.star", picks)
    put(tmp_path / "coords_suffix_autopick.star", "CtfFind/job003/micrographs_ctf.star \n")
    assert list(read_coordinates(tmp_path / where, IMAGES)) == ["a"]


def test_the_suffix_of_one_star_is_seen_in_its_name(tmp_path: Path) -> None:
    path = put(tmp_path / "a_mine.star", loop("", "rlnCoordinateX rlnCoordinateY", "1 2"))
    with pytest.raises(CryofixError, match=r"like 'a': .* or set data\.read\.suffix=_mine\.star$"):
        read_coordinates(path, IMAGES, keys=CommandKeys("data.read.", "data."))
    assert list(read_coordinates(path, IMAGES, suffix="_mine.star")) == ["a"]


def origins(optics: str, names: str, *rows: str) -> str:
    return optics + loop("particles", f"rlnCoordinateX rlnCoordinateY {names}", *rows)


@pytest.mark.parametrize(
    ("text", "x"),
    [
        # By the optics group's pixel size, 4 A, before that of the micrograph, 2 A.
        (
            origins(
                loop("optics", "rlnOpticsGroup rlnMicrographPixelSize", "1 4.0", "2 8.0"),
                "rlnOriginXAngst rlnOriginYAngst rlnOpticsGroup",
                "100 50 16 -8 1",
                "200 50 16 0 2",
            ),
            [96, 198],
        ),
        (origins("", "rlnOriginXAngst rlnOriginYAngst", "100 50 16 -8", "200 50 0 0"), [92, 200]),
        # Before 3.1 in pixels of the particle's image, here of 5 um / 12 500 = 4 A.
        (
            origins(
                "",
                "rlnOriginX rlnOriginY rlnDetectorPixelSize rlnMagnification",
                "100 50 3 -1 5 12500",
                "200 50 0 0 5 12500",
            ),
            [94, 200],
        ),
    ],
)
def test_origins_are_subtracted(tmp_path: Path, text: str, x: list[float]) -> None:
    found = read_coordinates(put(tmp_path / "a.star", text), IMAGES)["a"]
    np.testing.assert_allclose(found.x, x)
    assert found.y[0] > 50


def test_origins_that_cannot_be_applied_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = origins("", "rlnOriginXAngst rlnOriginYAngst", "100 50 16 -8", "200 50 0 0")
    found = read_coordinates(put(tmp_path / "a.star", text), JPEGS, y_origin="top")["a"]
    assert found.x.tolist() == [100, 200]
    assert "could not apply the origins of 1 particles" in caplog.text


def test_the_time_to_cut_a_table_by_name_grows_with_its_rows_alone() -> None:
    def cut(count: int) -> None:
        particles = Particles(np.arange(count, dtype=float), np.zeros(count))
        names = [f"m{i // 10}" for i in range(count)]
        tables = split_by_name(names, particles, Path("p.star"))
        assert len(tables) == count // 10
        assert tables[7].particles.x.tolist() == list(range(70, 80))

    assert growth(cut, 3_000, 300_000) < 500  # 165 when measured; 1700 if each name looks at all


@pytest.mark.parametrize("format", ["cryoppp", "relion", "topaz", "cryosparc", "json"])
def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_written(
    tmp_path: Path, format: str
) -> None:
    one = {"a": Particles(np.array([60.0]), np.array([10.0]))}
    images = {"a": MicrographInfo(Path("raw/\udcff.mrc"), (ROWS, COLUMNS), 2.0)}
    with pytest.raises(CryofixError, match=r"'raw/\\udcff\.mrc' is not UTF-8.*rename"):
        write_coordinates(tmp_path / "o", one, images, format=format, y_origin="top")
    assert not (tmp_path / "o").exists()
