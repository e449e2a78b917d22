"""One training step from batch to loss: FixMatch (Sohn et al. 2020) for segmentation.

1. The student sees a weak view of labelled tiles; that gives the supervised loss.
2. The teacher sees a weak view of unlabelled tiles and gives p for each pixel.
3. The masking policy makes pseudo-labels of p: a target and a weight for each pixel.
4. The student has to reproduce them on strong views of the same tiles: the unlabelled loss.
5. A regulariser may hold the student's predictions to the prior.
6. An auxiliary task may teach it what unlabelled tiles look like.

Mean teacher, self-training and UniMatch are other settings of the same step.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from cryofix.data.intensity import change_intensity, sample_seed
from cryofix.learning.audit import Audit, audit
from cryofix.learning.auxiliary import Auxiliary
from cryofix.learning.losses import positive_unlabelled_risk, supervised_loss, unlabelled_loss
from cryofix.learning.network import fixed_running_statistics, without_features
from cryofix.learning.regularisers import LabelledPart, Regulariser
from cryofix.learning.schedule import ramp
from cryofix.learning.settings import StageSettings
from cryofix.learning.teacher import Teacher
from cryofix.learning.views import HIDDEN_PIXELS, LABELLED_VIEW, WEAK_VIEW, student_views
from cryofix.masking import LABELS_EVERY, MaskingPolicy, PolicyContext, PseudoLabels
from cryofix.metrics.rates import bounded_drift

Batch = Mapping[str, Any]


@dataclass(frozen=True)
class StepResult:
    """What one step gives."""

    loss: Tensor
    """0-d, with gradient."""
    scalars: dict[str, Tensor]
    """The parts of the loss by the name under which they are logged."""
    audit: Audit | None = None
    """What the pseudo-labels teach; None in steps that are not audited."""
    audit_scalars: dict[str, float] = field(default_factory=dict)
    """The numbers of the audit, and of the policy, by the name under which they are logged."""


def training_step(
    student: nn.Module,
    teacher: Teacher,
    policy: MaskingPolicy | None,
    batch: Mapping[str, Batch],
    settings: StageSettings,
    step: int,
    *,
    regulariser: Regulariser | None = None,
    auxiliary: Auxiliary | None = None,
    supervised_precision: float | None = None,
) -> StepResult:
    """Return the loss of one step, with what there is to log of it.

    Nothing changes but what the arguments hold: running statistics of the student, the state of the
    policy and of the regulariser.

    Parameters
    ----------
    student
        (batch, 1, height, width) images to logits of the same shape; in train mode.
    policy
        None trains on labels alone.
    batch
        ``labelled`` and, with a policy, ``unlabelled`` tiles; see :mod:`cryofix.data.tiles`.
    step
        Of the stage, counted from 0.
    supervised_precision
        Pixel precision of the burn-in model on validation, for policies that ask for it.
    """
    labelled = batch["labelled"]
    weak_labelled = _weak_view(labelled, settings, LABELLED_VIEW)
    logits = student(weak_labelled).float()
    part = LabelledPart(logits, labelled["target"], labelled["valid"])
    if settings.prior_of_labels is not None:
        anywhere = labelled["valid"] & labelled["uniform"][:, None, None, None]
        supervised = positive_unlabelled_risk(
            logits, labelled["known"], logits, anywhere, settings.prior_of_labels
        )
    else:
        supervised = supervised_loss(logits, part.target, part.valid, settings.loss_terms)
    scalars = {"loss/supervised": supervised.detach()}
    if policy is None:
        return StepResult(supervised, scalars)

    unlabelled = teacher.select(batch["unlabelled"])
    valid = unlabelled["valid"]
    weak = _weak_view(unlabelled, settings, WEAK_VIEW)
    context = PolicyContext(
        prior=settings.prior,
        progress=min(1.0, step / settings.steps.stage),
        seed=sample_seed(settings.seed, settings.first_step + step),
        supervised_precision=supervised_precision,
    )
    if policy.uses_labels and step % LABELS_EVERY == 0:
        context = replace(
            context,
            labelled_prob=_probability(teacher, weak_labelled),
            labelled_target=part.target,
            labelled_valid=part.valid & labelled["uniform"][:, None, None, None],
        )
    prob = _probability(teacher, weak)
    policy.update(prob, valid, context)
    pseudo = policy(prob, valid, context)

    how, found = settings.unlabelled, None
    losses = []
    for view in student_views(unlabelled, weak, prob, pseudo, settings.views, settings.seed):
        logits = _student_logits(student, view.image, settings, view.dropout)
        if pseudo.student_logit_shift is not None:
            logits = logits + pseudo.student_logit_shift
        target, weight, seen = view.pseudo.target, view.pseudo.weight, view.maps["visible"]
        loss = unlabelled_loss(
            logits, target, weight, view.maps["valid"] & seen, how.normaliser, how.loss
        )
        losses.append(view.share * loss)
        if len(losses) == 1 and settings.steps.audits(step + 1):
            found = audit(
                view.maps,
                view.prob,
                view.pseudo,
                logits.detach(),
                prior=settings.prior,
                normaliser=how.normaliser,
                loss=how.loss,
            )
    loss = torch.stack(losses).sum()
    grown = ramp(how.ramp, step, how.ramp_steps)
    factor = how.weight * grown
    scalars |= {"loss/unlabelled": loss.detach(), "unlabelled/lambda": torch.tensor(factor)}
    loss = factor * loss
    if regulariser is not None:
        term = regulariser(_student_logits(student, weak, settings), valid, part, settings.prior)
        scalars["loss/regulariser"] = term.detach()
        loss = loss + grown * regulariser.weight * term
        supervised = (1 - grown * (1 - regulariser.supervised_weight)) * supervised
    if auxiliary is not None:
        keys = [(settings.seed, HIDDEN_PIXELS, index) for index in unlabelled["index"]]
        with _running_statistics(student, settings):
            term = auxiliary(student, unlabelled["image"], valid, keys)
        scalars["loss/auxiliary"] = term.detach()
        loss = loss + auxiliary.weight * term
    to_log = {} if found is None else _audit_scalars(found, pseudo, settings.prior)
    return StepResult(supervised + loss, scalars, found, to_log)


def _weak_view(batch: Batch, settings: StageSettings, stream: int) -> Tensor:
    """Return the batch's images under weak changes of intensity."""
    weak = settings.views.weak
    return change_intensity(batch["image"], weak, settings.seed, stream, batch["index"])


@torch.no_grad()
def _probability(teacher: Teacher, images: Tensor) -> Tensor:
    """Return the teacher's p, float32."""
    return torch.sigmoid(teacher(images).float())


def _student_logits(
    student: nn.Module,
    images: Tensor,
    settings: StageSettings,
    dropout: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Return the student's logits on unlabelled tiles, without some features if wanted."""
    with _running_statistics(student, settings):
        if dropout is None:
            logits: Tensor = student(images)
        else:
            share = settings.views.feature_dropout.share
            logits = without_features(student, images, share, dropout)
    return logits.float()


def _running_statistics(
    student: nn.Module, settings: StageSettings
) -> AbstractContextManager[None]:
    """Let unlabelled tiles into the running statistics of batch norms, or leave these alone."""
    shared = settings.unlabelled.batch_norm == "shared"
    return nullcontext() if shared else fixed_running_statistics(student)


def _audit_scalars(found: Audit, pseudo: PseudoLabels, prior: float) -> dict[str, float]:
    """Return what to log of an audit; a rate that divides by nothing is left out."""
    rates = {**found.rates, "prior": prior}
    rates["drift"] = bounded_drift(rates["particle_keep"], rates["background_keep"])
    scalars = {f"mask/{key}": each for key, each in rates.items() if each is not None}
    return scalars | {f"policy/{key}": float(each) for key, each in pseudo.scalars.items()}
