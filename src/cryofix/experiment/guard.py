"""The guard: watch what the mask keeps, and say so, or act, when the class balance runs away.

Three numbers of the pseudo-labels are watched, each smoothed over audits by an exponential moving
average:

- the *drift*, log(particle keep / background keep): how far the mask pushes the student's
  log-odds in each teacher generation;
- the *kept share*, particle share among what is kept over the prior;
- the *predicted share*, predicted-positive pixels over the prior.

The prior is what the policies aim at or what the validation micrographs say, whichever is nearer.

One that has left its healthy range in ``patience`` audits in a row raises the alarm. A drift counts
only where it has taken the kept share half-way out of its range: quota, alignment and other masks
that relabel drift back towards the prior, which heals. Audits of neighbouring steps see almost the
same teacher on other tiles, so they are averaged longer (``early_smoothing``). The alarm ends when
all have been inside a range half as wide (in logarithms) for as long: that hysteresis keeps a
number at the edge from ringing. Nothing is judged in the first ``warm_up`` audits.

Shares cannot see a student that puts the right number of particles in wrong places. Labels of
validation micrographs can: a pixel F1 of the student there below half of the best that the average
had, at the fork or since, in ``lost_patience`` validations in a row raises the alarm by itself, and
keeps it. The average that is scored follows the student, so this is as early as validations are
frequent.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.panel import Panel

from cryofix.diagnosis.verdict import rate_text
from cryofix.errors import CryofixError
from cryofix.learning.module import FixMatch
from cryofix.learning.prior import Prior
from cryofix.masking import MaskingPolicy
from cryofix.metrics.rates import NOTHING, Rates, bounded_drift

ACTIONS = ("warn", "stop", "switch")
REMEMBERED = (
    *("latest", "smoothed", "audits", "streak", "alarm", "best_f1", "lost", "student_f1"),
)
LOST = 0.5  # of the best pixel F1 of the average, and the student has lost its particles


@dataclass
class CollapseRecord:
    """What ``results.json`` says of the collapse."""

    alarmed: bool = False
    """Whether the alarm was ever raised."""
    first_step: int | None = None
    """Step of FixMatch at which it first was."""
    min_drift: float | None = None
    """Lowest smoothed drift."""


@dataclass(eq=False)
class CollapseGuard(Callback):
    """Raise an alarm when the mask drives the student away from the prior."""

    drift: float = 0.7
    """The healthy drift lies between minus and plus this, or leads back to the prior."""
    share: float = 3.0
    """The healthy kept share and predicted share lie between 1/share and share times the prior."""
    smoothing: float = 0.7
    early_smoothing: float = 0.9
    """Weight of the past in the moving averages; the second where each step is audited."""
    warm_up: int = 3
    patience: int = 3
    """Numbers of audits."""
    lost_patience: int = 2
    """Number of validations in a row."""
    action: str = "warn"
    """``warn``, ``stop`` the stage, or ``switch`` to the policy ``switch_to``. A stage that was
    stopped is scored as it is, against a control that has all its steps."""
    switch_to: MaskingPolicy | None = None
    """The policy that takes over. Its state starts fresh and the student as its running average,
    which also teaches from then on where the student taught itself."""
    recommend: str = "teacher=ema mask=quota"
    """Override that the panel advises."""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise CryofixError(f"guard.action={self.action} is not known; use {', '.join(ACTIONS)}")
        if self.action == "switch" and self.switch_to is None:
            raise CryofixError("guard.action=switch needs a policy in guard.switch_to")
        for key, value, least in (("drift", self.drift, 0), ("share", self.share, 1)):
            if not value > least:
                raise CryofixError(f"guard.{key}={value} must be above {least}")
        share = math.log(self.share)
        self.limits = {"drift": self.drift, "kept share": share, "predicted share": share}
        self.prior: Prior | None = None  # None takes what the policies aim at
        self.console = Console()
        self.listener: Callable[[dict[str, Any]], None] = lambda alarm: None
        self.record = CollapseRecord()
        self.latest: Rates | None = None
        self.smoothed: dict[str, float] = {}
        self.audits = 0
        self.streak = 0  # audits in a row that argue against the present state
        self.alarm = False
        self.best_f1 = 0.0  # of the average on validation, in pixels; from the fork on
        self.lost = 0  # validations in a row in which the student is far below the best
        self.student_f1 = 0.0  # in the latest of them
        self._by_student = False  # who raised the latest alarm
        self._score = "pixel F1"

    @property
    def has_stopped(self) -> bool:
        """Whether it ended the stage."""
        return self.action == "stop" and self.record.first_step is not None

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered, in plain containers."""
        state = {name: getattr(self, name) for name in REMEMBERED}
        return copy.deepcopy(state) | {"record": asdict(self.record)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was remembered; early checkpoints of 0.1 lack what is about the student."""
        vars(self).update({name: state_dict[name] for name in REMEMBERED if name in state_dict})
        self.smoothed = dict(self.smoothed)
        self.record = CollapseRecord(**state_dict["record"])

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the module what may take over, before a checkpoint with its state is read."""
        assert isinstance(pl_module, FixMatch)
        if self.action == "switch":
            pl_module.fallback = self.switch_to

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take in the latest audit."""
        assert isinstance(pl_module, FixMatch)
        if not pl_module.audited or not pl_module.steps.audits(trainer.global_step):
            return
        self.latest = dict(pl_module.audited)
        aim = pl_module.prior
        changed = self.judge(
            measures(pl_module.audited, self.prior.span if self.prior else (aim, aim)),
            trainer.global_step,
            early=trainer.global_step <= pl_module.steps.audit_first,
        )
        pl_module.log_scalars(
            {"guard/alarm": float(self.alarm)}
            | {f"guard/{key.replace(' ', '_')}": value for key, value in self.smoothed.items()},
            pl_module.first_step + trainer.global_step,
        )
        if changed and self.alarm:
            self._raise_alarm(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take in the latest validation."""
        assert isinstance(pl_module, FixMatch)
        if self.prior is not None and self.prior.validation == 0:
            return  # without a particle there is nothing to lose
        validated = pl_module.validated
        partial = "pixel_f1" not in validated
        score = "pixel_estimated_f1" if partial else "pixel_f1"
        self._score = "estimated pixel F1" if partial else "pixel F1"
        pair = validated[score], validated[f"student_{score}"]
        if self.judge_student(*pair, trainer.global_step):
            self._raise_alarm(trainer, pl_module)

    def judge_student(self, average: float, student: float, step: int) -> bool:
        """Take in one validation and return whether it raised the alarm.

        Parameters
        ----------
        average, student
            Pixel F1 at 0.5 on validation micrographs, of the running average and of the student.
            With partial labels it is estimated.
        step
            Of FixMatch.
        """
        self.best_f1, self.student_f1 = max(self.best_f1, average), student
        self.lost = self.lost + 1 if student < LOST * self.best_f1 else 0
        if self.alarm or self.lost < self.lost_patience:
            return False
        self._begin(step, by_student=True)
        return True

    def _begin(self, step: int, by_student: bool) -> None:
        self.alarm, self.streak, self._by_student = True, 0, by_student
        if not self.record.alarmed:
            self.record.alarmed, self.record.first_step = True, step

    def judge(self, measured: dict[str, float], step: int, early: bool = False) -> bool:
        """Take in one audit and return whether the alarm was raised or ended by it.

        Parameters
        ----------
        measured
            The three logarithms of :func:`measures`.
        step
            Of FixMatch.
        early
            Whether each step is audited.
        """
        weight = self.early_smoothing if early else self.smoothing
        for key, value in measured.items():
            past = self.smoothed.get(key, value)
            self.smoothed[key] = weight * past + (1 - weight) * value
        self.audits += 1
        drift = self.smoothed["drift"]
        least = self.record.min_drift
        self.record.min_drift = drift if least is None else min(least, drift)
        if self.audits <= self.warm_up:
            return False
        width = 0.5 if self.alarm else 1.0
        outside = max(self._excess().values()) > width or (self.alarm and self.lost > 0)
        self.streak = self.streak + 1 if outside != self.alarm else 0
        if self.streak < self.patience:
            return False
        if self.alarm:
            self.alarm, self.streak = False, 0
        else:
            self._begin(step, by_student=False)
        return True

    def _excess(self) -> dict[str, float]:
        """Return how far each number is from health, relative to its limit."""
        now = {key: self.smoothed.get(key, 0.0) for key in self.limits}
        excess = {key: abs(now[key]) / limit for key, limit in self.limits.items()}
        away = now["drift"] * now["kept share"] > 0
        if not away or excess["kept share"] < 0.5:
            excess["drift"] = 0.0
        return excess

    def _raise_alarm(self, trainer: Trainer, module: FixMatch) -> None:
        """Say it everywhere, then do what is configured."""
        policy = getattr(self.switch_to, "name", "")
        switched = bool(module.switched)
        role = "start" if module.teacher.kind == "frozen" else "start and teacher"
        acts = {
            "warn": "the run goes on unchanged (guard.action=warn)",
            "stop": "FixMatch stops here and is scored as it is, against a control with all its"
            " steps (guard.action=stop)",
            "switch": f"the policy {policy} takes over, with the running average as {role}"
            " (guard.action=switch)",
        }
        if switched:
            acts["switch"] = f"the run goes on with {policy}, which has taken over before"
        text = f"{self.cause()}\n{acts[self.action]}; to avoid it: {self.recommend}"
        if trainer.is_global_zero:
            title = f"collapse alarm at step {trainer.global_step} of FixMatch"
            self.console.print(Panel(text, title=title, border_style="red", width=100))
            self.listener({"step": trainer.global_step, "text": text, "action": self.action})
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    step = module.first_step + trainer.global_step
                    logger.experiment.add_text("guard/alarm", text, step)
        if self.action == "stop":
            trainer.should_stop = True
        elif self.action == "switch" and not switched:
            module.switch()

    def cause(self) -> str:
        """Return what is wrong in words, with the latest numbers."""
        if self._by_student:
            return (
                f"The student's {self._score} on validation is {self.student_f1:.2f}, in"
                f" {self.lost} validations in a row below half of the average's best,"
                f" {self.best_f1:.2f}: it loses the particles, whatever the shares of its"
                " pseudo-labels."
            )
        latest, smoothed = self.latest or {}, self.smoothed
        excess = self._excess()
        worst = max(excess, key=lambda key: excess[key])
        if worst == "drift":
            side = "background" if smoothed["drift"] < 0 else "particles"
            return (
                f"The mask keeps {rate_text(latest.get('particle_keep') or 0.0)} of predicted"
                f" particles and {rate_text(latest.get('background_keep') or 0.0)} of background:"
                f" drift {smoothed['drift']:+.2f} per teacher generation, towards {side}."
            )
        factor = math.exp(smoothed[worst])
        what = "kept as particle" if worst == "kept share" else "predicted to be particle"
        return f"The share of pixels {what} is {factor:.2g} times the prior, and stays there."


def measures(audit: Rates, priors: tuple[float, float]) -> dict[str, float]:
    """Return what the guard watches, as logarithms; 0 is healthy.

    Parameters
    ----------
    audit
        Keep rates of a batch; a rate of a class that is not predicted is None.
    priors
        Share of particle pixels, lowest and highest of what is thought of it. A share between the
        two is healthy, one beyond is compared with the nearer: the labels of one micrograph
        misstate the prior by a factor of two, which is no collapse.
    """
    low, high = priors

    def beyond(share: float | None) -> float:
        share = max(share or 0.0, NOTHING * low)
        return math.log(share / min(max(share, low), high))

    return {
        "drift": bounded_drift(audit["particle_keep"], audit["background_keep"]) or 0.0,
        "kept share": beyond(audit["particle_share"]),
        "predicted share": beyond(audit["predicted_positive"]),
    }
