"""CryoPPP's folders of CSV files."""

from pathlib import Path

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles, read_coordinates, write_coordinates

MICROGRAPHS = {"a": MicrographInfo(Path("raw/a.mrc"), (40, 70), 1.0)}


@pytest.mark.parametrize(
    "text",
    [
        "X-Coordinate,Y-Coordinate,Diameter\n60,10,8\n",
        "\ufeffX-Coordinate, Y-Coordinate, Diameter\r\n60, 10, 8\r\n",
        "x_coordinate,y_coordinate,diameter\n60.0,10.0,8.0",
        "Y-Coordinate,X-Coordinate,Diameter\n10,60,8\n",
        "X Coordinate (px),Y Coordinate (px),Diameter (px)\n60,10,8\n",
        "x,y,diameter_px\n60,10,8\n",
        "X-Coordinate,Y-Coordinate,Diameter,Angle-Psi,Origin X (Ang),Origin Y (Ang),Defocus U,"
        "Defocus V,Defocus Angle,Phase Shift,CTF B Factor\n60,10,8,1.5,,2,3,4,5,6,7\n",
    ],
)
def test_reads_the_variants_of_the_header(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    found = read_coordinates(tmp_path, MICROGRAPHS)["a"]
    assert (found.x.tolist(), found.y.tolist()) == ([60], [30])
    assert found.diameter_px is not None
    assert found.diameter_px.tolist() == [8]
    assert found.score is None


def test_a_diameter_is_not_required(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("X-Coordinate,Y-Coordinate\n60,10\n")
    assert read_coordinates(tmp_path / "a.csv", MICROGRAPHS)["a"].diameter_px is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.csv cannot be read.*header line"),
        ("60,10,8\n", r"a\.csv has the columns 60, 10, 8: it needs X-Coordinate"),
        (
            "X-Coordinate,Y-Coordinate\n1,2\n1,2,3,4\n",
            r"a\.csv cannot be read \(line 3 has 4 values under 2 names",
        ),
        ("\x00\x01\xff", r"a\.csv"),
    ],
)
def test_other_content_is_an_error_with_the_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(CryofixError, match=message):
        read_coordinates(tmp_path, MICROGRAPHS, allow_empty=True)


@pytest.mark.parametrize("where", [".", "ground_truth", "ground_truth/particle_coordinates"])
def test_the_folder_may_be_that_of_the_data_set(tmp_path: Path, where: str) -> None:
    for folder, x in (("particle_coordinates", 60), ("ignore_coordinates", 5)):
        path = tmp_path / "ground_truth" / folder / "a.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"X-Coordinate,Y-Coordinate,Diameter\n{x},10,8\n")
    assert read_coordinates(tmp_path / where, MICROGRAPHS)["a"].x.tolist() == [60]


def test_ignore_lists_are_read_from_their_folder_and_may_be_empty(tmp_path: Path) -> None:
    folder = tmp_path / "ground_truth" / "ignore_coordinates"
    empty = {"a": Particles.empty()}
    write_coordinates(folder, empty, MICROGRAPHS, format="cryoppp", diameter_px=8)
    assert (folder / "a.csv").read_text() == "X-Coordinate,Y-Coordinate,Diameter\n"
    assert len(read_coordinates(folder, MICROGRAPHS, allow_empty=True)["a"]) == 0


def test_writes_the_columns_that_cryoppp_has(tmp_path: Path) -> None:
    particles = {"a": Particles(np.array([60.5]), np.array([30.0]))}
    written = write_coordinates(tmp_path, particles, MICROGRAPHS, format="cryoppp", diameter_px=108)
    assert written == [tmp_path / "a.csv"]
    assert written[0].read_text() == "X-Coordinate,Y-Coordinate,Diameter\n60.5,10.0,108.0\n"
