"""AdamW, and its learning rate over burn-in and stage."""

from typing import Any

import torch
from torch import nn

from cryofix.learning.schedule import learning_rate_factor
from cryofix.learning.settings import Optimiser


def scheduled_adamw(
    network: nn.Module,
    settings: Optimiser,
    *,
    first_step: int,
    total: int,
    fused: bool,
    state: dict[str, Any] | None = None,
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    """Return the optimiser of a stage and its schedule.

    Parameters
    ----------
    network
        What is trained.
    settings
        Learning rates and weight decay.
    first_step, total
        Steps trained before this stage, and of burn-in and stage together.
    fused
        Step all weights in one kernel, a third of the time on a CPU. Not with float16, whose
        gradients are scaled: they would be clipped before the kernel has unscaled them.
    state
        Of the optimiser of the stage before; its moments go on.
    """
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=fused,
    )
    if state is not None:
        optimiser.load_state_dict(state)
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] = settings.learning_rate

    def factor(step: int) -> float:
        return learning_rate_factor(step + first_step, settings.warm_up, total, settings.final)

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
