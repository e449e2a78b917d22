"""The guard: watch what the mask keeps, and say so when it starves the particles."""

from dataclasses import dataclass
from typing import Any

from lightning import Callback, LightningModule, Trainer

from cryofix.learning.fixmatch import FixMatch
from cryofix.scoring.keep_rates import Rates

STARVED_DRIFT = -10.0  # stands for minus infinity where no particle at all is kept


@dataclass
class CollapseRecord:
    """What ``results.json`` says of the collapse."""

    alarmed: bool = False
    first_step: int | None = None
    min_drift: float | None = None


class CollapseGuard(Callback):
    """Alarm when the drift stays below its limit.

    The audited drift is smoothed with an exponential moving average; the alarm is raised when the
    average has been below ``limit`` in ``patience`` audits in a row, after ``warm_up`` audits.

    Parameters
    ----------
    limit
        Lowest healthy drift, log(particle keep / background keep).
    smoothing
        Weight of the past in the moving average.
    warm_up, patience
        Numbers of audits.
    """

    def __init__(
        self, limit: float = -0.7, smoothing: float = 0.8, warm_up: int = 5, patience: int = 5
    ) -> None:
        self.limit, self.smoothing = limit, smoothing
        self.warm_up, self.patience = warm_up, patience
        self.record = CollapseRecord()
        self.latest: Rates | None = None
        self._average: float | None = None
        self._audits = 0
        self._below = 0

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered."""
        return {
            "record": vars(self.record).copy(),
            "latest": self.latest,
            "average": self._average,
            "audits": self._audits,
            "below": self._below,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was remembered."""
        self.record = CollapseRecord(**state_dict["record"])
        self.latest = state_dict["latest"]
        self._average, self._audits = state_dict["average"], state_dict["audits"]
        self._below = state_dict["below"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take in the latest audit."""
        assert isinstance(pl_module, FixMatch)
        if not pl_module.audited or trainer.global_step % pl_module.steps.audit_every:
            return
        self.latest = dict(pl_module.audited)
        drift = pl_module.audited["drift"]
        if drift is None:  # nothing predicted, or nothing kept, of a class
            drift = STARVED_DRIFT if not pl_module.audited["particle_keep"] else 0.0
        past = drift if self._average is None else self._average
        self._average = self.smoothing * past + (1 - self.smoothing) * drift
        self._audits += 1
        self.record.min_drift = min(self._average, self.record.min_drift or 0.0)
        self._below = self._below + 1 if self._average < self.limit else 0
        if self._audits > self.warm_up and self._below >= self.patience and not self.record.alarmed:
            self.record.alarmed = True
            self.record.first_step = trainer.global_step
