"""``python -m cryofix.pick``: from a trained model and micrographs to particles in files."""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cryofix.config import again, entry_point, to_plain
from cryofix.stopping import StopRequests

if TYPE_CHECKING:
    from torch import nn

SOME_FAILED = 2
STOP = "STOP"
"""Name of the file in the output folder that ends ``watch=true``."""


@entry_point("pick")
def main(config: DictConfig) -> float:
    """Pick, write, and return the number of picks; exit with code 2 if a file failed."""
    folder = Path(HydraConfig.get().runtime.output_dir).absolute()
    with StopRequests(again(folder, "pick")) as stop:
        try:
            failed, picks = pick(config, folder)
        except BaseException as error:
            raise stop.reason(error) from error
    if failed:
        sys.exit(SOME_FAILED)
    return float(picks)


def pick(config: DictConfig, folder: Path) -> tuple[int, int]:
    """Pick what is left and write everything into ``folder``; return failures and picks."""
    from cryofix.experiment.progress import Display
    from cryofix.learning.checkpoint import load_picker
    from cryofix.picking.planning import find_all
    from cryofix.picking.session import Session, as_list
    from cryofix.picking.watching import watch
    from cryofix.reporting.console import quieten, say

    quieten()
    keys = to_plain(config)
    picker = load_picker(keys["checkpoint"])
    build = functools.partial(load_network, picker.path)
    if keys["watch"] and keys["stop_file"] is None:
        keys["stop_file"] = str(folder / STOP)
    session = Session.prepare(picker.metadata, picker.path, build, keys, folder)
    find = functools.partial(find_all, as_list(keys["micrographs"]), none_yet=keys["watch"])
    with Display() as display:
        if keys["watch"]:
            watch(session, find, display.phase, display.console, keys)
        else:
            session.add(find())
            finished = f", {session.before} of which are finished" if session.before else ""
            say(display.console, f"{len(session.jobs)} micrographs{finished}; output in {folder}")
            session.run(display.phase)
    summary = session.write(display.console)
    if keys["watch"] or session.stopped:
        by = f"stopped by {session.stop_file}; " if session.stopped else ""
        left = f"{len(session.left)} micrographs are left; " if session.left else ""
        say(display.console, f"{by}{left}{again(folder, 'pick')} goes on from there")
    return len(summary.failures), summary.picks


def load_network(path: Path) -> "nn.Module":
    """Load a network in another process.

    It is not sent there: a process that dies while it is sent more than a pipe holds would keep
    the sender waiting for ever.
    """
    from cryofix.learning.checkpoint import load_picker

    return load_picker(path).network


if __name__ == "__main__":
    main()
