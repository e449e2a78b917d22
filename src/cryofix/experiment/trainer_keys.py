"""Whether the ``trainer`` group of a configuration works on this machine, asked before any work."""

from collections.abc import Mapping
from typing import Any

from lightning import Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CUDAAccelerator

from cryofix.errors import CryofixError

OWN = (
    *("max_steps", "max_epochs", "min_steps", "min_epochs", "max_time", "val_check_interval"),
    *("check_val_every_n_epoch", "num_sanity_val_steps", "logger", "callbacks", "plugins"),
    *("enable_checkpointing", "enable_model_summary", "enable_progress_bar"),
    *("use_distributed_sampler", "default_root_dir"),
)
"""Settings of Lightning's trainer that follow from other keys."""


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Refuse settings with which Lightning cannot train in this one process.

    Raises CryofixError naming the key, or all keys where Lightning does not say which.
    """
    for key in OWN:
        if key in settings:
            raise CryofixError(
                f"trainer.{key} follows from other keys: leave it out, and give steps.burn_in,"
                " steps.stage and steps.validate_every, or output"
            )
    accelerator = settings.get("accelerator")
    if accelerator in ("gpu", "cuda") and not CUDAAccelerator.is_available():
        raise CryofixError(
            f"trainer.accelerator={accelerator}, but torch sees no GPU on this machine: give"
            " trainer.accelerator=auto, which takes a GPU where there is one"
        )
    try:
        Trainer(
            **settings,
            plugins=[LightningEnvironment()],  # as in training; else Lightning warns of SLURM
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        given = ", ".join(f"trainer.{key}={value}" for key, value in settings.items())
        reason = " ".join(str(error).split())[:300]
        raise CryofixError(f"{given}: Lightning cannot train so ({reason}); change them") from error
