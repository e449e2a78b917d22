"""Every key that a message names exists in a command that can show the message."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import cryofix
from cryofix.config import config_folder
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.keys import COMMANDS

CONF = config_folder()
PACKAGE = Path(cryofix.__file__).parent
KEY = re.compile(r"(?<![\w./{}-])([a-z]\w*(?:[./]\w+)*)=(?!=)")
DOTTED = re.compile(
    r"(?<![\w./{}-])((?:data|mask|model|teacher|steps|unlabelled|optimiser|trainer|guard|augment"
    r"|prior|compute|regulariser|auxiliary|loss|read|write|hydra)\.[a-z]\w*(?:\.\w+)*)(?![\w.]*\()"
)
SHOWN_BY = {
    "picking": ("pick",),
    "labels": ("label",),
    "label.py": ("label", "train"),
    "diagnosis": ("diagnose", "train"),
    "sweeps": ("report", "train"),
    "formats": ("convert", "train", "evaluate", "pick"),
    "convert.py": ("convert",),
    "evaluate.py": ("evaluate",),
    "diagnose.py": ("diagnose",),
    "pick.py": ("pick",),
    "report.py": ("report",),
    "simulate.py": ("simulate",),
    "train.py": ("train",),
}
"""Commands that show the messages of a file or folder; those of the others, any that trains."""
ELSEWHERE = ("train", "evaluate", "diagnose", "pick", "simulate")
NO_KEYS = {"key", "cryofix"}  # in `write key=value`, and of a checkpoint's entry


def messages(file: Path) -> Iterator[tuple[int, str]]:
    """Return the texts that a file raises, logs or prints, with ``{}`` for what is filled in."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        if name in ("CryofixError", "Stopped", "warning", "print", "require", "Unreadable"):
            for argument in node.args:
                yield from ((node.lineno, text) for text in texts(argument))


def texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        yield "".join(map(str, parts))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for inner in ast.iter_child_nodes(node):
            yield from texts(inner)


def keys_of(command: str) -> set[str]:
    """Return every key that a command can have, whatever is chosen in its groups."""

    def flat(node: Any, prefix: str) -> Iterator[str]:
        for key, value in node.items():
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config: Any = OmegaConf.to_container(compose(command))
        keys = set(flat(config, ""))
    raw: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{command}.yaml"))
    named = {key for entry in raw["defaults"] if isinstance(entry, dict) for key in entry}
    groups = {key for key in named | config.keys() if (CONF / key).is_dir()}
    keys |= groups
    for group in groups:
        for path in (CONF / group).glob("*.yaml"):
            chosen: Any = OmegaConf.to_container(OmegaConf.load(path))
            prefix = "" if "@package _global_" in path.read_text() else f"{group}."
            keys |= set(flat(chosen, prefix))
    if "data" in groups:
        keys |= {f"data.simulate.{entry.name}" for entry in dataclasses.fields(SimulatorConfig)}
    launcher: Any = OmegaConf.to_container(OmegaConf.load(CONF / "hydra/launcher/slurm.yaml"))
    local: Any = OmegaConf.to_container(OmegaConf.load(CONF / "hydra/launcher/local.yaml"))
    return keys | {f"hydra.launcher.{key}" for key in {**launcher, **local}} | {"hydra/launcher"}


def test_every_key_that_a_message_names_exists() -> None:
    known = {command: keys_of(command) for command in COMMANDS}
    wrong = []
    for file in sorted(PACKAGE.rglob("*.py")):
        where = file.relative_to(PACKAGE).parts[0]
        commands = SHOWN_BY.get(where, ELSEWHERE)
        keys = set.union(*(known[command] for command in commands)) | NO_KEYS
        for line, text in messages(file):
            for key in {*KEY.findall(text), *DOTTED.findall(text)} - keys:
                wrong.append(f"{file.relative_to(PACKAGE)}:{line}: {key} in {text!r}")
    assert not wrong, "\n".join(wrong)
