"""What the Tab key offers behind ``cryofix``: commands, and keys and choices of each.

Hydra knows the keys of one command and asks itself for them as ``PROGRAM -sc query=SHELL``. A
program of two words, such as ``python -m cryofix.train``, is more than its scripts can ask for.
"""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from cryofix.config import config_folder
from cryofix.errors import CryofixError
from cryofix.explaining import SHARED
from cryofix.keys import COMMANDS
from cryofix.quoting import TEXT

SHELLS = ("bash", "zsh", "fish")


def complete(words: Sequence[str]) -> None:
    """Answer ``cryofix -sc``: print a shell's script, or what fits the line that is being typed.

    Raises CryofixError for anything but ``install``, ``uninstall`` or ``query`` of a shell.
    """
    task, _, shell = words[0].partition("=") if len(words) == 1 else ("", "", "")
    if task not in ("install", "uninstall", "query") or shell not in SHELLS:
        raise CryofixError(
            f"-sc {' '.join(words)} is not a request for completion; `cryofix --help` says how"
            f" {', '.join(SHELLS)} ask for it"
        )
    if task == "query":
        print("\n".join(suggestions(os.environ.get("COMP_LINE", ""))))
    else:
        sys.argv[0] = "cryofix"  # which the script is for, also where it is asked of a module
        print(_ask_hydra("train", words[0]), end="")


def suggestions(line: str) -> list[str]:
    """Return what the last word of a line may become; the line begins with the program's name."""
    words = line.split()[1:]
    last = "" if line[-1:].isspace() or not words else words.pop()
    if not words:
        return [name for name in COMMANDS if name.startswith(last)]
    name, *before = words
    key, equals, value = last.partition("=")
    if name not in COMMANDS:
        return []
    if equals and key in TEXT:
        return [f"{key}={path}" for path in _paths(value)]
    # Paths and patterns among the words before change no key.
    kept = [word for word in before if word.partition("=")[0] not in TEXT]
    os.environ["COMP_LINE"] = " ".join(["cryofix", *kept, last])
    with suppress(HydraException, OmegaConfBaseException):  # of a wrong word before
        hidden = _foreign_groups(name)
        found = _ask_hydra(name, "query=bash").split()
        return [word for word in found if not _is_hidden(word, hidden)]
    return []


def _paths(typed: str) -> list[str]:
    """Return the files and folders whose path begins as typed, folders with a slash at the end."""
    folder, slash, start = typed.rpartition("/")
    place = Path(f"{folder}{slash}").expanduser()
    with suppress(OSError):  # no folder, or one that may not be read
        found = sorted(each for each in place.iterdir() if each.name.startswith(start))
        shown = [each for each in found if start or not each.name.startswith(".")]
        return [f"{folder}{slash}{each.name}{'/' * each.is_dir()}" for each in shown]
    return []


def _foreign_groups(name: str) -> set[str]:
    """Return the groups of the configuration that a command does not take."""
    folder = config_folder()
    defaults = yaml.safe_load((folder / f"{name}.yaml").read_text())["defaults"]
    own = {"hydra"}.union(*(entry for entry in defaults if isinstance(entry, dict)))
    return {path.name for path in folder.iterdir() if path.is_dir()} - own


def _is_hidden(word: str, groups: set[str]) -> bool:
    head, _, choice = word.lstrip("+~").partition("=")
    return head.split("/")[0].split(".")[0] in groups or choice in SHARED


def _ask_hydra(name: str, request: str) -> str:
    """Return what Hydra's own completion of a command prints."""
    printed = io.StringIO()
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        asked = GlobalHydra.instance().hydra
        assert asked is not None
        with redirect_stdout(printed):
            asked.shell_completion(name, [request])
    return printed.getvalue()
