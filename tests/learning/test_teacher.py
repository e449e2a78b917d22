"""The running average of the student."""

import pytest
import torch
from torch import nn

from cryofix.learning.teacher import EvalOnly, average_of


def student() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def test_the_average_follows_its_formula() -> None:
    network = student()
    average = EvalOnly(average_of(network, decay=0.8))
    weight = network[0].weight
    expected = weight.detach().clone()
    for step in range(8):
        with torch.no_grad():
            weight.normal_(generator=torch.Generator().manual_seed(step))
        average.update(network)
        # The first update takes the student; then m = min(1 - 1/(k + 1), decay).
        kept = min(1 - 1 / (step + 1), 0.8) if step else 0.0
        expected = kept * expected + (1 - kept) * weight.detach()
        torch.testing.assert_close(average.network[0].weight, expected)


def test_running_statistics_are_averaged_too() -> None:
    network = student()
    average = EvalOnly(average_of(network, decay=0.5))
    average.update(network)
    network[1].running_mean.fill_(1.0)
    average.update(network)
    torch.testing.assert_close(average.network[1].running_mean, torch.full((4,), 0.5))


def test_the_teacher_stays_in_eval_mode_without_gradients() -> None:
    network = student()
    holder = nn.ModuleDict({"student": network, "teacher": EvalOnly(average_of(network, 0.9))})
    holder.train()
    assert network.training
    assert not any(part.training for part in holder["teacher"].modules())
    assert not any(weight.requires_grad for weight in holder["teacher"].parameters())
    before = holder["teacher"].network[1].running_mean.clone()
    holder["teacher"](torch.randn(2, 1, 8, 8))
    torch.testing.assert_close(holder["teacher"].network[1].running_mean, before)


def test_weights_far_in_the_past_are_forgotten() -> None:
    network = student()
    average = EvalOnly(average_of(network, decay=0.9))
    average.update(network)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    for _ in range(200):
        average.update(network)
    assert float(average.network[0].weight.abs().max()) == pytest.approx(0, abs=1e-6)
