"""The callback that keeps ``last.ckpt`` and ``best.ckpt``, and stops when the system asks."""

import signal
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from cryofix.distributed import anywhere
from cryofix.learning.fixmatch import FixMatch
from cryofix.stopping import StopRequests

BEST_BY = "particle_f1"


class KeepCheckpoints(Callback):
    """Keep the last step and the best validation.

    ``last.ckpt`` is written every ``every`` steps, at the end, and when SIGTERM or SIGINT arrives:
    then the running step is finished first, on all processes if there are several, so that
    continuing gives what an undisturbed run gives. At a step with validation it is written after
    it. ``best.ckpt`` is the highest validation score so far; its score travels in ``last.ckpt``.

    Parameters
    ----------
    folder
        Of the stage's checkpoints.
    every
        Steps between two ``last.ckpt``.
    validate_every
        Steps between two validations.
    stop
        Where requests to stop arrive.
    """

    def __init__(self, folder: Path, every: int, validate_every: int, stop: StopRequests) -> None:
        self.folder = folder
        self.every = every
        self.validate_every = validate_every
        self.stop = stop
        self.best = -1.0
        self.best_step = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score so far."""
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the running step end when somebody asks to stop.

        After Lightning, whose handler would leave without a checkpoint when a validation is due,
        and talks to the other processes from within.
        """
        self.stop.listen()
        self.stop.after_step = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once from here on, also when it was asked for since the last step."""
        self.stop.after_step = False
        if self.stop.signal is not None:
            raise self.stop.stopped(f" at step {trainer.global_step} of this stage")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Let Lightning put everything away in peace."""
        self.stop.leaving = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write ``last.ckpt`` when it is due and no validation follows."""
        step = trainer.global_step
        if anywhere(self.stop.signal is not None) and self.stop.signal is None:
            self.stop.signal = signal.SIGTERM  # another process was asked
        due = step % self.every == 0 or step == trainer.max_steps or self.stop.signal is not None
        if due and step % self.validate_every:
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``best.ckpt`` when this validation is the best, and ``last.ckpt``."""
        assert isinstance(pl_module, FixMatch)
        score = pl_module.validated[BEST_BY]
        if score > self.best:
            self.best, self.best_step = score, trainer.global_step
            trainer.save_checkpoint(self.folder / "best.ckpt")
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.folder / "last.ckpt")
        if self.stop.signal is not None:
            raise self.stop.stopped(f" at step {trainer.global_step} of this stage")
