"""Every configuration file composes and says what it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cryofix.config import config_folder

CONF = config_folder()
GROUPS = ("data", "model", "mask", "teacher", "augment", "loss", "trainer", "guard", "experiment")
CHOICES = [
    f"{group}={path.stem}"
    for group in GROUPS
    for path in sorted((CONF / group).glob("*.yaml"))
    if (group, path.stem) != ("data", "base")
]


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes(choice: str) -> None:
    config = compose("train", overrides=[choice])
    assert OmegaConf.is_struct(config)


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.name))
def test_every_file_is_named_after_what_it_is_and_holds_no_tabs(path: Path) -> None:
    assert "\t" not in path.read_text()


def test_presets_of_the_trainer_win_over_the_defaults_and_lose_to_the_user() -> None:
    assert compose("train", overrides=["trainer=smoke"]).steps.stage == 6
    assert compose("train", overrides=["trainer=smoke", "steps.stage=9"]).steps.stage == 9
    gpu = compose("train", overrides=["trainer=gpu"])
    assert gpu.trainer.precision == "bf16-mixed"
    assert gpu.data.tile_px == 256


def test_the_users_spelling_works() -> None:
    config = compose("train", overrides=["mask=class_aware", "ratio=0.05"])
    assert config.mask._target_ == "cryofix.masking.ClassAware"
    assert config.data._target_ == "cryofix.data.datamodule.CryoDataModule"
