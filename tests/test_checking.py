"""Every key of every command has a type, and a value of another one is named."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cryofix.checking import check_types
from cryofix.config import config_folder
from cryofix.errors import CryofixError
from cryofix.explaining import SHARED
from cryofix.keys import COMMANDS
from support import message

CONF = config_folder()
GIVEN = {
    "train": [
        *("names={data: x, mask: y}", "output=runs/x"),
        *(
            "callbacks=[early_stopping,best_checkpoint,learning_rate]",
            "logger=[csv,mlflow,tensorboard]",
        ),
    ],
    "evaluate": ["output=runs/x"],
    "diagnose": ["output=runs/x"],
    "pick": ["checkpoint=a", "micrographs=[b,c]", "output=d"],
    "convert": ["in=a", "out=b", "format=relion", "micrographs=c"],
    "label": ["micrographs=a", "output=b"],
    "report": ["sweep=a"],
    "simulate": ["output=a"],
}
OF_DATA = {
    "micrographs": ["data.images=a", "data.coordinates=b"],
    "coordinates_json": ["data.images=a", "data.coordinates=b"],
    "synthetic": [],
}
GROUPS = (
    *("data", "model", "mask", "method", "teacher", "loss", "regulariser", "auxiliary"),
    *("trainer", "guard"),
)
CHOICES = [
    [f"{group}={path.stem}", *(OF_DATA.get(path.stem, ["data.root=a"]) if group == "data" else [])]
    for group in (*GROUPS, "augment", "experiment")
    for path in sorted((CONF / group).glob("*.yaml"))
    if path.stem not in SHARED
]


def plain(command: str, *overrides: str) -> dict[Any, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(command, [*GIVEN[command], *overrides])
    content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("command", COMMANDS)
def test_every_default_fits_its_type(command: str) -> None:
    assert (CONF / f"{command}.yaml").exists()
    check_types(plain(command), *COMMANDS[command])


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice[0])
def test_every_choice_fits(choice: list[str]) -> None:
    given = ["data.root=a"] if "collapse_empiar10017" in choice[0] else []
    check_types(plain("train", *choice, *given), *COMMANDS["train"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_refuses_what_no_key_takes(command: str) -> None:
    """Put an object that fits nothing into each leaf in turn: none may be taken."""
    values = plain(command)

    def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        if isinstance(node, dict) and node:
            for key, inner in node.items():
                yield from leaves(inner, (*path, key))
        elif not path[-1].startswith("_"):
            yield path

    for path in leaves(values):
        if path[:2] == ("model", "options"):  # of a library
            continue
        if command == "diagnose" and path[0] == "augment":  # checked with data=, which takes it
            continue
        changed = copy.deepcopy(values)
        node = changed
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = object()
        with pytest.raises(CryofixError, match=r"^" + ".".join(path) + "="):
            check_types(changed, *COMMANDS[command])


@pytest.mark.parametrize(
    ("command", "override", "said"),
    [
        ("train", "ratio=abc", "ratio=abc does not fit: give a number"),
        ("train", "seed=0.5", "seed=0.5 does not fit: give a whole number"),
        ("train", "seed=true", "seed=true does not fit: give a whole number"),
        ("train", "ratio=nan", "ratio=nan does not fit: give a number"),
        ("train", "data.limit=nope", "data.limit=nope does not fit: give a whole number or null"),
        ("train", "data.tile_px=''", "data.tile_px= does not fit: give a whole number"),
        (
            "train",
            "data.never_scored=a",
            "data.never_scored=a does not fit: give a list of items, each text",
        ),
        ("train", "data.simulate.seed=x", "data.simulate.seed=x does not fit: give a whole number"),
        ("train", "augment.geometry.scale=x", "augment.geometry.scale=x does not fit"),
        ("train", "augment.weak.noise=x", "augment.weak.noise=x does not fit: give a number"),
        ("train", "mask.particle_threshold=abc", "mask.particle_threshold=abc does not fit"),
        ("train", "mask.temperature=null", "mask.temperature=null does not fit: give a number"),
        ("train", "model.encoder=1", "model.encoder=1 does not fit: give text"),
        ("train", "steps.stage=1e3", "steps.stage=1000.0 does not fit: give a whole number"),
        ("train", "share_stages=maybe", "share_stages=maybe does not fit: give true or false"),
        ("train", "+data.simulate.shape=[1,b]", 'data.simulate.shape=[1, "b"] does not fit'),
        ("train", "+steps.burnin=3", "steps.burnin is not a key: leave it out, or give burn_in"),
        ("train", "+mask.treshold=3", "mask.treshold is not a key"),
        ("train", "loss.terms.bce=x", "loss.terms.bce=x does not fit: give a number"),
        ("train", "trainer.precision=17", "trainer.precision=17 does not fit: give 64, 32, 16"),
        ("train", "guard.switch_to.x=1", "guard.switch_to"),
        (
            "train",
            "callbacks.early_stopping.patience=abc",
            "callbacks.early_stopping.patience=abc does not fit: give a whole number",
        ),
        (
            "train",
            "callbacks.best_checkpoint.dirpath=3",
            "callbacks.best_checkpoint.dirpath=3 does not fit: give text or null",
        ),
        ("train", "+callbacks.mine=3", "callbacks.mine=3 does not fit: give {key: value}"),
        ("train", "+logger.csv.nonsense=1", "logger.csv.nonsense is not a key: leave it out"),
        (
            "train",
            "+logger.wandb={_target_: lightning.pytorch.loggers.WandbLogger, group: a, offline: 3}",
            "logger.wandb.offline=3 does not fit: give true or false",
        ),
        ("evaluate", "threshold=abc", "threshold=abc does not fit: give a number or null"),
        ("evaluate", "picks=3", "picks=3 does not fit: give text or a list of items"),
        ("diagnose", "progress=abc", "progress=abc does not fit: give a number"),
        ("pick", "workers=many", "workers=many does not fit: give a whole number or null"),
        ("pick", "write.with_scores=no way", "write.with_scores=no way does not fit"),
        ("convert", "read.downsample=x", "read.downsample=x does not fit: give a number or null"),
        ("report", "every_seconds=x", "every_seconds=x does not fit: give a number"),
        ("simulate", "snr_min=x", "snr_min=x does not fit: give a number"),
    ],
)
def test_a_value_of_another_type_is_named(command: str, override: str, said: str) -> None:
    if override.startswith("guard"):
        override = "guard.switch_to={_target_: cryofix.masking.Quota, decay: x}"
        said = "guard.switch_to.decay=x does not fit: give a number"
    with pytest.raises(CryofixError) as refused:
        check_types(plain(command, override), *COMMANDS[command])
    assert said in str(refused.value)


def test_an_experiment_is_checked_like_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ndata: {limit: nope}\n")
    said = message(
        capsys, f"hydra.searchpath=[{tmp_path}]", "experiment=mine", f"output={tmp_path / 'run'}"
    )
    assert said == "cryofix.train: data.limit=nope does not fit: give a whole number or null"
