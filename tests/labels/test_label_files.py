"""Labels of the page: each change is on the disk and is read back; undo, diameters, pictures."""

from pathlib import Path

import numpy as np
import pytest
from bokeh.document import Document

from cryofix.errors import CryofixError
from cryofix.formats import Particles, index_micrographs, read_coordinates, write_mrc
from cryofix.labels.label_files import Labels
from cryofix.labels.label_page import Page
from cryofix.labels.label_pictures import Pictures, make_picture

ROWS, COLUMNS = 200, 300


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number, pixel_size in enumerate((2.0, 4.0)):
        image = random.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32)
        write_mrc(tmp_path / "data" / f"m{number}.mrc", image, pixel_size)
    return tmp_path / "data"


def opened(data: Path, **given: float) -> Labels:
    micrographs = index_micrographs(sorted(data.glob("*.mrc")))
    return Labels.opened(data.parent / "labels", micrographs, **given)


def read(data: Path) -> dict[str, Particles]:
    micrographs = index_micrographs(sorted(data.glob("*.mrc")))
    return read_coordinates(data.parent / "labels", micrographs, allow_empty=True)


def test_every_change_is_in_the_file_that_training_reads(data: Path) -> None:
    labels = opened(data, diameter_px=20)
    labels.add("m0", (10.25, 20.5), (250.0, 190.0))
    assert read(data)["m0"].x.tolist() == [10.25, 250.0]
    assert read(data)["m0"].y.tolist() == [20.5, 190.0]
    labels.move("m0", 0, (12.0, 22.0))
    assert read(data)["m0"].y.tolist() == [22.0, 190.0]
    labels.remove("m0", 1)
    assert read(data)["m0"].x.tolist() == [12.0]
    labels.mark_empty("m1")
    assert len(read(data)["m1"]) == 0
    assert opened(data).entries == labels.entries


def test_the_last_particle_leaves_a_micrograph_unlabelled_and_not_empty(data: Path) -> None:
    labels = opened(data)
    labels.add("m0", (1.0, 2.0))
    labels.remove("m0", 0)
    assert not any(labels.folder.glob("*.csv"))
    assert labels.counts() == (0, 0)


def test_undo_takes_back_one_change_after_the_other_and_names_the_micrograph(data: Path) -> None:
    labels = opened(data)
    labels.add("m0", (10.0, 20.0))
    labels.skip("m1")
    labels.skip("m0")
    assert not any(labels.folder.glob("*.csv"))
    assert opened(data).entries == labels.entries
    assert [labels.undo(), labels.undo()] == ["m0", "m1"]
    assert labels.points("m0") == ((10.0, 20.0),)
    assert opened(data).entries == labels.entries
    assert labels.undo() == "m0"
    assert labels.undo() is None
    assert labels.counts() == (0, 0)


def test_a_point_outside_is_neither_added_nor_moved_to(data: Path) -> None:
    labels = opened(data)
    labels.add("m0", (-1.0, 5.0), (5.0, ROWS + 1.0), (5.0, 6.0))
    labels.move("m0", 0, (COLUMNS + 1.0, 6.0))
    assert labels.points("m0") == ((5.0, 6.0),)


def test_a_diameter_in_angstrom_is_one_length_at_all_pixel_sizes(data: Path) -> None:
    labels = opened(data, diameter_angstrom=80)
    labels.add("m0", (50.0, 50.0))
    labels.add("m1", (50.0, 50.0))
    labels.set_diameter(120)
    diameters = {name: each.diameter_px for name, each in read(data).items()}
    assert diameters["m0"] == 60
    assert diameters["m1"] == 30
    assert opened(data).diameter == 120


def test_the_nearest_of_two_circles_is_hit(data: Path) -> None:
    labels = opened(data, diameter_px=20)
    labels.add("m0", (50.0, 50.0), (62.0, 50.0))
    assert labels.nearest("m0", 57, 50) == 1
    assert labels.nearest("m0", 55, 50) == 0
    assert labels.nearest("m0", 50, 61) is None


def test_it_begins_with_what_is_neither_labelled_nor_skipped(data: Path) -> None:
    labels = opened(data)
    assert labels.shown == "m0"
    labels.mark_empty("m0")
    assert opened(data).shown == "m1"


def test_a_folder_of_labels_serves_one_session_after_another(data: Path) -> None:
    labels = opened(data)
    labels.skip("m0")
    labels.add("m1", (1.0, 2.0))
    write_mrc(data.parent / "other" / "m9.mrc", np.zeros((ROWS, COLUMNS), np.float32), 2.0)
    opened(data.parent / "other").skip("m9")
    again = opened(data)
    assert [name for name, each in again.entries.items() if each.skipped] == ["m0"]
    assert again.entries["m1"].points == ((1.0, 2.0),)
    assert opened(data.parent / "other").entries["m9"].skipped


def test_what_cannot_be_saved_does_not_count(data: Path) -> None:
    labels = opened(data, diameter_px=20)
    labels.add("m0", (10.0, 20.0))
    labels.add("m0", (50.0, 60.0))
    (labels.folder / "skipped.txt").mkdir()
    with pytest.raises(OSError, match="skipped"):
        labels.skip("m0")
    assert len(read(data)["m0"]) == len(labels.points("m0")) == 2
    file = labels.folder / "m0.csv"
    file.unlink()
    file.mkdir()  # so that nothing can be saved in its place
    for change in (labels.undo, lambda: labels.set_diameter(30)):
        with pytest.raises(OSError, match="m0"):
            change()
    file.rmdir()
    assert labels.diameter == 20
    assert labels.undo() == "m0"
    assert read(data)["m0"].x.tolist() == [10.0]
    assert read(data)["m0"].diameter_px.tolist() == [20.0]  # type: ignore[union-attr]


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_picks_are_shown_from_the_threshold_on(data: Path, threshold: float) -> None:
    labels = opened(data, diameter_px=20)
    picks = Particles(np.array([10.0, 90.0]), np.array([10.0, 90.0]), np.array([0.1, 0.4]))
    pictures = Pictures(lambda name: make_picture(labels.micrographs[name], 20.0, picks))
    page = Page(Document(), labels, pictures, threshold)
    assert page.threshold.value == threshold
    assert page.accept.label == f"Accept {1 if threshold else 2} picks"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"diameter_px": 0.0}, "diameter_px=0"),
        ({"diameter_px": 9.0, "diameter_angstrom": 9.0}, "diameter_px is given too"),
    ],
)
def test_a_wrong_diameter_is_a_sentence(data: Path, given: dict[str, float], said: str) -> None:
    with pytest.raises(CryofixError, match=said):
        opened(data, **given)


def test_labels_under_another_name_are_not_doubled(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(0, 1, (ROWS, COLUMNS))
    write_mrc(tmp_path / "data" / f"{'1' * 21}_m.mrc", image, 1.0)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "m.csv").write_text("X-Coordinate,Y-Coordinate\n5,6\n")
    with pytest.raises(CryofixError, match=r"call it 1{21}_m\.csv"):
        opened(tmp_path / "data")


@pytest.mark.parametrize("shape", [(300, 420), (3000, 4200)])
def test_what_is_drawn_lies_where_it_is_in_the_file(tmp_path: Path, shape: tuple[int, int]) -> None:
    x, y, width = 0.62 * shape[1], 0.31 * shape[0], 0.01 * shape[0]
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    spot = 50 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
    image = spot + np.random.default_rng(0).normal(0, 1, shape)
    write_mrc(tmp_path / "m.mrc", image, None)
    info = index_micrographs([tmp_path / "m.mrc"])["m"]
    picture = make_picture(info, 4 * width, Particles.empty())
    weight = np.where(picture.pixels > 5.5, 1.0, 0.0)
    row, column = (np.average(index, weights=weight) for index in np.indices(weight.shape))
    assert abs(column * picture.step[0] - x) < 1
    assert abs(row * picture.step[1] - y) < 1
