"""How things change with the step: learning rate and weight of the unlabelled loss."""

import math

from cryofix.errors import CryofixError

RAMPS = ("constant", "linear", "sigmoid")


def ramp(kind: str, step: int, length: int) -> float:
    """Return the factor, in [0, 1], of the unlabelled loss at ``step`` of its stage.

    ``sigmoid`` is exp(-5 (1 - t)^2) (Laine & Aila 2017); all reach 1 at ``length``.
    """
    if kind not in RAMPS:
        raise CryofixError(f"unlabelled.ramp={kind} is not known; use one of {', '.join(RAMPS)}")
    if kind == "constant" or step >= length:
        return 1.0
    progress = step / length
    return progress if kind == "linear" else math.exp(-5 * (1 - progress) ** 2)


def learning_rate_factor(step: int, warm_up: int, total: int, final: float) -> float:
    """Return the learning rate at ``step`` relative to its peak.

    Linear warm-up over ``warm_up`` steps, then a half cosine down to ``final`` at ``total``. It
    depends on the absolute step alone, so both branches of the fork see the same rates.
    """
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    progress = min(1.0, (step - warm_up) / max(1, total - warm_up))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
