"""Which particle sizes are refused, by training and picking alike."""

from pathlib import Path

import pytest

from cryofix.data.diameters import check_diameter
from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo

IMAGE = MicrographInfo(Path("m.mrc"), (384, 512), 2.0)
KEYS = "pixel_size_angstrom or diameter_px"


@pytest.mark.parametrize("diameter_px", [6.0, 40.0, 384.0])
def test_a_particle_that_fits_and_can_be_seen_passes(diameter_px: float) -> None:
    check_diameter(IMAGE, diameter_px, 24.0 / diameter_px, KEYS)


@pytest.mark.parametrize(
    ("diameter_px", "reason"),
    [
        (1000.0, "wider than the image"),
        (385.0, "wider than the image"),
        (5.0, r"enlarged 4\.8 times"),
        (2.0, r"enlarged 12\.0 times"),
        (-5.0, "above 0"),
        (float("nan"), "above 0"),
        (float("inf"), "above 0"),
    ],
)
def test_another_one_is_refused_with_the_image_and_the_keys(
    diameter_px: float, reason: str
) -> None:
    with pytest.raises(
        CryofixError,
        match=rf"^m\.mrc: .*512 x 384 pixels of 2 Angstrom, .*{reason}: give the right {KEYS}$",
    ):
        check_diameter(IMAGE, diameter_px, 24.0 / diameter_px, KEYS)
