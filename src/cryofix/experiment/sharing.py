"""Burn-in and control, trained once for all runs of a sweep that need the same."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cryofix
from cryofix.data.labelling import Labelling
from cryofix.distributed import is_first, on_gpu
from cryofix.experiment.run_folder import with_effect
from cryofix.files import locked, remove_leftovers

OF_STAGES = (
    *("model.", "loss.", "optimiser.", "steps.", "seed", "compute.", "data.", "trainer."),
    *("augment.geometry.", "augment.weak.", "teacher.decay", "callbacks."),
)
"""What burn-in and control depend on: all but the mask and what goes with it."""
NOT_OF_STAGES = (
    *("data.batch_unlabelled", "data.cutout.", "data.strong_views"),
    *("steps.audit_every", "steps.audit_first"),
    # How the work is spread is no other training; what it means for the numbers is added.
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy"),
    "trainer.sync_batchnorm",
)


def stage_folder(shared: Path, config: Mapping[str, Any], processes: int = 1) -> Path:
    """Return where in ``shared`` the stages of a configuration are.

    Parameters
    ----------
    shared
        Folder of all stages.
    config
        In plain containers.
    processes
        That train together. Their batches are shares of one, so that their number makes no other
        training, unless each normalises its own share by itself.
    """
    parts = {
        key: value
        for key, value in with_effect(config).items()
        if key.startswith(OF_STAGES) and not key.startswith(NOT_OF_STAGES)
    }
    if Labelling.of(config["data"]).partial:  # then the supervised loss aims at the prior too
        parts["prior"] = config["prior"]
    alone = config["model"]["norm"] == "batch" and not config["trainer"].get("sync_batchnorm")
    parts["processes that normalise alone"] = processes if alone else 1
    parts["on a GPU"] = on_gpu(config["trainer"]["accelerator"])
    parts["version"] = cryofix.__version__
    text = json.dumps(parts, sort_keys=True)
    return shared / hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@contextmanager
def stage_lock(
    shared: Path | None, config: Mapping[str, Any], processes: int = 1
) -> Iterator[None]:
    """Let one process at a time train the shared stages; a dead owner's lock is free."""
    if shared is None or not is_first():
        yield  # the others wait for the first at the stage's beginning
        return
    folder = stage_folder(shared, config, processes)
    with locked(folder / "lock"):
        remove_leftovers(folder, "*")
        yield
