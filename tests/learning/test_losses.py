"""Losses on logits."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its documented alias

from cryofix.errors import CryofixError
from cryofix.learning.losses import (
    NORMALISERS,
    SUPERVISED,
    bce,
    dice,
    focal,
    supervised_loss,
    unlabelled_loss,
)


def maps(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 1, 8, 8, generator=generator, requires_grad=True)
    target = (torch.rand(2, 1, 8, 8, generator=generator) < 0.2).float()
    valid = torch.rand(2, 1, 8, 8, generator=generator) < 0.8
    return logits, target, valid


def backward(loss: torch.Tensor) -> None:
    torch.autograd.backward(loss)


def test_bce_is_the_mean_over_valid_pixels() -> None:
    logits, target, valid = maps()
    expected = F.binary_cross_entropy_with_logits(logits[valid], target[valid])
    torch.testing.assert_close(bce(logits, target, valid), expected)


def test_focal_without_gamma_is_bce() -> None:
    logits, target, valid = maps()
    torch.testing.assert_close(focal(logits, target, valid, gamma=0.0), bce(logits, target, valid))


def test_dice_of_a_perfect_prediction_is_zero() -> None:
    _, target, valid = maps()
    assert float(dice(40 * (target - 0.5), target, valid)) == pytest.approx(0, abs=1e-5)
    assert float(dice(-40 * (target - 0.5), target, valid)) > 0.8


@pytest.mark.parametrize("name", SUPERVISED)
def test_invalid_pixels_get_no_gradient(name: str) -> None:
    logits, target, valid = maps()
    backward(SUPERVISED[name](logits, target, valid))
    assert logits.grad is not None
    assert not logits.grad[~valid].any()
    assert logits.grad[valid].abs().sum() > 0


@pytest.mark.parametrize("name", SUPERVISED)
def test_nothing_valid_is_finite(name: str) -> None:
    logits, target, valid = maps()
    loss = SUPERVISED[name](logits, target, torch.zeros_like(valid))
    backward(loss)
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_terms_are_weighted_and_named() -> None:
    logits, target, valid = maps()
    both = supervised_loss(logits, target, valid, {"bce": 2.0, "dice": 0.5})
    expected = 2 * bce(logits, target, valid) + 0.5 * dice(logits, target, valid)
    torch.testing.assert_close(both, expected)
    with pytest.raises(CryofixError, match=r"loss\.terms.*lovasz"):
        supervised_loss(logits, target, valid, {"lovasz": 1.0})


def test_the_three_normalisers_on_a_case_done_by_hand() -> None:
    logits = torch.zeros(1, 1, 1, 4)  # each pixel costs log 2 whatever its target
    target = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    weight = torch.tensor([[[[0.5, 1.0, 0.0, 1.0]]]])
    valid = torch.tensor([[[[True, True, True, False]]]])
    losses = {kind: unlabelled_loss(logits, target, weight, valid, kind) for kind in NORMALISERS}
    assert float(losses["valid"]) == pytest.approx(1.5 * math.log(2) / 3)
    assert float(losses["kept"]) == pytest.approx(math.log(2))
    assert float(losses["class"]) == pytest.approx(math.log(2))


def test_mean_teachers_loss_is_0_without_gradient_where_student_and_teacher_agree() -> None:
    logits, _, valid = maps()
    teacher = torch.sigmoid(logits.detach())
    everything = torch.ones_like(teacher)
    loss = unlabelled_loss(logits, teacher, everything, valid, "valid", "mse")
    backward(loss)
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()
    further = unlabelled_loss(logits + 0.1, teacher, everything, valid, "valid", "mse")
    assert float(further.detach()) > 0


def test_the_squared_loss_on_a_case_done_by_hand() -> None:
    logits = torch.zeros(1, 1, 1, 2)  # p = 0.5
    target = torch.tensor([[[[0.9, 0.2]]]])
    everything = torch.ones_like(target)
    loss = unlabelled_loss(logits, target, everything, everything.bool(), "valid", "mse")
    assert float(loss) == pytest.approx((0.4**2 + 0.3**2) / 2)


def test_an_unknown_distance_is_said() -> None:
    logits, target, valid = maps()
    with pytest.raises(CryofixError, match=r"unlabelled\.loss=mae"):
        unlabelled_loss(logits, target, target, valid, "valid", "mae")


@pytest.mark.parametrize("kind", NORMALISERS)
def test_nothing_kept_is_zero_and_finite(kind: str) -> None:
    logits, target, valid = maps()
    loss = unlabelled_loss(logits, target, torch.zeros_like(target), valid, kind)
    backward(loss)
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_class_normaliser_weighs_both_classes_alike() -> None:
    target = torch.zeros(1, 1, 10, 10)
    target[..., 0, 0] = 1
    logits = torch.zeros_like(target, requires_grad=True)
    everything = torch.ones_like(target)
    backward(unlabelled_loss(logits, target, everything, everything.bool(), "class"))
    assert logits.grad is not None
    assert float(logits.grad.sum()) == pytest.approx(0, abs=1e-6)
