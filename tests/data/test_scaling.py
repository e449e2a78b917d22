"""How large particles are: at several magnifications, and for a trained network."""

import logging
from pathlib import Path

import numpy as np
import pytest

from cryofix.data.scaling import KnownDiameter, Scaling
from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles


def test_sizes_that_labels_say_are_taken_at_their_own_magnification() -> None:
    infos = {
        name: MicrographInfo(Path(f"{name}.mrc"), (900, 900), size)
        for name, size in (("m0", 1.0), ("m1", 2.0))
    }
    labels = {
        f"m{n}": Particles(np.ones(k), np.ones(k), diameter_px=np.full(k, px))
        for n, k, px in ((0, 3, 150.0), (1, 2, 75.0))
    }
    assert Scaling().diameters_px(infos, labels) == [150.0, 75.0]
    unknown = {name: MicrographInfo(info.path, info.shape, None) for name, info in infos.items()}
    assert Scaling().diameters_px(unknown, labels) == [150.0, 150.0]


def test_labels_that_contradict_the_model_are_said(caplog: pytest.LogCaptureFixture) -> None:
    info = MicrographInfo(Path("m.mrc"), (900, 900), 2.0)
    scaling = Scaling(particle_px=16.0, of_model=KnownDiameter(120.0, 40.0))
    for declared, warnings in ((66.0, 0), (90.0, 1)):
        caplog.clear()
        labels = {"m": Particles(np.ones(2), np.ones(2), diameter_px=np.full(2, declared))}
        with caplog.at_level(logging.WARNING):
            assert scaling.diameters_px({"m": info}, labels) == [60.0]
        assert len(caplog.records) == warnings
    assert "1.50 times as wide" in caplog.text


def test_a_size_that_is_given_wins_over_the_models() -> None:
    info = MicrographInfo(Path("m.mrc"), (900, 900), 2.0)
    known = KnownDiameter(120.0, 40.0)
    assert Scaling(of_model=known, diameter_px=50.0).diameters_px({"m": info}, {}) == [50.0]
    assert Scaling(of_model=known, diameter_angstrom=90.0).diameters_px({"m": info}, {}) == [45.0]
    assert Scaling(of_model=known).diameters_px({"m": info}, {}) == [60.0]


def test_a_size_without_a_pixel_size_names_keys_of_the_data_group() -> None:
    info = MicrographInfo(Path("m.mrc"), (900, 900), None)
    with pytest.raises(CryofixError, match=r"data\.pixel_size_angstrom or data\.diameter_px"):
        Scaling(of_model=KnownDiameter(120.0, None)).diameters_px({"m": info}, {})


@pytest.mark.parametrize("key", ["target_size", "diameter_px", "particle_px"])
@pytest.mark.parametrize("value", [0, -5, float("inf"), float("nan")])
def test_sizes_that_are_none_are_refused(key: str, value: float) -> None:
    with pytest.raises(CryofixError, match=rf"data\.{key}={value}"):
        Scaling(**{key: value})  # type: ignore[arg-type] # wrong on purpose
