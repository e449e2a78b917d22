"""``cryofix``: the commands by name, what each is for, and their completion by the Tab key."""

import difflib
import runpy
import sys

import yaml

from cryofix import __version__
from cryofix.config import config_folder
from cryofix.errors import CryofixError
from cryofix.keys import COMMANDS

HELP = """\
usage: cryofix COMMAND [key=value ...]

{commands}

`cryofix COMMAND --help` explains the command's groups and keys; `python -m cryofix.COMMAND` is the
same. `cryofix --version` says the version.
The Tab key completes keys and choices after `eval "$(cryofix -sc install=bash)"` in bash, or
`cryofix -sc install=fish | source` in fish."""


def main() -> None:
    """Run the command that the first word names, as ``python -m cryofix.NAME`` does.

    Exits with code 1 and one sentence when there is no such command.
    """
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    try:
        if word in COMMANDS:
            del sys.argv[1]
            # As with `python -m`, so that processes that it starts find their way back.
            runpy.run_module(f"cryofix.{word}", run_name="__main__", alter_sys=True)
        elif word in ("-h", "--help"):
            print(HELP.format(commands="\n".join(f"  {name:10}{about(name)}" for name in COMMANDS)))
        elif word == "--version":
            print(f"cryofix {__version__}")
        elif word in ("-sc", "--shell-completion"):
            from cryofix.completing import complete

            complete(sys.argv[2:])
        else:
            close = difflib.get_close_matches(word, COMMANDS, n=1)
            meant = f"; did you mean {close[0]}?" if close else ";"
            raise CryofixError(
                f"{word} is not a command{meant} `cryofix --help` lists the commands"
            )
    except CryofixError as error:
        print(f"cryofix: {error}", file=sys.stderr)
        sys.exit(1)


def about(name: str) -> str:
    """Return the first line of a command's help."""
    text = (config_folder() / "hydra" / "help" / f"{name}.yaml").read_text()
    return str(yaml.safe_load(text)["header"]).splitlines()[0]


if __name__ == "__main__":
    main()
