"""Burn-in and control, trained once for all runs of a sweep that need the same."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cryofix
from cryofix.files import locked, remove_leftovers
from cryofix.learning.ranks import is_first


def stage_folder(shared: Path, config: Mapping[str, Any]) -> Path:
    """Return where in ``shared`` the stages of a configuration are."""
    return shared / _stage_key(config)


@contextmanager
def stage_lock(shared: Path | None, config: Mapping[str, Any]) -> Iterator[None]:
    """Let one process at a time train the shared stages; a dead owner's lock is free."""
    if shared is None or not is_first():
        yield  # the others wait for the first at the stage's beginning
        return
    folder = stage_folder(shared, config)
    with locked(folder / "lock"):
        remove_leftovers(folder, "*")
        yield


def _stage_key(config: Mapping[str, Any]) -> str:
    """Name what burn-in and control depend on: all but the mask and what goes with it."""
    keys = ("model", "loss", "optimiser", "steps", "seed", "compute")
    parts = {key: config[key] for key in keys}
    parts["augment"] = {key: config["augment"][key] for key in ("geometry", "weak")}
    parts["average"] = config["teacher"]["decay"]
    parts["data"] = {
        key: value
        for key, value in config["data"].items()
        if key not in ("batch_unlabelled", "cutout", "strong_views")
    }
    # How the work is spread over devices is no other training.
    parts["trainer"] = {
        key: value
        for key, value in config["trainer"].items()
        if key not in ("accelerator", "devices", "num_nodes", "strategy", "sync_batchnorm")
    }
    parts["version"] = cryofix.__version__
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
