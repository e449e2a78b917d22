"""Lightning's trainer for one stage: its settings, and the callbacks and loggers of the user."""

import re
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning import Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from cryofix.checking import shown
from cryofix.construct import TARGET, construct
from cryofix.errors import CryofixError, reason

OWN = (
    *("max_steps", "max_epochs", "min_steps", "min_epochs", "max_time", "val_check_interval"),
    *("check_val_every_n_epoch", "num_sanity_val_steps", "logger", "callbacks", "plugins"),
    *("enable_checkpointing", "enable_model_summary", "enable_progress_bar"),
    *("use_distributed_sampler", "default_root_dir", "accumulate_grad_batches"),
    *("limit_train_batches", "limit_val_batches", "overfit_batches", "fast_dev_run"),
)
"""Settings of Lightning's trainer that follow from other keys."""

OF_LIGHTNING = ("lightning.pytorch.callbacks.", "lightning.pytorch.loggers.")
"""What a configuration may name besides classes of cryofix and what its command line names."""


def check_trainer(settings: Mapping[str, Any], *, alone: bool) -> None:
    """Refuse settings that follow from other keys, and with which Lightning cannot train.

    The latter are found where this process is alone: Lightning sets up others in order to say.
    Raises CryofixError naming the key, or all keys where Lightning does not say which.
    """
    for key in OWN:
        if key in settings:
            raise CryofixError(
                f"trainer.{key} follows from other keys: leave it out, and give steps.burn_in,"
                " steps.stage, steps.validate_every, data.batch_labelled, callbacks, logger, or"
                " output"
            )
    if not alone:
        return
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
        why = " ".join(str(error).split())[:300]
        raise CryofixError(f"{given}: Lightning cannot train so ({why}); change them") from error


def make_parts(
    config: Mapping[str, Any], group: str, kind: type, named: Collection[str], **places: str
) -> list[Any]:
    """Make the callbacks or the loggers of one stage.

    Raises CryofixError if one cannot be made, or is not of this kind.

    Parameters
    ----------
    config
        The group in plain containers: a ``_target_`` with its keywords for each name.
    group
        ``callbacks`` or ``logger``, for messages.
    kind
        Class of the parts.
    named
        Full names of the classes that the user has typed.
    places
        What stands in the texts for ``{run_folder}`` and ``{stage}``.
    """
    parts = []
    for name, written in config.items():
        node, key = _filled(written, places), f"{group}.{name}"
        target = str(node.get(TARGET)) if isinstance(node, Mapping) else ""
        known = {*named, target} if target.startswith(OF_LIGHTNING) else named
        try:
            part = construct(node, key, named=known)
        except (MisconfigurationException, ModuleNotFoundError, TypeError, ValueError) as error:
            raise _refused(key, node, "be made", error) from error
        if not isinstance(part, kind):
            raise CryofixError(
                f"{key} is no {kind.__name__} of Lightning: give it a {TARGET} that makes one"
            )
        parts.append(part)
    return parts


def _filled(node: Any, places: Mapping[str, str]) -> Any:
    """Put folder and stage into the texts of a node."""
    if isinstance(node, Mapping):
        return {key: _filled(value, places) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, places) for value in node]
    if isinstance(node, str):
        for place, value in places.items():
            node = node.replace(f"{{{place}}}", value)
    return node


def begin_logging(trainer: Trainer, config: Mapping[str, Any]) -> None:
    """Begin all logs, and give them the configuration; TensorBoard gets it with the scores.

    Raises CryofixError if one cannot begin: many loggers look at their keys only now.
    """
    for (name, node), logger in zip(config["logger"].items(), trainer.loggers, strict=True):
        try:
            getattr(logger, "experiment", None)
            if not isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(dict(config))
        except Exception as error:  # each service has its own
            raise _refused(f"logger.{name}", node, "begin", error) from error


@contextmanager
def fitting() -> Iterator[None]:
    """Explain what a callback or logger refuses while a stage is trained.

    Raises CryofixError for it; other errors pass.
    """
    try:
        yield
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
        if not innermost.f_globals["__name__"].startswith(OF_LIGHTNING):
            raise
        raise CryofixError(
            f"a callback or logger cannot go on ({reason(error)}): change the keys of callbacks"
            " or logger"
        ) from error


def _refused(key: str, node: Mapping[str, Any], what: str, error: Exception) -> CryofixError:
    """Say which keys the error is about, as far as it names them, and what to do."""
    words = set(re.findall(r"\w+", str(error)))
    given = {name: value for name, value in node.items() if name != TARGET}
    named = [f"{key}.{name}={shown(value)}" for name, value in given.items() if name in words]
    return CryofixError(
        f"{', '.join(named) or f'{key}={shown(given, 300)}'}: {node[TARGET]} cannot {what}"
        f" ({reason(error)}): change its keys, or install what it needs, for example with `pip"
        " install '.[wandb]'`"
    )


def end_logging(trainer: Trainer) -> None:
    """End what a stage has begun at Weights & Biases: the next stage would write into it."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger) and trainer.is_global_zero:
            logger.experiment.finish()
