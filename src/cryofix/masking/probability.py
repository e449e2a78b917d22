"""What one does with a probability: its confidence, its log-odds, a shift, a sharpening."""

import torch
from torch import Tensor


def scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """Return a number as float32 on the device of ``like``, which nobody waits for."""
    if isinstance(value, Tensor):
        return value.to(like.device, torch.float32)
    return torch.full((), value, dtype=torch.float32, device=like.device)


def confidence(prob: Tensor) -> Tensor:
    """Return ``c = max(p, 1 - p)``, the probability of the predicted class."""
    return torch.maximum(prob, 1.0 - prob)


def log_odds(share: Tensor) -> Tensor:
    """Return ``log(q / (1 - q))`` of a share, kept finite for a model that predicts one class."""
    return torch.logit(share, eps=1e-6)


def shifted(prob: Tensor, shift: float | Tensor) -> Tensor:
    """Return the probability whose logit is ``shift`` higher; 0 and 1 stay."""
    return torch.sigmoid(torch.logit(prob) + shift)


def sharpened(prob: Tensor, temperature: float) -> Tensor:
    """Return ``p^(1/T) / (p^(1/T) + (1-p)^(1/T))``, as a sigmoid so that no power underflows."""
    return prob if temperature == 1.0 else torch.sigmoid(torch.logit(prob) / temperature)
