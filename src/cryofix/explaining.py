"""What a wrong override is told: one sentence with the key, the value and the remedy."""

import difflib
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from cryofix.config import config_folder
from cryofix.errors import CryofixError
from cryofix.files import explain_os_error

SHARED = ("base", "files", "particles")  # parts of the choices of a group, which nobody chooses


def explain(error: BaseException, name: str) -> str:
    """Return one sentence, naming key, value and remedy, for an error about the configuration."""
    if isinstance(error, CryofixError):
        return str(error)
    text = str(error)
    if isinstance(error, MissingConfigException):  # an OSError too
        return _explain_choice(text)
    if isinstance(error, OSError):
        return explain_os_error(error)
    if isinstance(error, MissingMandatoryValue | InterpolationToMissingValueError):
        return explain_missing(text)
    if isinstance(error, OverrideParseException):
        typed, equals, value = error.override.partition("=")
        if not equals:
            return f"{error.override} is not an override: write key=value"
        quoted = QuotedString(value, Quote.double).with_quotes()
        return (
            f"{typed}={value} is not in the language of Hydra's command line: close every bracket,"
            f" and quote what is text, as in {shlex.quote(f'{typed}={quoted}')}"
        )
    cause = error.__cause__
    details = f"{text}\n{cause or ''}"
    if wrong := _search(r"(Value '.*' .*)", details):
        key = _search(r"full_key: (\S+)", details)
        return f"{key}: {wrong[0].lower() + wrong[1:]}; give one that fits"
    if unknown := _search(r"Could not override '([^']+)'", text):
        inner = _search(r"full_key: (\S+)", details) or ""
        unknown = max(unknown, inner, key=len)  # the inner one in a given {key: value}
        return _unknown(unknown, name)
    if several := _search(r"Ambiguous value for argument '(.+)'", text):
        key, _, values = several.partition("=")
        return f"{several} is several values: add -m for a sweep, or write {key}=[{values}]"
    if isinstance(error, ConfigCompositionException) and cause is not None:
        text = f"{text} ({str(cause).splitlines()[0]})"
    return " ".join(text.split()) + f"; `python -m cryofix.{name} --help` lists groups and keys"


def explain_missing(text: str) -> str:
    """Return the sentence for a key that has to be given: ``text`` is OmegaConf's."""
    lacking = _search(r"full_key: (\S+)", text)
    if lacking is None or lacking.startswith("hydra."):  # which refers to the key of ours
        lacking = _search(r"Missing mandatory value: (\S+)", text)
    return f"{lacking} has no default: give {lacking}=VALUE"


def _explain_choice(text: str) -> str:
    missing = _search(r"Could not find '([^']+)'", text)
    options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
    if missing and "/" in missing and options:
        group, _, choice = missing.rpartition("/")
        options = sorted(set(options).difference(SHARED))
        return f"{group}={choice} does not exist; choose one of {', '.join(options)}"
    if unknown := _search(r"Could not override '([^'@]+)", text):
        return f"{unknown} is not a group of the configuration"
    return " ".join(text.split())


def _unknown(key: str, name: str) -> str:
    """Return what an unknown key is told: which choice of its group takes it, or the closest."""
    group = key.partition(".")[0]
    given = [
        word
        for word in sys.argv[1:]
        if (config_folder() / f"{word.replace('=', '/', 1)}.yaml").is_file()
    ]
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = hydra.compose(name, overrides=given, return_hydra_config=True)
    choices = composed.hydra.runtime.choices
    inner = key.split(".")[1:]
    files = sorted((config_folder() / group).glob("*.yaml")) if group in choices else []
    takers = [each.stem for each in files if each.stem not in SHARED and _has(each, inner)]
    if takers:
        choice = choices[group]
        chosen = f"no {group} was chosen" if choice is None else f"{group}={choice} was chosen"
        some = " or ".join([", ".join(takers[:-1]), takers[-1]] if takers[1:] else takers)
        return f"{key} is a key of {group}={some}, but {chosen}: choose that, or leave {key} out"
    del composed.hydra
    close = difflib.get_close_matches(key, _keys(composed), n=1)
    meant = f"; did you mean {close[0]}?" if close else ";"
    return (
        f"{key} is not a key of cryofix.{name}{meant} `python -m cryofix.{name} --help` lists the"
        " keys"
    )


def _has(file: Path, keys: list[str]) -> bool:
    content: Any = OmegaConf.to_container(OmegaConf.load(file))
    for parent in content.get("defaults", []):
        beside = file.parent / f"{parent}.yaml"
        if beside.exists() and _has(beside, keys):
            return True
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


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
