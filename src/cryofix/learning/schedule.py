"""What changes with the step: the learning rate of AdamW, and the weight of the unlabelled loss."""

import math
from typing import Any

import torch
from torch import nn

from cryofix.errors import check_known
from cryofix.learning.settings import RAMPS, StageSettings


def ramp(kind: str, step: int, length: int) -> float:
    """Return the factor, in [0, 1], of the unlabelled loss at ``step`` of its stage.

    ``sigmoid`` is exp(-5 (1 - t)^2) (Laine & Aila 2017); all reach 1 at ``length``.
    """
    check_known("unlabelled.ramp", kind, RAMPS)
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


def scheduled_adamw(
    network: nn.Module, settings: StageSettings, *, fused: bool, state: dict[str, Any] | None = None
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    """Return the optimiser of a stage and its schedule.

    Parameters
    ----------
    fused
        Step all weights in one kernel, a third of the time on a CPU. Not with float16, whose
        gradients are scaled: they would be clipped before the kernel has unscaled them.
    state
        Of the optimiser of the stage before; its moments go on.
    """
    wanted, steps = settings.optimiser, settings.steps
    rate = wanted.learning_rate
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=rate, weight_decay=wanted.weight_decay, fused=fused
    )
    if state is not None:
        optimiser.load_state_dict(state)
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] = rate

    def factor(step: int) -> float:
        absolute, total = step + settings.first_step, steps.burn_in + steps.stage
        return learning_rate_factor(absolute, wanted.warm_up, total, wanted.final)

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
