"""The data set that a trained model is scored or diagnosed on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from cryofix.config import build, refuse_idle
from cryofix.construct import call
from cryofix.errors import CryofixError

if TYPE_CHECKING:
    from cryofix.data.datamodule import CryoDataModule
    from cryofix.learning.checkpoint import Picker

ANY_SPLIT = {"ratio": 0.05, "seed": 0, "split_seed": 0, "label_draw": 0}
"""The split where nothing says which, as for picks."""

OF_SPLIT = tuple(ANY_SPLIT)
SIZES = ("diameter_px", "diameter_angstrom", "particle_radius")  # the model knows its particles


def load_with_data(
    config: DictConfig, progress: Callable[[str, int], Callable[[], None]]
) -> tuple["Picker", "CryoDataModule"]:
    """Return a model with the data set that ``data=`` chose, or without it the one it learnt from.

    Micrographs are shown as in training, and what ``config`` does not say of the split is that of
    training too. It has ``checkpoint``, ``data``, ``cache``, and the keys of OF_SPLIT.

    Raises CryofixError when a key was typed that has no effect, or the checkpoint's data make no
    sense.
    """
    from cryofix.learning.checkpoint import load_picker
    from cryofix.learning.metadata import learnt_masks

    if config.get("data") is None:
        refuse_idle(OF_SPLIT, "without data= the checkpoint's own split is used")
        return load_with_own_data(config.checkpoint, config.cache, progress)
    picker = load_picker(config.checkpoint)
    trained = picker.metadata["config"]
    shown = {**picker.data_keywords(), "progress": progress}
    data: CryoDataModule
    for key in OF_SPLIT:
        config[key] = trained.get(key, ANY_SPLIT[key]) if config[key] is None else config[key]
    if (config.data.get("masks") is not None) != learnt_masks(picker.metadata):
        others = ("particles", "masks") if learnt_masks(picker.metadata) else ("masks", "particles")
        raise CryofixError(
            f"data= has {others[0]}, and checkpoint={config.checkpoint} has learnt {others[1]}:"
            f" choose data with {others[1]}"
        )
    differing = [f"data.{key}" for key in shown if config.data.get(key) != shown[key]]
    refuse_idle(differing, "micrographs are shown to the model as in its training")
    data = build(config.data, **shown)
    return picker, data


def load_with_own_data(
    checkpoint: str, cache: str, progress: Callable[[str, int], Callable[[], None]]
) -> tuple["Picker", "CryoDataModule"]:
    """Return a model with the data set that it learnt from."""
    from cryofix.data.datamodule import CryoDataModule
    from cryofix.learning.checkpoint import about, load_picker

    picker = load_picker(checkpoint)
    keywords = {**picker.metadata["config"]["data"], **dict.fromkeys(SIZES), "cache": cache}
    keywords.pop("_target_", None)  # a checkpoint does not choose what is called
    with about(picker.path):
        shown = {**picker.data_keywords(), "progress": progress}
        return picker, call(CryoDataModule, keywords, "config.data", **shown)
