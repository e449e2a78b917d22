"""What a run folder says of the run in it: begun with which configuration, finished or not."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from cryofix.errors import CryofixError
from cryofix.files import locked, remove_leftovers

WITHOUT_EFFECT = (
    *("output", "cache", "names", "share_stages", "logger"),
    *("data.cache", "data.workers", "steps.checkpoint_every", "steps.log_every"),
)
"""Keys of the configuration, with all below them, on which no number of a training depends."""

SELECTED_BY = "particle_average_precision"
"""The score on validation by which a branch and a setting are chosen. F1 is taken at a threshold
fitted to the same few micrographs, so it ranks by luck: it chose the worse of two branches twice
as costly (docs/study.md)."""

SELECTED_PARTIALLY_BY = "particle_positive_unlabelled_f1"
SELECTED_WITHOUT_PARTICLES_BY = "pixel_average_precision"
"""The same where the labels of validation are partial, and where they are masks."""

SECONDS_TO_LEAVE = 5.0  # that a process which was told to stop may still hold its folder


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run folder; the system frees it when the owner dies.

    Raises CryofixError when another process trains in it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / "lock", SECONDS_TO_LEAVE))
        except Timeout as error:
            raise CryofixError(
                f"output={folder} is in use by another process: wait until it ends, or choose"
                " another output"
            ) from error
        remove_leftovers(folder, "figures", "checkpoints", "checkpoints/*")
        yield


def holds_a_run(folder: Path) -> bool:
    """Say whether a run in this folder has trained anything; if not, any other may begin in it."""
    return (folder / "results.json").exists() or bool(_checkpoints(folder))


def refuse_another(folder: Path, config: dict[str, Any], key: str = "output") -> None:
    """Compare a configuration with that of the run in a folder, if there is one.

    ``key`` is what chooses the folder. Raises CryofixError when the folder holds a run with other
    settings; nothing in it is touched.
    """
    different = differences(folder, config)
    if different:
        before, now = with_effect(_recorded(folder)), with_effect(config)
        shared = [key for key in different if key in before and key in now]
        if shared:
            first = shared[0]
            more = f" ({len(different)} differences)" if len(different) > 1 else ""
            held = f"with {first}={before[first]}, not {now[first]}{more}"
        else:
            held = f"of another version of cryofix, in which {different[0]} is not the same setting"
        where = f"output={folder}" if key == "output" else str(folder)
        raise CryofixError(
            f"{where} holds a run {held}: choose another {key}, or remove the folder"
        )


def differences(folder: Path, config: dict[str, Any]) -> list[str]:
    """Return the keys, with an effect on the numbers, that the run in ``folder`` has otherwise."""
    if not holds_a_run(folder):
        return []
    before, now = with_effect(_recorded(folder)), with_effect(config)
    keys = sorted(before.keys() | now.keys())
    return [key for key in keys if before.get(key) != now.get(key)]


def with_effect(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration that a training's numbers depend on, by dotted key."""
    return {key: value for key, value in _flat(config).items() if has_effect(key)}


def has_effect(key: str) -> bool:
    """Say whether a number of a training depends on a dotted key of the configuration."""
    return not f"{key}.".startswith(tuple(f"{each}." for each in WITHOUT_EFFECT))


def finished(folder: Path) -> dict[str, Any] | None:
    """Return the results of a run that has finished; None for any other."""
    try:
        if json.loads((folder / "status.json").read_text())["state"] != "finished":
            return None
        results: dict[str, Any] = json.loads((folder / "results.json").read_text())
        headline(results)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return results


def headline(results: dict[str, Any]) -> float:
    """Return the number that ``cryofix.train`` returns: the score that selected the model.

    It is on validation micrographs, so that a search over settings never sees the test.
    """
    score: float = results["selected_by"][results["selected"]]
    return score


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoints/**/*.ckpt"))


def _recorded(folder: Path) -> dict[str, Any]:
    """Return the configuration of the run in a folder; its checkpoints know it as well."""
    try:
        content = json.loads((folder / "config.json").read_text())
        if isinstance(content, dict):
            return content
    except (FileNotFoundError, ValueError, RecursionError):
        pass
    from cryofix.learning.checkpoint import load_checkpoint  # torch, which is rarely needed here

    for path in _checkpoints(folder):
        config: dict[str, Any] = load_checkpoint(path)["cryofix"]["config"]
        return config
    raise CryofixError(
        f"{folder / 'config.json'} is missing or damaged, so the settings of the "
        "results beside it are unknown: choose another output, or remove the folder"
    )


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {prefix: node}
    parts = (_flat(value, f"{prefix}.{key}" if prefix else key) for key, value in node.items())
    return {key: value for part in parts for key, value in part.items()}
