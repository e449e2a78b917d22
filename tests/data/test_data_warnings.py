"""What set-up says on the terminal of data that trains but should not, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.simulator import SimulatorConfig, write_dataset
from cryofix.errors import CryofixError

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
