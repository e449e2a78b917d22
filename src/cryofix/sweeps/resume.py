"""``resume_sweep=DIR``: the command line of an earlier sweep, into the same folder."""

from collections.abc import Sequence
from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.sweeps.reading import Unreadable, mapping, read_yaml, sequence, text

KEY = "resume_sweep"
_OF_THIS_START = ("hydra.mode", "hydra.sweep.dir")  # not taken from the earlier command line


def resumed(arguments: Sequence[str]) -> list[str]:
    """Replace ``resume_sweep=DIR`` by the overrides that the sweep in DIR was started with.

    What else stands in ``arguments`` wins over them: another partition or time limit, say. All
    jobs keep their numbers and folders, and those that have finished are not run again, because
    launchers and ``cryofix.train`` recognise them by their configuration.

    Parameters
    ----------
    arguments
        A command line without the program; one without the key is returned as it is.

    Raises
    ------
    CryofixError
        DIR is not the folder of a sweep.
    """
    named = [word for word in arguments if word.startswith(f"{KEY}=")]
    if not named:
        return list(arguments)
    folder = Path(named[-1].partition("=")[2].strip("'\"")).expanduser()
    given = [word for word in arguments if word not in named]
    if "-m" not in given and "--multirun" not in given:
        given.insert(0, "--multirun")
    left_out = {_key(word) for word in given} | set(_OF_THIS_START)
    before = [word for word in _overrides(folder) if _key(word) not in left_out]
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return [*given, *before, f"hydra.sweep.dir='{quoted}'"]


def _key(override: str) -> str:
    """Return what an override is about: the key without the signs of Hydra's grammar."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _overrides(folder: Path) -> list[str]:
    path = folder / "multirun.yaml"
    try:
        hydra = mapping(mapping(read_yaml(path)).get("hydra"))
    except Unreadable as error:
        raise CryofixError(
            f"{KEY}={folder} holds no readable multirun.yaml ({error}): give the folder of a sweep"
            " that `cryofix.train -m` made"
        ) from error
    lists = mapping(hydra.get("overrides"))
    found = [
        line
        for kind in ("hydra", "task")
        for word in sequence(lists.get(kind), 500)
        if (line := text(word, 2_000))
    ]
    if not found:
        raise CryofixError(f"{path} names no overrides: it is not of a sweep of cryofix.train")
    return found
