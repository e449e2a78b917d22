"""What a checkpoint says of itself, checked before anybody reads it.

A checkpoint may come from anybody. What it holds beside weights ends up in configurations and on
terminals, so only plain values of known types and ranges leave this module.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cryofix.checking import check_value, shown
from cryofix.errors import CryofixError, check_range

DEEPEST = 16  # containers in containers; a configuration has five
LARGEST = 2**63  # of a whole number
WIDEST = 4096  # channels, or whatever else an option of a network counts

_ANY = float("inf")
_SEED = (int | None, 0, _ANY)
SCHEMA: dict[str, tuple[Any, float, float]] = {
    "schema": (int | None, 1, 1),
    "stage": (str | None, 0, 0),
    "prior": (float, 0, 1),
    "thresholds": (dict | None, 0, 0),
    "thresholds.pixel": (float, 0, 1),
    "thresholds.by_count": (bool | None, 0, 1),
    "config": (dict, 0, 0),
    "config.ratio": (float | None, 0, 1),
    "config.seed": _SEED,
    "config.split_seed": _SEED,
    "config.label_draw": _SEED,
    "config.average_views": (bool | None, 0, 1),
    "config.mask": (dict | None, 0, 0),
    "config.teacher": (dict | None, 0, 0),
    "config.teacher.kind": (str | None, 0, 0),
    "config.unlabelled": (dict | None, 0, 0),
    "config.unlabelled.weight": (float | None, 0, _ANY),
    "config.model": (dict, 0, 0),
    "config.model.architecture": (str, 0, 0),
    "config.model.encoder": (str, 0, 0),
    "config.model.norm": (str, 0, 0),
    "config.model.options": (dict | None, 0, 0),
    "config.data": (dict, 0, 0),
    "config.data.masks": (str | None, 0, 0),
    "config.data.clip_sigma": (float, 1e-3, _ANY),
}
"""Type of each value that is used, and the smallest and largest of a number."""

OF_PARTICLES: dict[str, tuple[Any, float, float]] = {
    "particle_px": (float, 0.1, 1e4),
    "diameter_px": (float, 0.1, 1e6),
    "diameter_angstrom": (float | None, 1e-3, 1e7),
    "thresholds.particle": (float, 0, 1),
    "config.data.particle_px": (float | None, 0.1, 1e4),
    "config.data.target_size": (int | None, 1, 1e6),
    "config.data.radius_fraction": (float, 1e-3, 1e3),
    "config.data.highpass_diameters": (float, 0, _ANY),
}
OF_MASKS: dict[str, tuple[Any, float, float]] = {"config.data.scale": (float, 1e-3, 1e3)}
"""The same of a model that has learnt particles, and of one that has learnt masks."""


def checked_metadata(found: Any) -> dict[str, Any]:
    """Return what a checkpoint of cryofix says of itself, in containers of its own.

    Raises CryofixError naming the first value that is missing, of another type or out of range.

    Parameters
    ----------
    found
        The checkpoint's ``cryofix``: ``config``, the configuration it was trained with; ``prior``;
        ``particle_px``, ``diameter_px`` and ``diameter_angstrom``, unless it has learnt masks;
        ``thresholds``, null before validation.
    """
    metadata = _plain(found, "cryofix")
    if not isinstance(metadata, dict):
        raise CryofixError(f"its cryofix={shown(metadata)} is not a mapping")
    schema = SCHEMA | (OF_MASKS if learnt_masks(metadata) else OF_PARTICLES)
    for key, (hint, low, high) in schema.items():
        inside, _, _ = key.rpartition(".")
        if inside and _value(metadata, inside) is None:
            continue
        value = _value(metadata, key)
        check_value(value, hint, key)
        if isinstance(value, int | float):
            check_range(key, value, low, high)
    for part in ("model", "mask"):
        for value in _leaves(metadata["config"].get(part)):
            wide = part == "model" and isinstance(value, int | float) and abs(value) > WIDEST
            if wide or (isinstance(value, str) and not value.isprintable()):
                raise CryofixError(f"its config.{part} holds {shown(value)}, which makes no sense")
    return metadata


def learnt_masks(metadata: Mapping[str, Any]) -> bool:
    """Say whether a model has learnt what masks say, and knows of no particle."""
    return _value(metadata, "config.data.masks") is not None


def refuse_masks(metadata: Mapping[str, Any], model: str | Path) -> None:
    """Raise CryofixError if a model, called ``model``, has learnt masks: it cannot pick."""
    if learnt_masks(metadata):
        raise CryofixError(
            f"checkpoint={model} has learnt masks and not particles, so it cannot pick: score what"
            " it predicts with cryofix.evaluate"
        )


def averages_views(metadata: Mapping[str, Any], asked: bool | None) -> bool:
    """Say whether to average over views: as asked for, or where nobody asked as the run did."""
    return bool(_value(metadata, "config.average_views")) if asked is None else asked


def checked_weights(found: Any, key: str) -> dict[str, Tensor]:
    """Return a state dict, in which nothing but tensors may stand.

    Raises CryofixError naming what is something else.
    """
    if not isinstance(found, Mapping) or not found:
        raise CryofixError(f"its {key} is not a mapping of names to tensors")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CryofixError(f"its {key} holds {shown(name)}, which does not name a tensor")
    return dict(found)


def _plain(value: Any, key: str, depth: int = 0) -> Any:
    """Return a copy in which containers are dicts and lists; refuse what is not plain."""
    if isinstance(value, Mapping | list | tuple) and depth < DEEPEST:
        if not isinstance(value, Mapping):
            return [_plain(part, key, depth + 1) for part in value]
        if all(isinstance(name, str) for name in value):
            return {name: _plain(part, name, depth + 1) for name, part in value.items()}
    elif value is None or isinstance(value, str | bool):
        return value
    elif isinstance(value, int | float):
        if value != value or (isinstance(value, int) and abs(value) >= LARGEST):
            raise CryofixError(f"its {shown(key)} is not a number of usual size")
        return value
    raise CryofixError(f"its {shown(key)} is a {type(value).__name__}, not a plain value")


def _value(metadata: Mapping[str, Any], key: str) -> Any:
    """Return the value at a key with dots; None where there is none."""
    value: Any = metadata
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _leaves(node: Any) -> Iterator[Any]:
    """Return all names and values below a node."""
    if isinstance(node, dict):
        yield from node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _leaves(part)
    else:
        yield node
