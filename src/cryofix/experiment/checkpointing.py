"""The callback that keeps ``last.ckpt`` and stops when the system asks."""

import signal
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from cryofix.distributed import any_rank
from cryofix.stopping import StopRequests


class KeepCheckpoints(Checkpoint):
    """Write ``last.ckpt`` every ``every`` steps, at the end, and when SIGTERM or SIGINT arrives.

    When a signal arrives, the running step is finished first, on all processes if there are
    several, so that continuing gives what an undisturbed run gives. At a step with validation the
    file is written after it. Lightning calls callbacks of this kind last, so that the file holds
    what all others remember, and whether one of them has ended the stage before its last step.

    Parameters
    ----------
    folder
        Of the stage's checkpoints.
    every, validate_every
        Steps between two ``last.ckpt``, and between two validations.
    stop
        Where requests to stop arrive.
    """

    def __init__(self, folder: Path, every: int, validate_every: int, stop: StopRequests) -> None:
        self.folder = folder
        self.every = every
        self.validate_every = validate_every
        self.stop = stop
        self.ended = False

    def state_dict(self) -> dict[str, Any]:
        """Return whether another callback has ended the stage."""
        return {"ended": self.ended}

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
        if self._stopping():
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
        stopping = self._stopping()
        due = step % self.every == 0 or step == trainer.max_steps or stopping
        if due and step % self.validate_every:
            self._save(trainer, stopping)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``last.ckpt``; Lightning validates once more when a callback ends the stage."""
        self.ended = trainer.should_stop
        self._save(trainer, self._stopping())

    def _stopping(self) -> bool:
        """Return whether any process was asked to stop; all come to the same answer."""
        stopping = any_rank(self.stop.signal is not None)
        if stopping and self.stop.signal is None:
            self.stop.signal = signal.SIGTERM  # another process was asked
        return stopping

    def _save(self, trainer: Trainer, stopping: bool) -> None:
        # A signal may arrive at one process only by now: all save, and leave, or none does.
        trainer.save_checkpoint(self.folder / "last.ckpt")
        if stopping:
            raise self.stop.stopped(f" at step {trainer.global_step} of this stage")
