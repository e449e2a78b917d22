"""What a stage of training can be told, in plain values that YAML can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryofix.data.intensity import Intensity
from cryofix.errors import CryofixError
from cryofix.learning.losses import NORMALISERS, UNLABELLED
from cryofix.learning.schedule import RAMPS

TEACHERS = ("ema", "self", "frozen")


@dataclass(frozen=True)
class Steps:
    """How long, and how often something happens, in optimiser steps."""

    burn_in: int = 700
    """Supervised steps before the fork."""
    stage: int = 700
    """Steps of the supervised control, and of FixMatch, after it."""
    validate_every: int = 100
    checkpoint_every: int = 50
    log_every: int = 10
    audit_every: int = 10
    """Validation, ``last.ckpt``, TensorBoard scalars, keep-rate audit."""
    audit_first: int = 100
    """Every one of so many first steps with pseudo-labels is audited, because a student that swings
    does so there, in fewer steps than lie between two audits."""

    def audits(self, step: int) -> bool:
        """Return whether this step of a semi-supervised stage, counted from 1, is audited."""
        return step <= self.audit_first or step % self.audit_every == 0

    def audited_share(self) -> float:
        """Return the share of a whole stage's steps that are audited."""
        return sum(map(self.audits, range(1, self.stage + 1))) / self.stage

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if value < (0 if key in ("burn_in", "audit_first") else 1):
                raise CryofixError(f"steps.{key}={value} is too small; give a positive number")


@dataclass(frozen=True)
class Optimiser:
    """AdamW with warm-up and a half cosine over burn-in and stage."""

    learning_rate: float = 2e-3
    """At its peak."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    warm_up: int = 50
    """Steps of linear warm-up."""
    final: float = 0.05
    """Learning rate at the end relative to the peak."""


@dataclass(frozen=True)
class Teacher:
    """Who labels the unlabelled tiles."""

    kind: str = "ema"
    """``ema``: the running average of the student, which is also what is evaluated; ``self``: the
    student itself, in eval mode; ``frozen``: a copy of the average, taken anew at the start of each
    round."""
    decay: float = 0.99
    """Of the running average, in [0, 1)."""
    round_steps: int = 200
    """Steps of a round of the frozen teacher."""
    share: float = 1.0
    """Of the unlabelled micrographs, those that it is surest of, which a round learns from."""
    per_labelled: float | None = None
    """At most so many of them for each labelled one; None sets no limit."""

    def __post_init__(self) -> None:
        if self.kind not in TEACHERS:
            raise CryofixError(
                f"teacher.kind={self.kind} is not known; use one of {', '.join(TEACHERS)}"
            )
        if not 0 <= self.decay < 1:
            raise CryofixError(f"teacher.decay={self.decay} must be at least 0 and below 1")
        if self.round_steps < 1:
            raise CryofixError(f"teacher.round_steps={self.round_steps} must be at least 1")
        if not 0 < self.share <= 1:
            raise CryofixError(f"teacher.share={self.share} must be above 0 and at most 1")
        if self.per_labelled is not None and not self.per_labelled > 0:
            raise CryofixError(f"teacher.per_labelled={self.per_labelled} must be above 0, or null")


@dataclass(frozen=True)
class Unlabelled:
    """How the unlabelled loss enters."""

    weight: float = 1.0
    """Lambda: factor of the unlabelled loss."""
    loss: str = "bce"
    """``bce`` or ``mse``; see :func:`cryofix.learning.losses.unlabelled_loss`."""
    normaliser: str = "valid"
    """``valid``, ``kept`` or ``class``; see :func:`cryofix.learning.losses.unlabelled_loss`."""
    ramp: str = "linear"
    ramp_steps: int = 100
    """How the weight grows from the fork on."""
    batch_norm: str = "separate"
    """``separate``: running statistics follow labelled tiles only; ``shared``: the strong view
    moves them too."""

    def __post_init__(self) -> None:
        for key, known in (
            ("loss", UNLABELLED),
            ("normaliser", NORMALISERS),
            ("ramp", RAMPS),
            ("batch_norm", ("separate", "shared")),
        ):
            if getattr(self, key) not in known:
                raise CryofixError(
                    f"unlabelled.{key}={getattr(self, key)} is not known; use one of"
                    f" {', '.join(known)}"
                )
        if self.weight < 0:
            raise CryofixError(f"unlabelled.weight={self.weight} must not be negative")


@dataclass(frozen=True)
class CutMix:
    """Rectangles of another micrograph in the strong view."""

    probability: float = 0.0
    """That a tile gets one."""
    area_min: float = 0.1
    area_max: float = 0.5
    """Its smallest and largest area, as a share of the tile's."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise CryofixError(
                f"augment.cutmix.probability={self.probability} must lie between 0 and 1"
            )
        if not 0 <= self.area_min <= self.area_max <= 1:
            raise CryofixError(
                f"augment.cutmix.area_min={self.area_min} and"
                f" augment.cutmix.area_max={self.area_max} must be"
                " shares of a tile's area, the smaller one first"
            )


@dataclass(frozen=True)
class FeatureDropout:
    """Channels of the encoder's features that the student has to do without."""

    share: float = 0.0
    """Of the channels, in [0, 1); 0 keeps all."""
    view: str = "strong"
    """``strong``: they are silenced in the strong views; ``own``: in one more view, the weak one,
    which then has half of the unlabelled loss (UniMatch, Yang et al. 2023)."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise CryofixError(
                f"augment.feature_dropout.share={self.share} must be at least 0 and below 1"
            )
        if self.view not in ("strong", "own"):
            raise CryofixError(
                f"augment.feature_dropout.view={self.view} is not known; use strong or own"
            )


@dataclass(frozen=True)
class Views:
    """What is done to the grey values of the weak view, and to strong views."""

    weak: Intensity = field(default_factory=Intensity)
    strong: Intensity = field(default_factory=Intensity)
    """Intensities."""
    strong_views: int = 1
    """1, or 2 of independent draws, whose losses are averaged."""
    cutmix: CutMix = field(default_factory=CutMix)
    feature_dropout: FeatureDropout = field(default_factory=FeatureDropout)
    """Further changes of the strong views."""

    def __post_init__(self) -> None:
        if self.strong_views not in (1, 2):
            raise CryofixError(f"augment.strong_views={self.strong_views} must be 1 or 2")

    @staticmethod
    def of(augment: Mapping[str, Any]) -> "Views":
        """Build them from the ``augment`` group of the configuration."""
        return Views(
            Intensity(**augment["weak"]),
            Intensity(**augment["strong"]),
            augment["strong_views"],
            CutMix(**augment["cutmix"]),
            FeatureDropout(**augment["feature_dropout"]),
        )
