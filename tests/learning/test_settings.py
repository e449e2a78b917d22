"""Settings of a stage: one source of defaults."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class

from cryofix.config import config_folder, to_plain
from cryofix.data.intensity import Intensity
from cryofix.errors import CryofixError
from cryofix.learning.settings import (
    CutMix,
    FeatureDropout,
    Optimiser,
    StageSettings,
    Steps,
    TeacherSettings,
    Unlabelled,
    Views,
)


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield


def defaults(taker: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(taker).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


@pytest.mark.parametrize(
    ("key", "taker"),
    [
        ("steps", Steps),
        ("optimiser", Optimiser),
        ("unlabelled", Unlabelled),
        ("augment.cutmix", CutMix),
        ("augment.feature_dropout", FeatureDropout),
    ],
)
def test_the_defaults_in_code_are_those_of_the_configuration(
    key: str, taker: Callable[..., Any]
) -> None:
    config = to_plain(compose("train", overrides=["names={data: a, mask: b}", "output=none"]))
    for part in key.split("."):
        config = config[part]
    assert config == defaults(taker)


NAN = float("nan")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("augment.weak.noise", -1),
        ("augment.strong.contrast", NAN),
        ("augment.strong.brightness", 11),
        ("augment.strong.blur_px", -1),
        ("augment.strong.amplitude", -1),
        ("optimiser.learning_rate", -1),
        ("optimiser.weight_decay", NAN),
        ("optimiser.warm_up", -1),
        ("optimiser.final", 2),
        ("unlabelled.weight", -1),
        ("unlabelled.weight", NAN),
        ("unlabelled.ramp_steps", -3),
    ],
)
def test_numbers_that_make_no_sense_are_refused_with_their_key_and_range(
    key: str, value: float
) -> None:
    names = ["names={data: a, mask: b}", "output=none", f"{key}={value}"]
    config: Mapping[str, Any] = to_plain(compose("train", overrides=names))
    with pytest.raises(CryofixError, match=rf"^{key}={value} is out of range: give a number from"):
        StageSettings.of(config, prior=0.04)


@pytest.mark.parametrize("kind", ["ema", "self", "frozen"])
def test_each_teacher_has_the_defaults_of_the_code(kind: str) -> None:
    given = compose("train", overrides=[f"teacher={kind}"]).teacher
    assert dict(given) == {
        key: value for key, value in vars(TeacherSettings(kind)).items() if key in given
    }


@pytest.mark.parametrize(
    "choice", ["regulariser=ge_kl", "regulariser=nnpu", "auxiliary=noise2void"]
)
def test_each_term_of_the_loss_has_the_defaults_of_the_code(choice: str) -> None:
    given = dict(compose("train", overrides=[choice])[choice.partition("=")[0]])
    assert given == defaults(get_class(given.pop("_target_")))


def test_a_stage_is_what_the_configuration_says() -> None:
    config: Mapping[str, Any] = to_plain(
        compose("train", overrides=["names={data: a, mask: b}", "output=none"])
    )
    settings = StageSettings.of(config, prior=0.04, first_step=7)
    weak, strong = (Intensity(**config["augment"][key]) for key in ("weak", "strong"))
    assert settings == StageSettings(
        prior=0.04, seed=0, first_step=7, views=Views(weak=weak, strong=strong)
    )
    partial = {**config, "data": {**config["data"], "labels": "partial"}}
    assert StageSettings.of(partial, prior=0.04).prior_of_labels == 0.04
    assert StageSettings.of(partial, 0.04, prior_of_labels=0.1).prior_of_labels == 0.1
