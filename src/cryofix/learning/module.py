"""The Lightning module of one stage: hooks around :func:`cryofix.learning.step.training_step`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.utilities.enums import GradClipAlgorithmType
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from cryofix.construct import call
from cryofix.data.datamodule import CryoDataModule
from cryofix.data.intensity import sample_seed
from cryofix.learning.auxiliary import Auxiliary
from cryofix.learning.checkpoint import about, load_checkpoint
from cryofix.learning.network import UNTRAINED, build_network
from cryofix.learning.regularisers import Regulariser
from cryofix.learning.schedule import scheduled_adamw
from cryofix.learning.settings import StageSettings
from cryofix.learning.step import StepResult, training_step
from cryofix.learning.teacher import EMA, FrozenTeacher, SelfTeacher, Teacher
from cryofix.learning.validation import Validation
from cryofix.masking import MaskingPolicy
from cryofix.metrics.curves import IntArray
from cryofix.metrics.rates import Rates

DROPOUT = 13  # stream of everything that draws from torch's global generator


class FixMatch(LightningModule):
    """The student, its EMA, and one stage's way of training them.

    Parameters
    ----------
    network
        The student: (batch, 1, height, width) images to logits of the same shape.
    policy, data
        Without a policy, labels alone teach; a model that is only used needs no data.
    metadata
        Plain containers written into every checkpoint, so that it can be used by itself.
    """

    switched: Tensor

    def __init__(
        self,
        network: nn.Module,
        policy: MaskingPolicy | None,
        data: CryoDataModule | None,
        settings: StageSettings,
        *,
        regulariser: Regulariser | None = None,
        auxiliary: Auxiliary | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = EMA(network, settings.teacher.decay)
        self.frozen: FrozenTeacher | None = None
        if policy is not None and data is not None and settings.teacher.kind == "frozen":
            unlabelled = data.stream("unlabelled").micrographs
            labelled = len(data.split.labelled)
            first = self.average.network
            self.frozen = FrozenTeacher(first, settings.teacher, unlabelled, labelled)
        self.policy = policy
        self.regulariser, self.auxiliary = regulariser, auxiliary
        self.fallback: MaskingPolicy | None = None  # what the guard may switch to
        self.register_buffer("switched", torch.tensor(False))  # for checkpoints
        self._switched = False  # the same, where no device has to be asked
        self.settings = settings
        self.steps, self.prior = settings.steps, settings.prior
        self.first_step = settings.first_step
        self.supervised_precision: float | None = None  # of the burn-in, in pixels, on validation
        self.metadata = dict(metadata or {})
        self.validation = Validation(data, settings.prior)
        self.validated: dict[str, float] = {}
        self.audited: Rates = {}  # the latest audit, for callbacks; see learning.audit
        self.log_odds: IntArray | None = None
        self._optimiser_state: dict[str, Any] | None = None

    @classmethod
    def load_from_checkpoint(  # type: ignore[override] # a file of ours says the rest
        cls,
        checkpoint_path: str | Path,
        map_location: Any = "cpu",
        *,
        weights_only: bool = True,
        policy: MaskingPolicy | None = None,
        data: CryoDataModule | None = None,
    ) -> "FixMatch":
        """Return the model that a checkpoint of cryofix holds; nothing in the file is executed.

        Without policy and data it is ready to predict: ``module(images)`` gives the logits of the
        EMA, ``module.network`` is the student. ``selected.ckpt`` holds the EMA alone, which then is
        both. The state of a policy is taken if one is given. ``weights_only`` is always true.

        Raises CryofixError when the file is damaged or of another program.
        """
        path = Path(checkpoint_path)
        checkpoint = load_checkpoint(path, map_location)
        metadata = checkpoint["cryofix"]
        config = metadata["config"]
        with about(path):
            network = call(build_network, {**config["model"], **UNTRAINED}, "model")
            if "network" in checkpoint:
                network.load_state_dict(checkpoint["network"])
            settings = StageSettings.of(config, metadata["prior"])
            module = cls(network, policy, data, settings, metadata=metadata)
            if "state_dict" in checkpoint:
                state = checkpoint["state_dict"]
                module.load_state_dict({key: state[key] for key in module.state_dict()})
        return module.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the EMA's logits."""
        logits: Tensor = self.average(images)
        return logits

    def active_policy(self) -> MaskingPolicy | None:
        """Return the policy in force: the configured one, or the guard's after a switch."""
        return self.fallback if self._switched else self.policy

    @property
    def teacher(self) -> Teacher:
        """The teacher in force; after a switch, no student teaches itself."""
        if self.frozen is not None:
            return self.frozen
        itself = self.settings.teacher.kind == "self" and not self._switched
        return SelfTeacher(self.network) if itself else self.average

    @torch.no_grad()
    def switch(self) -> None:
        """Let the guard's policy take over, from the EMA, which a collapse reaches last."""
        self.switched.fill_(True)
        self._switched = True
        self.network.load_state_dict(self.average.network.state_dict())
        for optimiser in self.trainer.optimizers:
            for state in optimiser.state.values():
                state["exp_avg"].zero_()  # it points to where the student was going

    def continue_from(self, checkpoint: Mapping[str, Any]) -> None:
        """Take student, EMA and optimiser from another stage's checkpoint."""
        for name in ("network", "average"):
            prefix = f"{name}."
            state = {
                key.removeprefix(prefix): value
                for key, value in checkpoint["state_dict"].items()
                if key.startswith(prefix)
            }
            getattr(self, name).load_state_dict(state)
        self._optimiser_state = checkpoint["optimizer_states"][0]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW and its schedule over burn-in and stage."""
        fused, state = self.trainer.precision != "16-mixed", self._optimiser_state
        optimiser, schedule = scheduled_adamw(self.network, self.settings, fused=fused, state=state)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip in mixed precision as in full.

        Lightning's clipping in mixed precision refuses every fused optimiser, because one would
        unscale gradients after that. Ours is not fused where gradients are scaled.
        """
        kind = GradClipAlgorithmType(gradient_clip_algorithm or GradClipAlgorithmType.NORM)
        Precision().clip_gradients(optimizer, gradient_clip_val or 0.0, kind)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step the student, then its EMA, once for each optimiser step."""
        super().optimizer_step(*args, **kwargs)
        self.average.update()

    def on_train_start(self) -> None:
        """Take up what only now is known: where tensors are, and what a checkpoint said."""
        self.average.follow(self.network)
        self._switched = bool(self.switched)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Let what draws from the global generator (dropout) depend on seed and step alone."""
        # Ranks have different tiles, so they drop out different features of them.
        rank = (self.trainer.global_rank,) if self.trainer.global_rank else ()
        seed = sample_seed(self.settings.seed, DROPOUT, self.first_step, batch_idx, *rank)
        if self.device.type == "cpu":
            # torch.manual_seed writes down the stack for devices that are not in use.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
        self.teacher.begin_step(self.average.network, self.global_step, self.device)

    def training_step(self, batch: dict[str, dict[str, Any]], batch_idx: int) -> Tensor:
        """Return the loss of one step and log what is due."""
        result = training_step(
            self.network,
            self.teacher,
            self.active_policy(),
            batch,
            self.settings,
            self.global_step,
            regulariser=self.regulariser,
            auxiliary=self.auxiliary,
            supervised_precision=self.supervised_precision,
        )
        if result.audit is not None:
            self.log_audit(result)
        if (self.global_step + 1) % self.steps.log_every == 0:
            scalars = {**result.scalars, "loss/total": result.loss.detach()}
            self.log_scalars(scalars, self.first_step + self.global_step + 1)
        return result.loss

    def log_audit(self, result: StepResult) -> None:
        """Keep an audit for the callbacks, and log it."""
        assert result.audit is not None
        self.audited, self.log_odds = result.audit.rates, result.audit.log_odds
        self.log_scalars(result.audit_scalars, self.first_step + self.global_step + 1)

    def log_scalars(self, scalars: Mapping[str, Tensor | float], step: int) -> None:
        """Log scalars at a step counted from the very first stage.

        Callbacks find them in ``trainer.callback_metrics``, where Lightning's own ``log`` would
        put them: it takes half a millisecond for each, and would give loggers the step of the
        stage and an epoch. Of a validation it takes the mean over all processes.
        """
        if self.trainer.validating or self.trainer.evaluating:
            self.log_dict(dict(scalars), logger=False, sync_dist=True)
        else:
            self.trainer.callback_metrics.update(
                {key: torch.as_tensor(value) for key, value in scalars.items()}
            )
        if self.trainer.is_global_zero:
            values = {key: float(value) for key, value in scalars.items()}
            for logger in self.trainer.loggers:
                logger.log_metrics(values, step)

    def validation_step(self, index: Tensor | int, batch_idx: int) -> None:
        """Measure one whole validation micrograph."""
        self.validation.measure(int(index), self.average.network, self.network, self.device)

    def on_validation_epoch_end(self) -> None:
        """Sum up the validation micrographs of all ranks."""
        self.validated = self.validation.sum_up()
        if self.policy is not None and self.teacher.kind == "ema":  # others are not validated
            for name in ("pixel_f1", "pixel_estimated_f1"):
                if name in self.validated:
                    self.validated[f"teacher_{name}"] = self.validated[name]
        scalars = {f"validation/{key}": value for key, value in self.validated.items()}
        self.log_scalars(scalars, self.first_step + self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to use the checkpoint by itself; plain containers only."""
        checkpoint["cryofix"] = self.metadata
