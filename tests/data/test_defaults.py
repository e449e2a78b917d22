"""Code and YAML give a key of the data set and of the simulator the same value."""

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cryofix.checking import keywords_of
from cryofix.config import config_folder
from cryofix.data.origin import Files
from cryofix.data.preprocess import Preprocessing
from cryofix.data.scaling import Scaling
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.data.split import Splitting
from cryofix.data.tiling import Tiling

GIVEN = ("images", "coordinates")  # by the user


def composed(command: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = OmegaConf.to_container(compose(command, list(overrides)), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


@pytest.mark.parametrize(
    "made",
    [Files(), Scaling(), Preprocessing(), Splitting(ratio=0.05), Tiling(seed=0)],
    ids=lambda made: type(made).__name__,
)
def test_the_data_sets_keys_have_the_defaults_of_the_code(made: object) -> None:
    words = ("data=micrographs", "data.images=a", "data.coordinates=b")
    typed = composed("train", *words, "output=runs/x", "names={data: x, mask: y}")["data"]
    for key in keywords_of(type(made)).keys() & typed.keys() - set(GIVEN):
        value = typed[key]
        if key == "read":
            assert set(value.values()) == {None}
            continue
        default = getattr(made, key)
        assert (tuple(value) if isinstance(value, list) else value) == default, key


def test_the_simulators_keys_have_the_defaults_of_the_code() -> None:
    config = composed("simulate", "output=a")
    for key, default in SimulatorConfig().as_dict().items():
        assert config[key] == default, key
