"""Every configuration file composes and says what it is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import cryofix.convert
import cryofix.formats
import cryofix.picking.export
from cryofix.config import config_folder
from cryofix.explaining import SHARED
from cryofix.formats import FORMATS
from cryofix.formats.option_keys import SHARED as SHARED_OPTIONS
from cryofix.formats.option_keys import CommandKeys

CONF = config_folder()
GROUPS = (
    "data",
    "model",
    "mask",
    "method",
    "teacher",
    "augment",
    "loss",
    "regulariser",
    "auxiliary",
    "trainer",
    "guard",
    "experiment",
)
CHOICES = [
    f"{group}={path.stem}"
    for group in GROUPS
    for path in sorted((CONF / group).glob("*.yaml"))
    if path.stem not in SHARED
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


def test_the_study_has_a_folder_for_each_mask() -> None:
    masks = [choice for choice in CHOICES if choice.startswith("mask=")]
    overrides = ["experiment=study", "ratio=0.05", "names={data: simulated}"]
    folders = {
        compose("train", [*overrides, mask], return_hydra_config=True).hydra.sweep.subdir
        for mask in masks
    }
    assert len(folders) == len(masks) > 15


@pytest.mark.parametrize("experiment", ["label_ratios", "threshold_by_ratio"])
def test_the_weight_of_the_map_follows_the_teacher(experiment: str) -> None:
    def composed(*overrides: str) -> DictConfig:
        chosen = [f"experiment={experiment}", "mask=symmetric", "ratio=0.2", "seed=2", *overrides]
        config = compose("train", chosen, return_hydra_config=True)
        HydraConfig.instance().set_config(config)  # the folder is named after the mask's choice
        return config

    advised, collapsing = composed("teacher=ema"), composed("teacher=self")
    assert (advised.unlabelled.weight, collapsing.unlabelled.weight) == (1, 200)
    assert composed("teacher=self", "unlabelled.weight=3").unlabelled.weight == 3
    assert advised.label_draw == 2
    assert composed("teacher=ema", "mask=none").hydra.sweep.subdir == "synthetic_0.2_ema_none_all_2"
    assert composed("teacher=self").hydra.sweep.subdir == "synthetic_0.2_self_symmetric_0.7_2"
    swept = advised.hydra.sweeper.params
    assert ("mask.threshold" in swept) == (experiment == "threshold_by_ratio")
    assert {"ratio", "teacher", "seed"} <= swept.keys()


def test_when_chooses_between_two_values_of_any_kind() -> None:
    text = "{a: 1, b: [2, 3], one: '${when:${a},1,${b},no}', other: '${when:${a},2,x,null}'}"
    config = OmegaConf.create(text)
    assert config.one == [2, 3]
    assert config.other is None


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


def test_methods_are_settings_of_one_loop_which_the_user_may_change_again() -> None:
    fixmatch = compose("train")
    assert (fixmatch.method, fixmatch.unlabelled.loss, fixmatch.teacher.kind) == (
        "fixmatch",
        "bce",
        "ema",
    )
    mean_teacher = compose("train", overrides=["method=mean_teacher"])
    assert mean_teacher.mask._target_ == "cryofix.masking.NoMask"
    assert (mean_teacher.mask.target, mean_teacher.unlabelled.loss) == ("soft", "mse")
    rounds = compose("train", overrides=["method=self_training", "mask=quota"])
    assert rounds.teacher.kind == "frozen"
    assert rounds.mask._target_ == "cryofix.masking.Quota"
    paper = compose("train", overrides=["method=unimatch", "mask=symmetric", "teacher=self"])
    assert (paper.teacher.kind, paper.data.strong_views) == ("self", 2)
    assert paper.augment.feature_dropout == {"share": 0.5, "view": "own"}
    one = compose("train", overrides=["method=unimatch", "augment.strong_views=1"])
    assert one.augment.strong_views == 1
    assert compose("train", overrides=["method=unimatch", "trainer=smoke"]).steps.stage == 6


def test_the_orthogonal_pieces_are_values_of_their_own() -> None:
    config = compose(
        "train",
        overrides=[
            "mask.target=soft",
            "mask.temperature=0.5",
            "unlabelled.normaliser=kept",
            "unlabelled.ramp=sigmoid",
            "teacher=self",
            "steps.burn_in=10",
            "prior.value=0.03",
            "regulariser=nnpu",
            "regulariser.supervised_weight=0.2",
            "augment.cutout.holes=0",
            "augment.cutmix.probability=0.5",
            "augment.feature_dropout.share=0.3",
            "augment.strong_views=2",
        ],
    )
    assert config.data.cutout.holes == 0
    assert config.regulariser._target_.endswith("NonNegativePU")
    assert compose("train").regulariser is None
    assert compose("train").prior.value is None


def test_every_method_and_regulariser_is_in_the_documentation() -> None:
    page = (CONF.parent / "docs" / "methods.md").read_text()
    for group in ("method", "regulariser", "auxiliary", "teacher"):
        for path in (CONF / group).glob("*.yaml"):
            assert f"{group}={path.stem}" in page


@pytest.mark.parametrize("command", ["convert in", "convert out", "pick", "train"])
def test_every_option_of_a_format_has_the_key_that_messages_name(command: str) -> None:
    """All that readers and writers can name in a message is a key of the command."""
    name = command.split()[0]
    keys = {
        "convert in": cryofix.convert.IN,
        "convert out": cryofix.convert.OUT,
        "pick": cryofix.picking.export.KEYS,
        "train": CommandKeys("data.read.", "data."),
    }[command]
    writes = command in ("convert out", "pick")
    options = {"format", "y_origin"} if writes else set(SHARED_OPTIONS)
    for each in FORMATS.values():
        options |= set(each.write_options if writes else each.read_options)
    config = compose(name, ["data=micrographs"] if name == "train" else [])
    for option in options:
        *parents, last = keys(option).split(".")
        group = config[parents[0]] if parents else config
        for parent in parents[1:]:
            group = group[parent]
        assert last in list(group), keys(option)  # a mandatory one is not `in` a group


def test_no_message_of_a_format_names_an_option_without_asking_for_its_key() -> None:
    """``set suffix=`` in a message would be right in one command and wrong in the others."""
    literal = re.compile(r"\b(set|say|give|needs|leave|leave out) [a-z_]+=")
    for path in Path(cryofix.formats.__file__).parent.glob("*.py"):
        assert not literal.search(path.read_text()), path.name
