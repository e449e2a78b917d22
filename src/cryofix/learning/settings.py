"""What a stage of training can be told, in plain values that YAML can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryofix.data.intensity import Intensity
from cryofix.errors import CryofixError
from cryofix.learning.losses import NORMALISERS
from cryofix.learning.schedule import RAMPS


@dataclass(frozen=True)
class Steps:
    """How long, and how often something happens, in optimiser steps.

    Attributes
    ----------
    burn_in
        Supervised steps before the fork.
    stage
        Steps of the supervised control, and of FixMatch, after it.
    validate_every, checkpoint_every, log_every, audit_every
        Validation, ``last.ckpt``, TensorBoard scalars, keep-rate audit.
    """

    burn_in: int = 600
    stage: int = 600
    validate_every: int = 100
    checkpoint_every: int = 50
    log_every: int = 10
    audit_every: int = 10

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if value < (0 if key == "burn_in" else 1):
                raise CryofixError(f"steps.{key}={value} is too small; give a positive number")


@dataclass(frozen=True)
class Optimiser:
    """AdamW with warm-up and a half cosine over burn-in and stage.

    Attributes
    ----------
    learning_rate
        At its peak.
    weight_decay
        Of AdamW.
    warm_up
        Steps of linear warm-up.
    final
        Learning rate at the end relative to the peak.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: int = 50
    final: float = 0.05


@dataclass(frozen=True)
class Teacher:
    """Who labels the unlabelled tiles.

    Attributes
    ----------
    kind
        ``ema``: the running average of the student, which is also what is evaluated; ``self``:
        the student itself, in eval mode.
    decay
        Of the running average, in [0, 1).
    """

    kind: str = "ema"
    decay: float = 0.99

    def __post_init__(self) -> None:
        if self.kind not in ("ema", "self"):
            raise CryofixError(f"teacher.kind={self.kind} is not known; use ema or self")
        if not 0 <= self.decay < 1:
            raise CryofixError(f"teacher.decay={self.decay} must be at least 0 and below 1")


@dataclass(frozen=True)
class Unlabelled:
    """How the unlabelled loss enters.

    Attributes
    ----------
    weight
        Lambda: factor of the unlabelled loss.
    normaliser
        ``valid``, ``kept`` or ``class``; see :func:`cryofix.learning.losses.unlabelled_loss`.
    ramp, ramp_steps
        How the weight grows from the fork on.
    batch_norm
        ``separate``: running statistics follow labelled tiles only; ``shared``: the strong view
        moves them too.
    """

    weight: float = 1.0
    normaliser: str = "valid"
    ramp: str = "linear"
    ramp_steps: int = 100
    batch_norm: str = "separate"

    def __post_init__(self) -> None:
        for key, known in (
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
class Views:
    """Intensity changes of the weak and of the strong view."""

    weak: Intensity = field(default_factory=Intensity)
    strong: Intensity = field(default_factory=Intensity)

    @staticmethod
    def of(augment: Mapping[str, Any]) -> "Views":
        """Build both from the ``augment`` group of the configuration."""
        return Views(Intensity(**augment["weak"]), Intensity(**augment["strong"]))
