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
    from cryofix.picking.session import Session
    from cryofix.reporting.console import quieten, say

    quieten()
    keys = to_plain(config)
    picker = load_picker(keys["checkpoint"])
    build = functools.partial(load_network, picker.path)
    session = Session.prepare(picker.metadata, picker.path, build, keys, folder)
    finished = f", {session.before} of which are finished" if session.before else ""
    with Display() as display:
        say(display.console, f"{len(session.jobs)} micrographs{finished}; output in {folder}")
        session.run(display.phase)
    summary = session.write(display.console)
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
