"""``resume_sweep=DIR``: the command line of an earlier sweep, into the same folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from cryofix.checking import shown
from cryofix.errors import CryofixError
from cryofix.keys import Train
from cryofix.sweeps.reading import Unreadable, mapping, override_lines, planned

KEY = "resume_sweep"
_OF_THIS_START = ("hydra.mode", "hydra.sweep.dir")  # not taken from the earlier command line
_TRAINING = {*Train.__annotations__, "experiment"}
_CHOSEN_ONLY = ("callbacks", "logger")
_WHERE = ("output", "cache")  # paths; other keys without a dot choose a file, and one of conf/
_LAUNCHING = (  # of hydra.launcher: numbers and names, and nothing that a shell reads
    *("jobs_at_once", "cpus_per_task", "gpus_per_node", "nodes", "tasks_per_node", "mem_gb"),
    *("timeout_min", "max_num_timeout", "array_parallelism", "signal_delay_s"),
    *("partition", "account", "qos", "constraint"),
)


def resumed(arguments: Sequence[str]) -> list[str]:
    """Replace ``resume_sweep=DIR`` by the overrides that the sweep in DIR was started with.

    What else stands in ``arguments`` wins over them: another partition or time limit, say. All
    jobs keep their numbers and folders, and those that have finished are not run again, because
    launchers and ``cryofix.train`` recognise them by their configuration.

    ``arguments`` are a command line without the program; one without the key stays as it is.
    Raises CryofixError: DIR is not the folder of a sweep, or its overrides are more than values of
    known keys: a folder that comes from somebody else must not run programs.
    """
    named = [word for word in arguments if word.startswith(f"{KEY}=")]
    if not named:
        return list(arguments)
    folder = Path(named[-1].partition("=")[2].strip("'\"")).expanduser()
    given = [word for word in arguments if word not in named]
    if "-m" not in given and "--multirun" not in given:
        given.insert(0, "--multirun")
    before = [word for word in _overrides(folder) if _key(word) not in _OF_THIS_START]
    again = {_key(word): word for word in given}
    for word in before:
        if _key(word) not in again and not _is_harmless(word):
            raise CryofixError(
                f"{KEY}={folder}: its multirun.yaml asks for {shown(word)}, but only "
                "plain values of the keys of cryofix.train and of job sizes are taken "
                f"from a file: if it is yours, type {shown(_key(word))} again beside "
                f"{KEY}"
            )
    # The order of keys numbers the jobs, so that one typed again stays in its place.
    line = [again.get(_key(word), word) for word in before]
    new = [word for word in given if word not in line]
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return [*new, *line, f"hydra.sweep.dir='{quoted}'"]


def _key(override: str) -> str:
    """Return what an override is about: the key without the signs of Hydra's grammar."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _is_harmless(override: str) -> bool:
    """Say whether an override sets a value, runs nothing, and reads nothing but what it sets."""
    key, _, value = override.lstrip("+~").partition("=")
    if "_target_" in override or "${" in override or not re.fullmatch(r"[\w.@]+|hydra/\w+", key):
        return False
    parts = re.split(r"[./@]", key)
    if parts[0] in _CHOSEN_ONLY:  # values of theirs are paths and addresses of servers
        return key == parts[0] and re.fullmatch(r"[\w\[\], ]*", value) is not None
    if parts[0] != "hydra":
        chooses = "." not in key.partition("@")[0] and key not in _WHERE
        return parts[0] in _TRAINING and "hydra" not in parts and not (chooses and "/" in value)
    if key == "hydra.sweep.subdir":
        return not value.strip("'\"").startswith("/") and ".." not in value
    if key == "hydra/launcher":
        return value in ("basic", "local", "slurm")
    known = parts[:2] == ["hydra", "launcher"] and len(parts) == 3 and parts[2] in _LAUNCHING
    return known and re.fullmatch(r"[\w.,&|'\"-]*", value) is not None


def _overrides(folder: Path) -> list[str]:
    try:
        lists = mapping(planned(folder).get("overrides"))
        found = override_lines(lists.get("hydra")) + override_lines(lists.get("task"))
    except Unreadable as error:
        raise CryofixError(
            f"{KEY}={folder} holds no readable multirun.yaml ({error}): give the folder of a sweep"
            " that `cryofix.train -m` made"
        ) from error
    if not found:
        raise CryofixError(
            f"{folder / 'multirun.yaml'} names no overrides: it is not of a sweep of cryofix.train"
        )
    return found
