"""The running average of the student."""

import pytest
import torch
from torch import nn

from cryofix.learning.teacher import EMA


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(images)))  # type: ignore[no-any-return] # torch


def following(network: Student, decay: float) -> EMA:
    average = EMA(network, decay)
    average.follow(network)
    return average


def student() -> Student:
    torch.manual_seed(0)
    return Student()


def averaged(teacher: EMA) -> Student:
    assert isinstance(teacher.network, Student)
    return teacher.network


def running_mean(network: Student) -> torch.Tensor:
    assert network.norm.running_mean is not None
    return network.norm.running_mean


def test_the_average_follows_its_formula() -> None:
    network = student()
    average = following(network, decay=0.8)
    weight = network.first.weight
    expected = weight.detach().clone()
    for step in range(8):
        with torch.no_grad():
            weight.normal_(generator=torch.Generator().manual_seed(step))
        average.update()
        # The first update takes the student; then m = min(1 - 1/(k + 1), decay).
        kept = min(1 - 1 / (step + 1), 0.8) if step else 0.0
        expected = kept * expected + (1 - kept) * weight.detach()
        torch.testing.assert_close(averaged(average).first.weight, expected)


def test_running_statistics_are_averaged_too() -> None:
    network = student()
    average = following(network, decay=0.5)
    average.update()
    running_mean(network).fill_(1.0)
    average.update()
    torch.testing.assert_close(running_mean(averaged(average)), torch.full((4,), 0.5))


def test_the_teacher_stays_in_eval_mode_without_gradients() -> None:
    network = student()
    teacher = following(network, 0.9)
    holder = nn.ModuleDict({"student": network, "teacher": teacher})
    holder.train()
    assert network.training
    assert not any(part.training for part in teacher.modules())
    assert not any(weight.requires_grad for weight in teacher.parameters())
    before = running_mean(averaged(teacher)).clone()
    teacher(torch.randn(2, 1, 8, 8))
    torch.testing.assert_close(running_mean(averaged(teacher)), before)


def test_weights_far_in_the_past_are_forgotten() -> None:
    network = student()
    average = following(network, decay=0.9)
    average.update()
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    for _ in range(200):
        average.update()
    assert float(averaged(average).first.weight.abs().max()) == pytest.approx(0, abs=1e-6)


def test_a_resumed_average_goes_on_where_it_stopped() -> None:
    network = student()
    whole = following(network, decay=0.9)
    for _ in range(3):
        whole.update()
    resumed = EMA(student(), decay=0.9)
    resumed.load_state_dict(whole.state_dict())
    resumed.follow(network)
    with torch.no_grad():
        network.first.weight.add_(1.0)
    for average in (whole, resumed):
        average.update()
    torch.testing.assert_close(
        averaged(resumed).first.weight, averaged(whole).first.weight, rtol=0, atol=0
    )
    assert int(resumed.average.n_averaged) == 4
