"""Checkpoints: written atomically, read without pickle, usable by themselves."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from torch import nn

from cryofix.checking import check_value
from cryofix.construct import call
from cryofix.data.scaling import KnownDiameter
from cryofix.distributed import on_first
from cryofix.errors import CryofixError, reason
from cryofix.files import atomic_write
from cryofix.learning.metadata import checked_metadata, checked_weights, learnt_masks
from cryofix.learning.network import UNTRAINED, build_network

SELECTED = "selected.ckpt"
OF_WRONG_CONTENT = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)
AS_TRAINED = ("radius_fraction", "highpass_diameters", "clip_sigma")
MASKS_AS_TRAINED = ("scale", "clip_sigma")
OF_A_STAGE = {"global_step": int, "optimizer_states": list, "callbacks": Mapping}


class AtomicCheckpointIO(CheckpointIO):
    """Write to a temporary file in the same folder and rename; load with ``weights_only``."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` so that a kill leaves either the old file or the new one."""
        _save(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint once for all processes; nothing in it is executed."""
        return on_first(lambda: load_checkpoint(Path(path), map_location or "cpu"))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def load_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint of cryofix and check what it says; nothing in it is executed.

    Raises CryofixError when it is missing, not a checkpoint, another program's, or holds what makes
    no sense.
    """
    if not path.is_file():
        raise CryofixError(f"checkpoint={path} does not exist; give a run folder or a .ckpt file")
    try:
        _refuse_compressed(path)
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise CryofixError(
            f"checkpoint={path} cannot be read as plain tensors: it is damaged or of another"
            " program; give a run folder of cryofix.train or a file in its checkpoints/"
        ) from error
    if not isinstance(checkpoint, Mapping) or "cryofix" not in checkpoint:
        raise CryofixError(
            f"checkpoint={path} was not written by cryofix; give a run folder of cryofix.train or"
            " a file in its checkpoints/"
        )
    with about(path):
        weights = "network" if "network" in checkpoint else "state_dict"
        checked = {
            "cryofix": checked_metadata(checkpoint["cryofix"]),
            weights: checked_weights(checkpoint.get(weights), weights),
        }
        if weights == "state_dict":
            for key, hint in OF_A_STAGE.items():
                check_value(checkpoint.get(key), hint, key)
    return {**checkpoint, **checked}


def _refuse_compressed(path: Path) -> None:
    """Raise if a few bytes of a file stand for many: torch writes them as they are."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("compressed")


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Name the checkpoint in errors about what it holds."""
    try:
        yield
    except (CryofixError, *OF_WRONG_CONTENT) as error:
        raise CryofixError(
            f"checkpoint={path} cannot be used: {reason(error)}; the file is damaged or of another"
            " version of cryofix: give another one, or train again"
        ) from error


@dataclass(frozen=True)
class Picker:
    """A trained network with all that is needed to use it."""

    network: nn.Module
    """In eval mode."""
    metadata: dict[str, Any]
    """What :func:`~cryofix.learning.metadata.checked_metadata` lets through: ``config`` (the
    resolved configuration it was trained with), ``prior``, ``particle_px``, ``diameter_px``,
    ``diameter_angstrom`` (or None) unless it has learnt masks, and, once validated, ``thresholds``
    (else None)."""
    path: Path
    """The file it came from."""

    def data_keywords(self) -> dict[str, Any]:
        """Return what a data module has to be told to show micrographs as ``cryofix.pick`` does.

        ``added_noise`` is not of it: it makes a data set harder, and belongs to that data set.
        """
        trained = self.metadata["config"]["data"]
        if learnt_masks(self.metadata):
            return {key: trained[key] for key in MASKS_AS_TRAINED}
        known = KnownDiameter(self.metadata["diameter_angstrom"], self.metadata["diameter_px"])
        return {
            "particle_px": self.metadata["particle_px"],
            "target_size": None,
            "of_model": known,
            **{key: trained[key] for key in AS_TRAINED},
        }


def load_picker(where: str | Path) -> Picker:
    """Load the selected model of a run folder, or the averaged network of any checkpoint."""
    path = Path(where).expanduser()
    if path.is_dir():
        inside = path / "checkpoints" / SELECTED
        if not inside.is_file():
            raise CryofixError(
                f"checkpoint={where} holds no checkpoints/{SELECTED}: the run is not finished;"
                " start it again with the same output, or give one of its .ckpt files"
            )
        path = inside
    checkpoint = load_checkpoint(path)
    metadata = checkpoint["cryofix"]
    model = {**metadata["config"]["model"], **UNTRAINED}
    with about(path):
        network = call(build_network, model, "model")
        network.load_state_dict(averaged_state(checkpoint))
    return Picker(network.eval(), metadata, path)


def averaged_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the averaged network's state from a stage's checkpoint or from a selected one."""
    if "network" in checkpoint:
        return dict(checkpoint["network"])
    prefix = "average.average.module."
    return {
        key.removeprefix(prefix): value
        for key, value in checkpoint["state_dict"].items()
        if key.startswith(prefix)
    }


def save_picker(path: Path, network: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write a network by itself with its metadata."""
    _save({"cryofix": dict(metadata), "network": network.state_dict()}, path)


def _save(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint through Python's own file, which says why when the disk is full."""
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        torch.save(content, stream)
