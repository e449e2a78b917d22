"""Telling settings apart: which runs are repetitions of one another, and what to call them."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryofix.experiment.run_folder import WITHOUT_EFFECT
from cryofix.sweeps.reading import text
from cryofix.sweeps.run_results import Result
from cryofix.sweeps.runs import Run, natural_key

REPETITION_KEYS = frozenset({"seed", "split_seed", "label_draw"})
"""Override keys that make a repetition, not another setting."""

_WITHOUT_EFFECT = frozenset(WITHOUT_EFFECT)
_IN_RESULT = frozenset({"data", "mask", "ratio"}) | REPETITION_KEYS | _WITHOUT_EFFECT
_PLAIN_OVERRIDE = re.compile(r"\+{0,2}[\w./@-]+=.*|~[\w./@-]+")


@dataclass(frozen=True)
class Setting:
    """What distinguishes one row of the table from another, all but the ratio."""

    data: str
    mask: str
    mask_config: tuple[tuple[str, str], ...]  # flattened: dotted key, value as JSON
    others: tuple[tuple[str, str], ...]  # overrides outside data, mask, ratio and seeds


def setting_of(run: Run, result: Result) -> Setting:
    """Return the setting of a finished run, from its result and its overrides."""
    pairs = dict(split_override(line) for line in run.overrides)
    config = dict(_flatten(result.mask_config))
    if not config:  # results without mask_config: the overrides are all that is known
        config = {k[5:]: v for k, v in pairs.items() if k.startswith("mask.")}
    others = {
        key: value
        for key, value in pairs.items()
        if key not in _IN_RESULT
        and not key.startswith(("mask.", "hydra"))
        and (key, value) != ("method", "supervised")  # whose row is named after it
    }
    return Setting(
        result.data, result.mask, tuple(sorted(config.items())), tuple(sorted(others.items()))
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


@dataclass(frozen=True)
class Namer:
    """Short names for settings: only what differs within the sweep is said."""

    mask_keys: Mapping[str, tuple[str, ...]]  # by mask: the configuration keys worth saying
    other_keys: tuple[str, ...]
    several_data: bool

    def mask_values(self, setting: Setting) -> tuple[tuple[str, str], ...]:
        """Return the (key, value) pairs that tell this setting from others of its mask."""
        values = dict(setting.mask_config)
        keys = self.mask_keys.get(setting.mask, ())
        return tuple((key, values[key]) for key in keys if key in values)

    def values(self, setting: Setting) -> str:
        """Return the values alone, for column heads: '0.7' or '0.6 / 0.2'."""
        return " / ".join(value for _, value in self.mask_values(setting))

    def settings(self, setting: Setting) -> str:
        """Return keys and values: 'threshold 0.7, target hard'."""
        return ", ".join(f"{key} {value}" for key, value in self.mask_values(setting))

    def curve(self, setting: Setting) -> str:
        """Return the name of a line in a figure: 'symmetric 0.7'."""
        return f"{setting.mask} {self.values(setting)}".strip()

    def scene(self, setting: Setting) -> str:
        """Return what is the same for all masks that may be compared: data and other overrides."""
        others = dict(setting.others)
        said = [f"{key} {others[key]}" for key in self.other_keys if key in others]
        return ", ".join([setting.data, *said])


def make_namer(settings: Sequence[Setting]) -> Namer:
    """Find which keys differ within the sweep; a mask's threshold is always said."""
    mask_keys: dict[str, tuple[str, ...]] = {}
    for mask in sorted({setting.mask for setting in settings}):
        tables = [dict(setting.mask_config) for setting in settings if setting.mask == mask]
        differing = [
            key
            for key in sorted({key for table in tables for key in table})
            if key == "threshold" or len({table.get(key) for table in tables}) > 1
        ]
        mask_keys[mask] = tuple(sorted(differing, key=lambda key: key != "threshold"))
    all_data = {setting.data for setting in settings}
    other_keys: set[str] = set()
    for data in all_data:  # what goes with the data, such as their folder, their name says
        others = [dict(setting.others) for setting in settings if setting.data == data]
        other_keys |= {
            key
            for key in {key for table in others for key in table}
            if len({table.get(key) for table in others}) > 1
        }
    return Namer(mask_keys, tuple(sorted(other_keys)), len(all_data) > 1)


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
        and split_override(line)[0] not in REPETITION_KEYS | _WITHOUT_EFFECT
        and _PLAIN_OVERRIDE.fullmatch(line)
    ]
    keys = {split_override(line)[0] for line in shared}
    if not keys & {"mask", "ratio"}:
        shared += [f"mask={setting.mask}"]
        shared += [f"mask.{key}={value}" for key, value in setting.mask_config]
    if "ratio" not in keys:
        shared += [f"ratio={ratio:g}"]
    return " ".join(shlex.quote(line) for line in shared)
