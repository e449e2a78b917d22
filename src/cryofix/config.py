"""Where the configuration is, what its top level may hold, and what a wrong override is told."""

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
)
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from cryofix.errors import CryofixError, Stopped

DEBUG = "CRYOFIX_DEBUG"
USER_ERRORS = (CryofixError, HydraException, OmegaConfBaseException)


def config_folder() -> Path:
    """Return the folder with ``train.yaml`` and the groups, of a checkout or of a wheel.

    Raises
    ------
    CryofixError
        When neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise CryofixError(f"{package} has no conf folder: install cryofix again")


@dataclass
class TrainSchema:
    """Types of the top-level keys of ``train.yaml``; the groups describe themselves."""

    ratio: float = MISSING
    seed: int = MISSING
    split_seed: int = MISSING
    label_draw: int = MISSING
    method: str = MISSING
    output: str = MISSING
    cache: str = MISSING
    share_stages: bool = MISSING
    data: Any = MISSING
    model: Any = MISSING
    mask: Any = MISSING
    teacher: Any = MISSING
    prior: Any = MISSING
    regulariser: Any = MISSING
    augment: Any = MISSING
    loss: Any = MISSING
    unlabelled: Any = MISSING
    optimiser: Any = MISSING
    steps: Any = MISSING
    trainer: Any = MISSING
    compute: Any = MISSING
    guard: Any = MISSING
    names: dict[str, str] = field(default_factory=dict)


ConfigStore.instance().store(name="train_schema", node=TrainSchema)


def entry_point(
    name: str, arguments: Callable[[Sequence[str]], list[str]] = list
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a function of a composed configuration into a command.

    Parameters
    ----------
    name
        Of the YAML file in the configuration folder, without its suffix.
    arguments
        From the command line that was typed to the one that Hydra reads.

    The command prints one sentence and exits with code 1 when a :class:`CryofixError` or an error
    in an override reaches it; with ``CRYOFIX_DEBUG=1`` the traceback comes instead.
    """

    def decorate(function: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @functools.wraps(function)
        def command() -> Any:
            # Hydra then raises instead of printing several lines of its own.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            typed = sys.argv
            try:
                sys.argv = [typed[0], *arguments(typed[1:])]
                run = hydra.main(
                    version_base="1.3", config_path=str(config_folder()), config_name=name
                )
                return run(job)()
            except USER_ERRORS as error:
                _give_up(error, name)
            finally:
                sys.argv = typed
                GlobalHydra.instance().clear()

        @functools.wraps(function)
        def job(config: DictConfig) -> Any:
            try:
                return function(config)
            except USER_ERRORS as error:
                if isinstance(error, Stopped) and runs_a_whole_sweep():
                    print(f"cryofix.{name}: {error}", file=sys.stderr)
                    sys.exit(1)  # Hydra takes any other exception for the end of one job
                # The jobs of a sweep go on without this one; Hydra needs to see why it failed.
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise
                _give_up(error, name)

        return command

    return decorate


def runs_a_whole_sweep() -> bool:
    """Whether this process runs the jobs of a sweep one by one, so that stopping it means all."""
    config = HydraConfig.get()
    return config.mode == RunMode.MULTIRUN and config.launcher._target_.endswith(".BasicLauncher")


def _give_up(error: Exception, name: str) -> NoReturn:
    """Print one sentence and exit with code 1, or raise the error for who wants to debug."""
    if os.environ.get(DEBUG) == "1":
        raise error
    print(f"cryofix.{name}: {explain(error, name)}", file=sys.stderr)
    sys.exit(1)


def explain(error: Exception, name: str) -> str:
    """Return one sentence, naming key, value and remedy, for an error about the configuration."""
    if isinstance(error, CryofixError):
        return str(error)
    text = str(error)
    if isinstance(error, MissingConfigException):
        return _explain_choice(text)
    if isinstance(error, MissingMandatoryValue):
        return _explain_missing(text)
    cause = error.__cause__
    details = f"{text}\n{cause or ''}"
    if wrong := _search(r"(Value '.*' .*)", details):
        key = _search(r"full_key: (\S+)", details)
        return f"{key}: {wrong[0].lower() + wrong[1:]}; give one that fits"
    if unknown := _search(r"Could not override '([^']+)'", text):
        unknown = _search(r"full_key: (\S+)", details) or unknown  # inside of a given {key: value}
        return f"{unknown} is not a key of cryofix.{name}{_suggestion(unknown, name)}"
    if isinstance(error, ConfigCompositionException) and cause is not None:
        text = f"{text} ({str(cause).splitlines()[0]})"
    return " ".join(text.split()) + f"; `python -m cryofix.{name} --help` lists groups and keys"


def _explain_missing(text: str) -> str:
    lacking = _search(r"full_key: (\S+)", text)
    return f"{lacking} has no default: give {lacking}=VALUE"


def _explain_choice(text: str) -> str:
    missing = _search(r"Could not find '([^']+)'", text)
    options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
    if missing and "/" in missing and options:
        group, _, choice = missing.rpartition("/")
        return f"{group}={choice} does not exist; choose one of {', '.join(sorted(options))}"
    if unknown := _search(r"Could not override '([^'@]+)", text):
        return f"{unknown} is not a group of the configuration"
    return " ".join(text.split())


def build(config: Any, **keywords: Any) -> Any:
    """Make the object that a part of the configuration describes by its ``_target_``.

    Raises
    ------
    CryofixError
        What the object's constructor had to say, without Hydra's words around it.
    """
    try:
        return instantiate(config, **keywords)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, CryofixError):
            raise cause from None
        raise


def _suggestion(key: str, name: str) -> str:
    """Return what to do about an unknown key: the closest known one, or the help."""
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        groups = [word for word in sys.argv[1:] if (config_folder() / word.split("=")[0]).is_dir()]
        known = _keys(hydra.compose(name, overrides=groups))
    close = difflib.get_close_matches(key, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ";"
    return f"{meant} `python -m cryofix.{name} --help` lists the keys"


def _keys(config: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key in map(str, config):
        full = f"{prefix}{key}"
        keys.append(full)
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            keys += _keys(node, f"{full}.")
    return keys


def _search(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1) if found else None


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain containers, resolved; a missing value is an error."""
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise CryofixError(_explain_missing(str(error))) from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
