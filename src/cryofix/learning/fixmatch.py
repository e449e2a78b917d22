"""One stage of training: supervised, or semi-supervised with a masking policy.

FixMatch (Sohn et al. 2020) for segmentation: the teacher labels a weakly changed tile, the policy
says which of its pixels to believe, and the student has to reproduce them on a strongly changed
copy of the same tile. Mean teacher, self-training and UniMatch are other settings of the same loop.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.utilities.enums import GradClipAlgorithmType
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.intensity import change_intensity, sample_seed
from cryofix.learning.audit import audit
from cryofix.learning.losses import supervised_loss, unlabelled_loss
from cryofix.learning.network import fixed_running_statistics, without_features
from cryofix.learning.optimiser import scheduled_adamw
from cryofix.learning.regularisers import LabelledPart, Regulariser
from cryofix.learning.rounds import FrozenTeacher
from cryofix.learning.schedule import ramp
from cryofix.learning.settings import Optimiser, Steps, Teacher, Unlabelled, Views
from cryofix.learning.teacher import RunningAverage
from cryofix.learning.validation import Validation
from cryofix.learning.views import LABELLED_VIEW, WEAK_VIEW, Lesson, lessons
from cryofix.masking import LABELS_EVERY, MaskingPolicy, PolicyContext
from cryofix.metrics.curves import IntArray
from cryofix.metrics.rates import Rates, bounded_drift

DROPOUT = 13  # stream of everything that draws from torch's global generator


class FixMatch(LightningModule):
    """The student, its running average, and one stage's way of training them.

    Parameters
    ----------
    network
        The student: (batch, 1, height, width) images to logits of the same shape.
    policy
        None trains on labels alone.
    data
        Gives validation micrographs.
    steps, optimiser, teacher, unlabelled, views
        The stage's settings.
    loss_terms
        See :func:`cryofix.learning.losses.supervised_loss`.
    prior
        Share of particle pixels, for policy and regulariser.
    seed
        Of every random draw.
    first_step
        Steps already trained before this stage.
    regulariser
        Holds the student to the prior beside the pseudo-labels; None does not.
    supervised_precision
        Pixel precision of the burn-in model on validation, for policies that ask for it.
    metadata
        Plain containers written into every checkpoint, so that it can be used by itself.
    """

    def __init__(
        self,
        network: nn.Module,
        policy: MaskingPolicy | None,
        data: CryoDataModule,
        *,
        steps: Steps,
        optimiser: Optimiser,
        teacher: Teacher,
        unlabelled: Unlabelled,
        views: Views,
        loss_terms: Mapping[str, float],
        prior: float,
        seed: int,
        first_step: int = 0,
        regulariser: Regulariser | None = None,
        supervised_precision: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = RunningAverage(network, teacher.decay)
        self.frozen: FrozenTeacher | None = None
        if policy is not None and teacher.kind == "frozen":
            unlabelled_micrographs = data.stream("unlabelled").micrographs
            labelled = len(data.part("labelled"))
            self.frozen = FrozenTeacher(
                self.average.network, teacher, unlabelled_micrographs, labelled
            )
        self.policy = policy
        self.regulariser = regulariser
        self.fallback: MaskingPolicy | None = None
        self.register_buffer("switched", torch.tensor(False))  # for checkpoints
        self._switched = False  # the same, where no device has to be asked
        self.data = data
        self.steps, self.optimiser, self.teacher = steps, optimiser, teacher
        self.unlabelled, self.views = unlabelled, views
        self.loss_terms = dict(loss_terms)
        self.prior, self.seed, self.first_step = prior, seed, first_step
        self.supervised_precision = supervised_precision
        self.metadata = dict(metadata or {})
        self.validation = Validation(data)
        self.validated: dict[str, float] = {}
        self.audited: Rates = {}  # the latest audit, for callbacks; see learning.audit
        self.log_odds: IntArray | None = None
        self._optimiser_state: dict[str, Any] | None = None

    switched: Tensor

    def active_policy(self) -> MaskingPolicy | None:
        """Return the policy in force: the configured one, or the guard's after a switch."""
        return self.fallback if self._switched else self.policy

    def active_teacher(self) -> str:
        """Return the kind of teacher in force: after a switch, no student teaches itself."""
        return "ema" if self.teacher.kind == "self" and self._switched else self.teacher.kind

    @torch.no_grad()
    def switch(self) -> None:
        """Let the guard's policy take over, from the average, which a collapse reaches last."""
        self.switched.fill_(True)
        self._switched = True
        self.network.load_state_dict(self.average.network.state_dict())
        for optimiser in self.trainer.optimizers:
            for state in optimiser.state.values():
                state["exp_avg"].zero_()  # it points to where the student was going

    def continue_from(self, checkpoint: Mapping[str, Any]) -> None:
        """Take student, average and optimiser from another stage's checkpoint."""
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
        optimiser, schedule = scheduled_adamw(
            self.network,
            self.optimiser,
            first_step=self.first_step,
            total=self.steps.burn_in + self.steps.stage,
            fused=self.trainer.precision != "16-mixed",
            state=self._optimiser_state,
        )
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
        """Step the student, then its average, once for each optimiser step."""
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
        seed = sample_seed(self.seed, DROPOUT, self.first_step, batch_idx, *rank)
        if self.device.type == "cpu":
            # torch.manual_seed writes down the stack for devices that are not in use.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
        if self.frozen is not None:
            self.frozen.follow(self.average.network, self.global_step, self.device)

    def training_step(self, batch: dict[str, dict[str, Any]], batch_idx: int) -> Tensor:
        """Return the loss of one step."""
        labelled = batch["labelled"]
        shown = self._weak(labelled, LABELLED_VIEW)
        logits = self.network(shown).float()
        loss = supervised_loss(logits, labelled["target"], labelled["valid"], self.loss_terms)
        scalars = {"loss/supervised": loss.detach()}
        policy = self.active_policy()
        if policy is not None:
            part = LabelledPart(logits, labelled["target"], labelled["valid"])
            context = self._context(policy, labelled, shown)
            loss, more = self._unlabelled_step(policy, context, batch["unlabelled"], part, loss)
            scalars.update(more)
        if (self.global_step + 1) % self.steps.log_every == 0:
            scalars["loss/total"] = loss.detach()
            self.log_scalars(scalars, self.first_step + self.global_step + 1)
        return loss

    def _unlabelled_step(
        self,
        policy: MaskingPolicy,
        context: PolicyContext,
        batch: Mapping[str, Any],
        labelled: LabelledPart,
        supervised: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the supervised loss with all that unlabelled tiles add, and what to log of it."""
        if self.frozen is not None:
            batch = self.frozen.restricted(batch)
        weak = self._weak(batch, WEAK_VIEW)
        prob = torch.sigmoid(self._teach(weak).float())
        policy.update(prob, batch["valid"], context)
        pseudo = policy(prob, batch["valid"], context)
        parts = []
        for lesson in lessons(batch, weak, prob, pseudo, self.views, self.seed):
            logits = self._student(lesson.image, lesson.dropout)
            if pseudo.student_logit_shift is not None:
                logits = logits + pseudo.student_logit_shift
            parts.append(lesson.share * self._distance(lesson, logits))
            if len(parts) == 1 and self.steps.audits(self.global_step + 1):
                self._audit(lesson, logits.detach())
        loss = torch.stack(parts).sum()
        grown = ramp(self.unlabelled.ramp, self.global_step, self.unlabelled.ramp_steps)
        factor = self.unlabelled.weight * grown
        scalars = {"loss/unlabelled": loss.detach(), "unlabelled/lambda": torch.tensor(factor)}
        loss = factor * loss
        if self.regulariser is not None:
            term = self.regulariser(self._student(weak), batch["valid"], labelled, self.prior)
            scalars["loss/regulariser"] = term.detach()
            loss = loss + grown * self.regulariser.weight * term
            supervised = (1 - grown * (1 - self.regulariser.supervised_weight)) * supervised
        return supervised + loss, scalars

    def _context(
        self, policy: MaskingPolicy, labelled: Mapping[str, Any], shown: Tensor
    ) -> PolicyContext:
        """Return what the policy may know; ``shown`` is the weak view of the labelled tiles."""
        context = PolicyContext(
            prior=self.prior,
            progress=min(1.0, self.global_step / self.steps.stage),
            seed=sample_seed(self.seed, self.first_step + self.global_step),
            supervised_precision=self.supervised_precision,
        )
        if not policy.uses_labels or self.global_step % LABELS_EVERY:
            return context
        return replace(
            context,
            labelled_prob=torch.sigmoid(self._teach(shown).float()),
            labelled_target=labelled["target"],
            labelled_valid=labelled["valid"] & labelled["uniform"][:, None, None, None],
        )

    def _student(self, images: Tensor, dropout: Sequence[Sequence[int]] | None = None) -> Tensor:
        """Return the student's logits on unlabelled tiles."""
        shared = self.unlabelled.batch_norm == "shared"
        with nullcontext() if shared else fixed_running_statistics(self.network):
            if dropout is None:
                logits: Tensor = self.network(images)
            else:
                share = self.views.feature_dropout.share
                logits = without_features(self.network, images, share, dropout)
        return logits.float()

    def _distance(self, lesson: Lesson, logits: Tensor) -> Tensor:
        """Return the loss of one lesson."""
        return unlabelled_loss(
            logits,
            lesson.pseudo.target,
            lesson.pseudo.weight,
            lesson.maps["valid"] & lesson.maps["whole"],
            self.unlabelled.normaliser,
            self.unlabelled.loss,
        )

    @torch.no_grad()
    def _teach(self, weak: Tensor) -> Tensor:
        """Return the teacher's logits."""
        if self.active_teacher() == "ema":
            logits: Tensor = self.average(weak)
            return logits
        if self.frozen is not None:
            logits = self.frozen(weak)
            return logits
        self.network.eval()
        logits = self.network(weak)
        self.network.train()
        return logits

    def _audit(self, lesson: Lesson, logits: Tensor) -> None:
        """Measure what this step's pseudo-labels teach, keep it for the callbacks, and log it."""
        found = audit(
            lesson.maps,
            lesson.prob,
            lesson.pseudo,
            logits,
            prior=self.prior,
            normaliser=self.unlabelled.normaliser,
            loss=self.unlabelled.loss,
        )
        self.audited, self.log_odds = found.rates, found.log_odds
        measured = {**found.rates, "prior": self.prior}
        measured["drift"] = bounded_drift(measured["particle_keep"], measured["background_keep"])
        scalars = {f"mask/{key}": each for key, each in measured.items() if each is not None}
        policy = {f"policy/{key}": float(each) for key, each in lesson.pseudo.scalars.items()}
        self.log_scalars(scalars | policy, self.first_step + self.global_step + 1)

    def _weak(self, batch: Mapping[str, Any], stream: int) -> Tensor:
        """Return the batch's images under weak changes of intensity."""
        weak = self.views.weak
        return change_intensity(batch["image"], weak, self.seed, stream, batch["index"])

    def log_scalars(self, scalars: Mapping[str, Tensor | float], step: int) -> None:
        """Write scalars at a step counted from the very first stage."""
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
        if self.policy is not None and self.active_teacher() == "ema":  # others are not validated
            self.validated["teacher_pixel_f1"] = self.validated["pixel_f1"]
        scalars = {f"validation/{key}": value for key, value in self.validated.items()}
        self.log_scalars(scalars, self.first_step + self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to use the checkpoint by itself; plain containers only."""
        checkpoint["cryofix"] = self.metadata
