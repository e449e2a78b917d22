"""The guard: watch what the mask keeps, and say so, or act, when the class balance runs away."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.panel import Panel

from cryofix.errors import CryofixError
from cryofix.experiment.judgement import CollapseRecord, Judgement, measures
from cryofix.learning.module import FixMatch
from cryofix.learning.prior import Prior
from cryofix.masking import MaskingPolicy, Quota

ACTIONS = ("warn", "stop", "switch")
REMEMBERED = (
    *("latest", "smoothed", "audits", "streak", "learnt", "steady", "highest", "alarm"),
    *("best", "lost", "student"),
)


@dataclass(eq=False)
class CollapseGuard(Judgement, Callback):
    """Raise an alarm when the mask drives the student away from the prior."""

    action: str = "warn"
    """``warn``, ``stop`` the stage, or ``switch`` to the policy ``switch_to``. A stage that was
    stopped is scored as it is, against a control that has all its steps."""
    switch_to: MaskingPolicy | None = None
    """The policy that takes over. Its state starts fresh and the student as its running average,
    which also teaches from then on where the student taught itself."""
    recommend: str | None = None
    """Override that the panel advises; None is what the run has not got of what helped others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.action not in ACTIONS:
            raise CryofixError(f"guard.action={self.action} is not known; use {', '.join(ACTIONS)}")
        if self.action == "switch" and self.switch_to is None:
            raise CryofixError("guard.action=switch needs a policy in guard.switch_to")
        self.prior: Prior | None = None  # None takes what the policies aim at
        self.console = Console()
        self.listener: Callable[[dict[str, Any]], None] = lambda alarm: None

    @property
    def has_stopped(self) -> bool:
        """Whether it ended the stage."""
        return self.action == "stop" and self.record.first_step is not None

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered, in plain containers."""
        state = {name: getattr(self, name) for name in REMEMBERED}
        return copy.deepcopy(state) | {"record": asdict(self.record)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was remembered; early checkpoints of 0.1 lack some of it."""
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
        if pl_module.audited["predicted_positive"] is None:
            return  # no pixel counted: no tile of this batch is of a micrograph of the round
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
        if self.judge_student(pl_module.validated, trainer.global_step):
            self._raise_alarm(trainer, pl_module)

    def _raise_alarm(self, trainer: Trainer, module: FixMatch) -> None:
        """Say it everywhere, then do what is configured."""
        policy = getattr(self.switch_to, "name", "")
        switched = bool(module.switched)
        role = "start" if module.teacher.kind == "frozen" else "start and teacher"
        acts = {
            "warn": "the run goes on unchanged (guard.action=warn)",
            "stop": "FixMatch stops here and is scored as it is, against a control that has "
            "all its steps (guard.action=stop)",
            "switch": f"the policy {policy} takes over, with the running average as {role}"
            " (guard.action=switch)",
        }
        if switched:
            acts["switch"] = f"the run goes on with {policy}, which took over at an earlier alarm"
        text = (
            f"{self.cause()}\n{acts[self.action]}; to avoid it: {self.recommend or advice(module)}"
        )
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


def advice(module: FixMatch) -> str:
    """Return which overrides would help, of those that the run does not have."""
    settings = module.settings
    missing = {
        "teacher=ema": settings.teacher.kind != "ema",
        "mask=quota": not isinstance(module.policy, Quota),
        "unlabelled.weight=1": settings.unlabelled.weight > 1,
    }
    said = [override for override, needed in missing.items() if needed]
    return " ".join(said) or (
        f"steps.burn_in={2 * settings.steps.burn_in} or more labels, for a better teacher"
    )
