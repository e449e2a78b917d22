"""Settings of a training stage. Their defaults are those of ``conf/``; a test compares them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryofix.data.intensity import Intensity
from cryofix.data.labelling import Labelling
from cryofix.errors import CryofixError, check_known, check_ranges
from cryofix.learning.losses import NORMALISERS, UNLABELLED

RAMPS = ("constant", "linear", "sigmoid")
TEACHERS = ("ema", "self", "frozen")


def _require(condition: bool, key: str, value: object, range_: str) -> None:
    if not condition:
        raise CryofixError(f"{key}={value} must be {range_}")


@dataclass(frozen=True)
class Steps:
    """How long a stage is and how often something happens, in optimiser steps."""

    burn_in: int = 700
    """Supervised steps before the fork."""
    stage: int = 700
    """Steps of the supervised control, and of FixMatch, after it."""
    validate_every: int = 100
    checkpoint_every: int = 50
    log_every: int = 10
    audit_every: int = 10
    """Steps between two validations, two ``last.ckpt``, two points of a loss curve, two audits."""
    audit_first: int = 100
    """Each of so many first steps with pseudo-labels is audited: a student that swings does so
    there, in fewer steps than lie between two later audits."""

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if value < (0 if key in ("burn_in", "audit_first") else 1):
                raise CryofixError(f"steps.{key}={value} is too small; give a positive number")

    def audits(self, step: int) -> bool:
        """Return whether this step of a semi-supervised stage, counted from 1, is audited."""
        return step <= self.audit_first or step % self.audit_every == 0

    def audited_share(self) -> float:
        """Return the share of a whole stage's steps that are audited."""
        return sum(map(self.audits, range(1, self.stage + 1))) / self.stage


@dataclass(frozen=True)
class Optimiser:
    """AdamW with linear warm-up and a half cosine over burn-in and stage."""

    learning_rate: float = 2e-3
    """At its peak."""
    weight_decay: float = 1e-4
    warm_up: int = 50
    """Steps of the warm-up."""
    final: float = 0.05
    """Learning rate at the end relative to the peak."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            "optimiser.",
            learning_rate=(0, 100),
            weight_decay=(0, 100),
            warm_up=(0, 1e9),
            final=(0, 1),
        )


@dataclass(frozen=True)
class TeacherSettings:
    """Who makes pseudo-labels; see :mod:`cryofix.learning.teacher`."""

    kind: str = "ema"
    """``ema``, ``self`` or ``frozen``."""
    decay: float = 0.99
    """Decay of the exponential moving average (EMA), in [0, 1)."""
    round_steps: int = 200
    """Steps of a round of the frozen teacher."""
    share: float = 0.5
    """A round of the frozen teacher learns from this share of the unlabelled micrographs, those of
    which the teacher is surest."""
    per_labelled: float | None = None
    """It learns from at most so many of them for each labelled one; None sets no limit."""

    def __post_init__(self) -> None:
        check_known("teacher.kind", self.kind, TEACHERS)
        _require(0 <= self.decay < 1, "teacher.decay", self.decay, "at least 0 and below 1")
        _require(self.round_steps >= 1, "teacher.round_steps", self.round_steps, "at least 1")
        _require(0 < self.share <= 1, "teacher.share", self.share, "above 0 and at most 1")
        limit = self.per_labelled
        _require(limit is None or limit > 0, "teacher.per_labelled", limit, "above 0, or null")


@dataclass(frozen=True)
class Unlabelled:
    """How the unlabelled loss enters; see :func:`cryofix.learning.losses.unlabelled_loss`."""

    weight: float = 1.0
    """Lambda, the factor of the unlabelled loss."""
    loss: str = "bce"
    """``bce`` or ``mse``."""
    normaliser: str = "valid"
    """``valid``, ``kept`` or ``class``."""
    ramp: str = "linear"
    ramp_steps: int = 100
    """How the weight grows from the fork on."""
    batch_norm: str = "separate"
    """``separate``: running statistics follow labelled tiles only; ``shared``: the strong view
    moves them too."""

    def __post_init__(self) -> None:
        check_known("unlabelled.loss", self.loss, UNLABELLED)
        check_known("unlabelled.normaliser", self.normaliser, NORMALISERS)
        check_known("unlabelled.ramp", self.ramp, RAMPS)
        check_known("unlabelled.batch_norm", self.batch_norm, ("separate", "shared"))
        check_ranges(self, "unlabelled.", weight=(0, 1e9), ramp_steps=(0, 1e9))


@dataclass(frozen=True)
class CutMix:
    """Boxes in the strong view that show another micrograph."""

    probability: float = 0.0
    """That a tile gets a box."""
    area_min: float = 0.1
    area_max: float = 0.5
    """Smallest and largest area of a box, as a share of the tile's."""

    def __post_init__(self) -> None:
        key, value = "augment.cutmix.probability", self.probability
        _require(0 <= value <= 1, key, value, "between 0 and 1")
        if not 0 <= self.area_min <= self.area_max <= 1:
            raise CryofixError(
                f"augment.cutmix.area_min={self.area_min} and"
                f" augment.cutmix.area_max={self.area_max} must be"
                " shares of a tile's area, the smaller one first"
            )


@dataclass(frozen=True)
class FeatureDropout:
    """Channels of the encoder's features that are hidden from the student."""

    share: float = 0.0
    """Share of the channels, in [0, 1); 0 keeps all."""
    view: str = "strong"
    """``strong``: they are hidden in the strong views; ``own``: in a further view, the weak one,
    which then has half of the unlabelled loss (UniMatch, Yang et al. 2023)."""

    def __post_init__(self) -> None:
        key = "augment.feature_dropout"
        _require(0 <= self.share < 1, f"{key}.share", self.share, "at least 0 and below 1")
        check_known(f"{key}.view", self.view, ("strong", "own"))


@dataclass(frozen=True)
class Views:
    """How grey values change in the weak view, and what else changes in strong views."""

    weak: Intensity = field(default_factory=Intensity)
    strong: Intensity = field(default_factory=Intensity)
    strong_views: int = 1
    """1, or 2 that are drawn independently and whose losses are averaged."""
    cutmix: CutMix = field(default_factory=CutMix)
    feature_dropout: FeatureDropout = field(default_factory=FeatureDropout)

    def __post_init__(self) -> None:
        if self.strong_views not in (1, 2):
            raise CryofixError(f"augment.strong_views={self.strong_views} must be 1 or 2")
        for view, its in (("weak", self.weak), ("strong", self.strong)):
            check_ranges(its, f"augment.{view}.", **dict.fromkeys(vars(its), (0, 10)))

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


@dataclass(frozen=True)
class StageSettings:
    """All that stays the same during one stage of training."""

    prior: float
    """Share of particle pixels, for policy and regulariser."""
    seed: int
    """Seed of all random draws."""
    first_step: int = 0
    """Steps that were trained before this stage."""
    steps: Steps = field(default_factory=Steps)
    optimiser: Optimiser = field(default_factory=Optimiser)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    unlabelled: Unlabelled = field(default_factory=Unlabelled)
    views: Views = field(default_factory=Views)
    loss_terms: Mapping[str, float] = field(default_factory=lambda: {"bce": 1.0})
    """See :func:`cryofix.learning.losses.supervised_loss`."""
    prior_of_labels: float | None = None
    """Share of particle pixels, for the loss of partial labels: the same in all stages of a run.
    None where labels are complete."""

    @staticmethod
    def of(
        config: Mapping[str, Any],
        prior: float,
        first_step: int = 0,
        prior_of_labels: float | None = None,
    ) -> "StageSettings":
        """Build them from the whole configuration of a training, in plain containers.

        Without a prior of the labels, partial ones take the other too.
        """
        partial = Labelling.of(config["data"]).partial
        return StageSettings(
            prior=prior,
            seed=config["seed"],
            first_step=first_step,
            steps=Steps(**config["steps"]),
            optimiser=Optimiser(**config["optimiser"]),
            teacher=TeacherSettings(**config["teacher"]),
            unlabelled=Unlabelled(**config["unlabelled"]),
            views=Views.of(config["augment"]),
            loss_terms=config["loss"]["terms"],
            prior_of_labels=(prior_of_labels or prior) if partial else None,
        )
