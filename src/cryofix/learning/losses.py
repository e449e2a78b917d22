"""Losses on logits. Each process gets the value over the batch of all processes."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - its documented alias
from jaxtyping import Bool, Float
from torch import Tensor

from cryofix.distributed import sum_over_processes
from cryofix.errors import CryofixError, check_known

Maps = Float[Tensor, "batch 1 height width"]
Mask = Bool[Tensor, "batch 1 height width"]
NORMALISERS = ("valid", "kept", "class")
UNLABELLED = ("bce", "mse")


def bce(logits: Maps, target: Maps, valid: Mask) -> Tensor:
    """Binary cross-entropy, mean over the valid pixels (0 when there are none)."""
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return masked_mean(loss, valid.float())


def focal(logits: Maps, target: Maps, valid: Mask, gamma: float = 2.0) -> Tensor:
    """Focal loss, (1 - p_t)^gamma CE (Lin et al. 2017, eq. 4), mean over the valid pixels."""
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return masked_mean((1 - torch.exp(-loss)) ** gamma * loss, valid.float())


def dice(logits: Maps, target: Maps, valid: Mask) -> Tensor:
    """One minus the soft Dice coefficient over all valid pixels of the batch."""
    return tversky(logits, target, valid, alpha=0.5, beta=0.5)


def tversky(
    logits: Maps, target: Maps, valid: Mask, alpha: float = 0.3, beta: float = 0.7
) -> Tensor:
    """One minus TP / (TP + alpha FP + beta FN) over the batch (Salehi et al. 2017, eq. 2)."""
    p = torch.sigmoid(logits) * valid
    target = target * valid
    local = (p * target).sum(), (p - p * target).sum(), (target - p * target).sum()
    hits, false_positive, false_negative = sum_over_processes(torch.stack(local)).unbind()
    false = alpha * false_positive + beta * false_negative
    return 1 - (hits + 1) / (hits + false + 1)


SUPERVISED: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "bce": bce,
    "focal": focal,
    "dice": dice,
    "tversky": tversky,
}


def supervised_loss(logits: Maps, target: Maps, valid: Mask, terms: Mapping[str, float]) -> Tensor:
    """Return the weighted sum of named losses, for example ``{"bce": 1, "dice": 0.5}``."""
    unknown = set(terms) - set(SUPERVISED)
    if unknown or not terms:
        raise CryofixError(
            f"loss.terms={dict(terms)} must name at least one of {', '.join(SUPERVISED)}"
        )
    parts = [
        weight * SUPERVISED[name](logits, target, valid) for name, weight in terms.items() if weight
    ]
    return torch.stack(parts).sum() if parts else logits.sum() * 0


def positive_unlabelled_risk(
    of_particles: Maps,
    particle: Mask,
    of_all: Maps,
    valid: Mask,
    prior: float,
    *,
    beta: float = 0.0,
    gamma: float = 1.0,
) -> Tensor:
    """Return the risk from labelled particles and unlabelled pixels (Kiryo et al. 2017), 0-d.

    ``pi E_P[l(+)] + max(0, E_U[l(-)] - pi E_P[l(-)])`` with the logistic loss l: P are the pixels
    of labelled particles, U all pixels, pi the prior. Where the second term falls below ``-beta``
    the student overfits, and is led back along its negative gradient times ``gamma`` (their
    algorithm 1). A batch without labelled particles says nothing, and neither does one without
    unlabelled pixels.

    Parameters
    ----------
    of_particles, particle
        Logits of tiles with labels, and where P is.
    of_all, valid
        Logits of tiles whose places do not depend on particles, and where U is.
    """
    part = particle.to(of_particles.dtype)
    positive = prior * masked_mean(F.softplus(-of_particles), part)
    particle_as_negative = prior * masked_mean(F.softplus(of_particles), part)
    unlabelled = masked_mean(F.softplus(of_all), valid.to(of_all.dtype))
    negative = unlabelled - particle_as_negative
    trusted = negative >= -beta
    value = torch.where(trusted, positive + negative, positive - beta)
    step = torch.where(trusted, positive + negative, -gamma * negative)
    pixels = sum_over_processes(torch.stack([part.sum(), valid.sum().to(part.dtype)]))
    return (pixels > 0).all() * (step + (value - step).detach())


def unlabelled_loss(
    logits: Maps, target: Maps, weight: Maps, valid: Mask, normaliser: str, kind: str = "bce"
) -> Tensor:
    """Return the weighted distance of the student from pseudo-labels, 0-d; 0 if nothing is kept.

    Parameters
    ----------
    logits
        Of the student on the strong view.
    target, weight
        Pseudo-labels and how far each is believed; both float32, without gradient.
    valid
        Pixels that exist for this loss.
    normaliser
        What the weighted sum is divided by: ``valid`` (the number of valid pixels, so the loss
        scales with the keep rate), ``kept`` (the sum of weights), or ``class`` (each predicted
        class by its own sum of weights, then their mean).
    kind
        ``bce``: binary cross-entropy; ``mse``: squared difference of probabilities, which is 0
        where student and teacher agree (mean teacher, Tarvainen & Valpola 2017).
    """
    check_known("unlabelled.loss", kind, UNLABELLED)
    check_known("unlabelled.normaliser", normaliser, NORMALISERS)
    weight = weight * valid
    if kind == "bce":
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    else:
        loss = (torch.sigmoid(logits) - target) ** 2
    if normaliser == "valid":
        return _ratio((loss * weight).sum(), valid.sum().float())
    if normaliser == "kept":
        return masked_mean(loss, weight)
    particle = (target >= 0.5).float()
    return (masked_mean(loss, weight * particle) + masked_mean(loss, weight * (1 - particle))) / 2


def unlabelled_push(logits: Maps, target: Maps, kind: str = "bce") -> Maps:
    """Return the size of a pixel's gradient in :func:`unlabelled_loss`, up to its weight."""
    prob = torch.sigmoid(logits)
    difference = (prob - target).abs()
    return difference if kind == "bce" else 2 * difference * prob * (1 - prob)


def masked_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean over the batch of all processes; 0 where no weight is."""
    return _ratio((values * weights).sum(), weights.sum())


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide sums over the whole batch, whichever process holds its parts; 0 by 0 is 0."""
    above, below = sum_over_processes(torch.stack([numerator, denominator])).unbind()
    return above / torch.where(below > 0, below, torch.ones_like(below))
