"""What set-up says on the terminal of data that trains but should not, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.errors import CryofixError
from cryofix.formats import read_micrograph, write_mrc

HEADER = "X-Coordinate,Y-Coordinate,Diameter\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small square micrographs with particles of 48 pixels, in CryoPPP's layout."""
    path = tmp_path_factory.mktemp("square")
    write_dataset(SimulatorConfig(micrographs=6, shape=(384, 384), seed=1), path)
    return path


def module(cache: Path, folder: Path, **options: Any) -> CryoDataModule:
    base: dict[str, Any] = {
        "cache": str(cache),
        "ratio": 0.5,
        "seed": 0,
        "test": 1,
        "validation": 1,
        "root": str(folder),
        "images": "micrographs",
        "coordinates": "ground_truth/particle_coordinates",
        "allow_empty": True,
    }
    return CryoDataModule(**{**base, **options})


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what goes to the terminal too: records of level WARNING and above."""
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def test_good_labels_are_not_warned_of(
    cache: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module(cache, folder).setup()
    assert warnings(caplog) == []


def test_exchanged_columns_are_warned_of_with_the_numbers_and_the_remedy(
    cache: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (folder / "ground_truth" / "particle_coordinates").iterdir():
        rows = path.read_text().removeprefix(HEADER)
        (tmp_path / path.name).write_text("Y-Coordinate,X-Coordinate,Diameter\n" + rows)
    module(cache, folder, coordinates=str(tmp_path)).setup()
    [warning] = warnings(caplog)
    assert warning.startswith(f"{tmp_path}: THE LABELS DO NOT FIT: their contrast")
    assert "noise levels as given and 0." in warning
    assert "if you exchange x and y in the file (" in warning


def test_a_wrong_y_origin_is_warned_of_with_the_right_one(
    cache: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module(cache, folder, y_origin="top").setup()
    [warning] = warnings(caplog)
    assert "THE LABELS SEEM UPSIDE DOWN" in warning
    assert "if you set data.y_origin=bottom (" in warning


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"diameter_px": 1000}, "1000 pixels wide in an image of 384 x 384 .* wider than"),
        ({"diameter_angstrom": 2500}, "1000 pixels wide in an image of 384 x 384 .* wider than"),
        ({"particle_radius": 500}, "1000 pixels wide in an image of 384 x 384 .* wider than"),
        ({"diameter_px": 5}, r"5 pixels wide in .* enlarged 4\.8 times"),
        ({"diameter_px": 2}, r"2 pixels wide in .* enlarged 12\.0 times"),
        ({"target_size": 384 * 5}, r"48 pixels wide in .* enlarged 5\.0 times"),
    ],
)
def test_a_particle_size_that_picking_refuses_does_not_train(
    cache: Path, folder: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CryofixError, match=rf"sim_0000\.mrc: particles would be {reason}"):
        module(cache, folder, **options).setup()


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_the_same_image_under_two_names_is_warned_of(
    cache: Path, copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(copied / "micrographs" / "sim_0002.mrc", copied / "micrographs" / "other.mrc")
    module(cache, copied).setup()
    [warning] = warnings(caplog)
    assert "the same image has two names" in warning
    assert "other.mrc and sim_0002.mrc" in warning


def test_the_same_image_with_labels_under_two_names_is_refused(cache: Path, copied: Path) -> None:
    labels = copied / "ground_truth" / "particle_coordinates"
    for source, name in (("sim_0002", "other"), ("sim_0004", "third")):
        for place, suffix in ((copied / "micrographs", "mrc"), (labels, "csv")):
            shutil.copy(place / f"{source}.{suffix}", place / f"{name}.{suffix}")
    with pytest.raises(
        CryofixError,
        match=r"other\.mrc and \S*sim_0002\.mrc are the same image, and both have labels"
        r" \(1 more such pairs\)",
    ):
        module(cache, copied).setup()


def test_versions_of_a_micrograph_and_other_sizes_are_warned_of_by_name(
    cache: Path, copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = copied / "micrographs"
    image = read_micrograph(place / "sim_0001.mrc").data
    write_mrc(place / "sim_0001_DW.mrc", image * 1.01 + 1, 2.5)
    write_mrc(place / "sim_0003_PS.mrc", image[:256, :256], 2.5)
    module(cache, copied).setup()
    versions, sizes = warnings(caplog)
    assert "sim_0001.mrc and sim_0001_DW.mrc, sim_0003.mrc and sim_0003_PS.mrc;" in versions
    assert "384 x 384 (7, for example sim_0000.mrc), 256 x 256 (1, for example" in sizes


def test_sizes_that_are_turned_by_a_quarter_are_one_size(
    cache: Path, copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = read_micrograph(copied / "micrographs" / "sim_0001.mrc").data
    for name, part in (("a", image[:256]), ("b", np.rot90(image[32:288]))):
        write_mrc(copied / "micrographs" / f"{name}.mrc", part.copy(), 2.5)
    module(cache, copied).setup()
    [warning] = warnings(caplog)
    assert "384 x 384 (6, for example sim_0000.mrc), 384 x 256 (2, for example a.mrc);" in warning


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("diameter_px", -5),
        ("diameter_px", 0),
        ("diameter_px", 1e9),
        ("diameter_px", NAN),
        ("diameter_angstrom", INF),
        ("particle_radius", -1),
        ("particle_px", 1e9),
        ("target_size", -768),
        ("pixel_size_angstrom", 0),
        ("pixel_size_angstrom", -1.77),
        ("pixel_size_angstrom", NAN),
        ("border_px", -10),
        ("border_px", INF),
        ("radius_fraction", -0.5),
        ("radius_fraction", 1e9),
        ("highpass_diameters", -1),
        ("clip_sigma", INF),
        ("clip_sigma", 0),
        ("added_noise", -1),
        ("added_noise", NAN),
        ("tile_px", 0),
        ("batch_labelled", 0),
        ("batch_unlabelled", -8),
        ("centred_share", 1.5),
        ("strong_views", 0),
        ("workers", -1),
        ("limit", 0),
    ],
)
def test_numbers_that_make_no_sense_are_refused_with_their_key_and_range(
    tmp_path: Path, key: str, value: float
) -> None:
    with pytest.raises(CryofixError, match=rf"^data\.{key}={value} is out of range: give a number"):
        module(tmp_path, tmp_path, **{key: value})


@pytest.mark.parametrize("key", ["seed", "split_seed", "label_draw"])
def test_a_negative_seed_is_refused_by_the_key_that_is_typed(tmp_path: Path, key: str) -> None:
    with pytest.raises(CryofixError, match=rf"^{key}=-1 is out of range"):
        module(tmp_path, tmp_path, **{key: -1})
