"""``python -m cryofix.pick``: from a trained model and micrographs to particles in files."""

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cryofix.config import entry_point, to_plain

if TYPE_CHECKING:
    from torch import nn

SOME_FAILED, INTERRUPTED = 2, 130


@entry_point("pick")
def main(config: DictConfig) -> float:
    """Pick, write, and return the number of picks; exit with code 2 if a file failed."""
    from cryofix.learning.checkpoint import load_picker
    from cryofix.monitoring.console import quieten
    from cryofix.monitoring.progress import Display
    from cryofix.picking.session import Session

    quieten()
    keys = to_plain(config)
    picker = load_picker(keys["checkpoint"])
    folder = Path(HydraConfig.get().runtime.output_dir).absolute()
    session = Session.prepare(picker.metadata, picker.path, keys, folder)
    state = {name: value.numpy() for name, value in picker.network.state_dict().items()}
    build = functools.partial(rebuild, picker.metadata["config"]["model"], state)
    with Display() as display:
        try:
            session.run(build, display.phase)
        except KeyboardInterrupt:
            print("stopped; the same command goes on with what is left", file=sys.stderr)
            sys.exit(INTERRUPTED)
    summary = session.write(display.console)
    if summary.failures:
        sys.exit(SOME_FAILED)
    return float(summary.picks)


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
