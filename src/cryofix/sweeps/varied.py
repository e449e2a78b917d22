"""Telling settings apart: which runs are repetitions of one another, and what to call them."""

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryofix.experiment.run_folder import has_effect
from cryofix.sweeps.reading import text
from cryofix.sweeps.run_results import Result
from cryofix.sweeps.runs import Run, natural_key

REPETITION_KEYS = frozenset({"seed", "split_seed", "label_draw"})
"""Override keys that make a repetition, not another setting."""

_IN_RESULT = frozenset({"data", "mask", "ratio"}) | REPETITION_KEYS
_PLAIN_OVERRIDE = re.compile(r"\+{0,2}[\w./@-]+=.*|~[\w./@-]+")


@dataclass(frozen=True)
class Setting:
    """What distinguishes one row of the table from another, all but the ratio."""

    data: str
    mask: str
    mask_config: tuple[tuple[str, str], ...]
    """Flattened: dotted key, and value as JSON."""
    others: tuple[tuple[str, str], ...]
    """Overrides outside data, mask, ratio and seeds."""


def setting_of(run: Run, result: Result) -> Setting:
    """Return the setting of a finished run, from its result and its overrides."""
    pairs = dict(split_override(line) for line in run.overrides)
    config = dict(_flatten(result["mask_config"]))
    if not config:  # results without mask_config: the overrides are all that is known
        config = {k[5:]: v for k, v in pairs.items() if k.startswith("mask.")}
    others = {
        key: value
        for key, value in pairs.items()
        if key not in _IN_RESULT
        and has_effect(key)
        and not key.startswith(("mask.", "hydra"))
        and (key, value) != ("method", "supervised")  # whose row is named after it
    }
    return Setting(
        result["data"], result["mask"], tuple(sorted(config.items())), tuple(sorted(others.items()))
    )


def split_override(line: str) -> tuple[str, str]:
    """Split ``++key=value`` into key and value; a deletion ``~key`` has the value ''."""
    key, _, value = line.lstrip("+~").partition("=")
    return key, value


def _flatten(config: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield (dotted key, value as text); the class and the name say nothing new."""
    for key, value in config.items():
        name = text(f"{prefix}{key}", 80)
        if key.startswith("_") or name == "name":
            continue
        if isinstance(value, dict) and len(prefix) < 100:
            yield from _flatten({k: v for k, v in value.items() if isinstance(k, str)}, f"{name}.")
        elif isinstance(value, str):
            yield name, text(value, 80)
        else:
            yield name, text(json.dumps(value), 80)


class Names(NamedTuple):
    """Short names of a setting: only what differs within the sweep is said."""

    keys: str
    """Of the mask's values: ``threshold``, or ``particle_threshold / background_threshold``."""
    values: str
    """For the head of a column: ``0.7``, or ``0.6 / 0.2``."""
    settings: str
    """Keys and values: ``threshold 0.7, target hard``."""
    curve: str
    """Of a line in a figure: ``symmetric 0.7``."""
    scene: str
    """What is the same for all masks that may be compared: data and other overrides."""


def make_names(settings: Sequence[Setting]) -> dict[Setting, Names]:
    """Name each setting by the keys that differ within the sweep; thresholds are always said."""
    masks, others = defaultdict(list), defaultdict(list)
    for each in settings:
        masks[each.mask].append(dict(each.mask_config))
        others[each.data].append(dict(each.others))
    mask_keys = {
        mask: ["threshold", *sorted(_differing(tables) - {"threshold"})]
        for mask, tables in masks.items()
    }
    # What goes with the data, such as their folder, their name says.
    other_keys = sorted(set().union(*map(_differing, others.values())))
    return {setting: _named(setting, mask_keys[setting.mask], other_keys) for setting in settings}


def _named(setting: Setting, mask_keys: Sequence[str], other_keys: Sequence[str]) -> Names:
    config, others = dict(setting.mask_config), dict(setting.others)
    keys = [key for key in mask_keys if key in config]
    values = " / ".join(config[key] for key in keys)
    return Names(
        keys=" / ".join(keys),
        values=values,
        settings=", ".join(f"{key} {config[key]}" for key in keys),
        curve=f"{setting.mask} {values}".strip(),
        scene=", ".join([setting.data, *(f"{k} {others[k]}" for k in other_keys if k in others)]),
    )


def _differing(tables: Sequence[Mapping[str, str]]) -> set[str]:
    """Return the keys of which not all tables have the same value."""
    every = {key for table in tables for key in table}
    return {key for key in every if len({table.get(key) for table in tables}) > 1}


def sort_key(setting: Setting) -> tuple[object, ...]:
    """Order settings by data, other overrides, mask, then numerically by the mask's values."""
    config = tuple((key, natural_key(value)) for key, value in setting.mask_config)
    return setting.data, setting.others, setting.mask, config


def override_line(runs: Sequence[Run], setting: Setting, ratio: float) -> str:
    """Return the overrides shared by all ``runs`` but for seeds and folders, quoted for a shell.

    Runs without recorded overrides give a line made from the mask's name and configuration.
    """
    shared = [
        line
        for line in (runs[0].overrides if runs else ())
        if all(line in run.overrides for run in runs)
        and split_override(line)[0] not in REPETITION_KEYS
        and has_effect(split_override(line)[0])
        and _PLAIN_OVERRIDE.fullmatch(line)
    ]
    keys = {split_override(line)[0] for line in shared}
    if not keys & {"mask", "ratio"}:
        shared += [f"mask={setting.mask}"]
        shared += [f"mask.{key}={value}" for key, value in setting.mask_config]
    if "ratio" not in keys:
        shared += [f"ratio={ratio:g}"]
    return " ".join(shlex.quote(line) for line in shared)
