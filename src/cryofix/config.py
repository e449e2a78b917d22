"""Where the configuration is, what its top level may hold, and how a command is made of it."""

import functools
import io
import logging
import os
import re
import shlex
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from cryofix.checking import check_types
from cryofix.construct import construct
from cryofix.errors import CryofixError, Stopped, UnknownKeyError, nobody_reads
from cryofix.keys import COMMANDS
from cryofix.quoting import quote_text

DEBUG = "CRYOFIX_DEBUG"
IN_THIS_PROCESS = (".OneByOneLauncher", ".BasicLauncher")  # launchers that start no other
_typed: list[str] = []  # the words of the command line
USER_ERRORS = (CryofixError, HydraException, OmegaConfBaseException, OSError)


def config_folder() -> Path:
    """Return the folder with ``train.yaml`` and the groups, of a checkout or of a wheel.

    Raises CryofixError when neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise CryofixError(f"{package} has no conf folder: install cryofix again")


def described_keys(name: str) -> str:
    """Return the keys of a command with the comments of its file, for its help."""
    text = (config_folder() / f"{name}.yaml").read_text()
    keys = text.partition("\n\n")[2].partition("\nhydra:")[0]  # behind the defaults
    return keys.strip()


def choices(group: str) -> str:
    """Return the choices of a group, for a command's help."""
    from cryofix.explaining import SHARED

    names = {path.stem for path in (config_folder() / group).glob("*.yaml")}
    text = ", ".join(sorted(names.difference(SHARED)))
    return textwrap.fill(text, 84, subsequent_indent=12 * " ")


OmegaConf.register_new_resolver("cryofix_keys", described_keys, replace=True)
OmegaConf.register_new_resolver("cryofix_choices", choices, replace=True)


def when(value: Any, other: Any, then: Any, otherwise: Any) -> Any:
    """Return the third of four values if the first two are equal, else the last.

    In YAML: ``${when:${teacher.kind},self,200.0,1.0}``.
    """
    return then if value == other else otherwise


OmegaConf.register_new_resolver("when", when, replace=True)


def entry_point(
    name: str, arguments: Callable[[Sequence[str]], list[str]] = list
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a function of a composed configuration into a command.

    ``name`` is that of its YAML file; ``arguments`` turn the command line that was typed into the
    one that Hydra reads.

    The command prints one sentence and exits with code 1 when a :class:`CryofixError`, an error in
    an override or a refusal of the operating system reaches it; with ``CRYOFIX_DEBUG=1`` the
    traceback comes instead. Ctrl-C ends it with a sentence too, and a reader of its output that has
    gone (``| head``) without one.
    """

    def decorate(function: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @functools.wraps(function)
        def command() -> Any:
            # Hydra then raises instead of printing several lines of its own.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            typed = sys.argv
            _typed[:] = typed[1:]
            # A full disk is said once, not by the log and by TensorBoard's thread besides.
            logging.raiseExceptions = False
            hook, threading.excepthook = threading.excepthook, _say_unless_refused
            if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may have no Å
                sys.stdout.reconfigure(errors="replace")
            try:
                sys.argv = [typed[0], *arguments(quote_text(typed[1:], name))]
                run = hydra.main(
                    version_base="1.3", config_path=str(config_folder()), config_name=name
                )
                result = run(job)()
                sys.stdout.flush()
                return result
            except (*USER_ERRORS, SystemExit, KeyboardInterrupt) as error:
                _give_up(error, name)
            finally:
                sys.argv, threading.excepthook = typed, hook
                GlobalHydra.instance().clear()

        @functools.wraps(function)
        def job(config: DictConfig) -> Any:
            try:
                _refuse_a_launcher_alone()
                _check_keys(config, name)
                return function(config)
            except USER_ERRORS as error:
                if isinstance(error, Stopped) and runs_a_whole_sweep():
                    _give_up(error, name)  # Hydra takes it for the end of one job
                # The jobs of a sweep go on without this one; Hydra needs to see why it failed.
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    _note_failure(error, name)
                    raise
                _give_up(error, name)

        return command

    return decorate


def _check_keys(config: DictConfig, name: str) -> None:
    """Check keys and types, and say where a key is from that a preset has set for another mask."""
    try:
        check_types(to_plain(config), *COMMANDS[name])
    except UnknownKeyError as error:
        hydra_config = HydraConfig.get()
        preset = hydra_config.runtime.choices.get("experiment")
        typed = [word.lstrip("+~").partition("=")[0] for word in hydra_config.overrides.task]
        if not preset or error.key in typed:
            raise
        raise CryofixError(
            f"{error.key} is not a key of what you chose: experiment={preset} sets it;"
            f" add ~{error.key}"
        ) from error


def _note_failure(error: BaseException, name: str) -> None:
    """Let the report know of a training that failed before it could say so."""
    from cryofix.explaining import explain
    from cryofix.files import write_json

    path = Path(HydraConfig.get().runtime.output_dir) / "status.json"
    if name != "train" or not path.parent.is_dir():
        return
    if not path.exists() or "started" not in path.read_text():  # else it is the run's own
        write_json(path, {"state": "failed", "error": explain(error, name)})


def _say_unless_refused(failed: threading.ExceptHookArgs) -> None:
    """Leave what the system refused to a thread to the main one, which hears of it."""
    if not isinstance(failed.exc_value, OSError):
        threading.__excepthook__(failed)


def _refuse_a_launcher_alone() -> None:
    """Refuse a launcher for a single run, which Hydra would train here, on a login node perhaps."""
    config = HydraConfig.get()
    launcher = config.runtime.choices.get("hydra/launcher")
    if config.mode == RunMode.RUN and not config.launcher._target_.endswith(IN_THIS_PROCESS):
        raise CryofixError(
            f"hydra/launcher={launcher} starts the jobs of a sweep, and a command "
            f"without -m is none: add -m, or leave hydra/launcher={launcher} out"
        )


def refuse_idle(keys: Sequence[str], reason: str) -> None:
    """Refuse keys of the command line, and those below them, that what else was given leaves idle.

    Raises CryofixError for the first of them that was typed; ``reason`` says why it does nothing.
    """
    for typed in HydraConfig.get().overrides.task:
        word = typed.lstrip("+")
        name = word.partition("=")[0]
        if any(name == key or name.startswith(f"{key}.") for key in keys):
            raise CryofixError(f"{word} has no effect here: {reason}; leave it out")


def again(folder: Path, name: str = "train") -> str:
    """Return the command line that goes on with the work of a run folder, in backquotes."""
    config = HydraConfig.get()
    words = [word for word in _typed if not word.startswith("output=")] + [f"output={folder}"]
    if config.mode == RunMode.MULTIRUN and name == "train":
        words = [f"resume_sweep={Path(config.sweep.dir).absolute()}"]
    return f"`python -m cryofix.{name} {shlex.join(words)}`"


def runs_a_whole_sweep() -> bool:
    """Whether this process runs the jobs of a sweep one by one, so that stopping it means all."""
    config = HydraConfig.get()
    return config.mode == RunMode.MULTIRUN and config.launcher._target_.endswith(IN_THIS_PROCESS)


def _give_up(error: BaseException, name: str) -> NoReturn:
    """End the command with one sentence and an exit code, or raise for who wants to debug."""
    if nobody_reads(error):
        # Python writes what is left when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    if os.environ.get(DEBUG) == "1" or isinstance(error, SystemExit):
        raise error
    from cryofix.explaining import explain

    if isinstance(error, KeyboardInterrupt):
        error = Stopped("stopped by SIGINT", signal.SIGINT)
    if isinstance(error, Stopped):  # who stops a process often asks again while it stops
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    print(f"cryofix.{name}: {explain(error, name)}", file=sys.stderr)
    sys.exit(128 + error.signal if isinstance(error, Stopped) else 1)


def build(config: Any, **keywords: Any) -> Any:
    """Make the object that a part of the configuration describes by its ``_target_``.

    Classes of cryofix are called, and what an override of this command names as ``_target_``.

    Raises CryofixError for any other ``_target_``, keywords that do not fit, and what a constructor
    had to say.
    """
    key = config._get_full_key(None) if isinstance(config, DictConfig) else ""
    plain = to_plain(config) if isinstance(config, DictConfig) else config
    return construct(plain, key or "config", named=typed_targets(), **keywords)


def typed_targets() -> list[str]:
    """Return the names that overrides of this command give as ``_target_``."""
    typed = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return re.findall(r"_target_\W+([\w.]+)", " ".join(typed))


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain containers, resolved; a missing value is an error."""
    from cryofix.explaining import explain_missing

    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise CryofixError(explain_missing(str(error))) from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
