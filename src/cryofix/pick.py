"""``python -m cryofix.pick``: from a trained model and micrographs to particles in files."""

import functools
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cryofix.config import entry_point, to_plain
from cryofix.errors import Stopped

if TYPE_CHECKING:
    from torch import nn

SOME_FAILED = 2


@entry_point("pick")
def main(config: DictConfig) -> float:
    """Pick, write, and return the number of picks; exit with code 2 if a file failed."""
    folder = Path(HydraConfig.get().runtime.output_dir).absolute()
    with stopping(folder):
        failed, picks = pick(config, folder)
    if failed:
        sys.exit(SOME_FAILED)
    return float(picks)


def pick(config: DictConfig, folder: Path) -> tuple[int, int]:
    """Pick what is left and write everything into ``folder``; return failures and picks."""
    from cryofix.learning.checkpoint import load_picker
    from cryofix.monitoring.console import quieten
    from cryofix.monitoring.progress import Display
    from cryofix.picking.session import Session

    quieten()
    keys = to_plain(config)
    picker = load_picker(keys["checkpoint"])
    session = Session.prepare(picker.metadata, picker.path, keys, folder)
    state = {name: value.numpy() for name, value in picker.network.state_dict().items()}
    build = functools.partial(rebuild, picker.metadata["config"]["model"], state)
    with Display() as display:
        session.run(build, display.phase)
    summary = session.write(display.console)
    return len(summary.failures), summary.picks


@contextmanager
def stopping(folder: Path) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block with one sentence.

    Asked a second time the process ends at once, without waiting for the micrographs in hand.

    Raises
    ------
    Stopped
        When the process was asked, with the folder and the command that goes on.
    """
    command = shlex.join(["python", "-m", "cryofix.pick", *sys.argv[1:]])
    sentence = (
        f"stopped; what was picked is kept in {folder}, and this goes on with the rest: {command}"
    )
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            os.write(2, os.fsencode(f"cryofix.pick: {sentence}\n"))
            os._exit(128 + number)
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(sentence, asked[0] if asked else signal.SIGINT) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def rebuild(model: Mapping[str, Any], state: Mapping[str, Any]) -> "nn.Module":
    """Build a network in another process, which need not read the checkpoint again.

    Parameters
    ----------
    model
        Keywords of :func:`~cryofix.learning.network.build_network`.
    state
        Its weights as arrays.
    """
    import torch

    from cryofix.learning.network import build_network

    network = build_network(**{**model, "encoder_weights": None})
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return network.eval()


if __name__ == "__main__":
    main()
