"""The teacher that stands still for a round."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cryofix.errors import CryofixError
from cryofix.learning.settings import TeacherSettings
from cryofix.learning.teacher import FrozenTeacher

CPU = torch.device("cpu")


class Constant:
    """A micrograph of one grey value; the further from 0, the surer the network below is."""

    def __init__(self, value: float) -> None:
        self.value = value

    def read(self) -> NDArray[np.float32]:
        return np.full((32, 32), self.value, np.float32)


def average(weight: float = 1.0) -> nn.Module:
    convolution = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(convolution.weight, weight)
    return nn.Sequential(convolution, nn.BatchNorm2d(1)).requires_grad_(False).eval()


def teacher(*greys: float, labelled: int = 2, **settings: Any) -> FrozenTeacher:
    micrographs: list[Any] = [Constant(grey) for grey in greys]
    kind = TeacherSettings("frozen", **{"round_steps": 3, **settings})
    return FrozenTeacher(average(0.0), kind, micrographs, labelled)


def test_it_changes_at_the_first_step_of_a_round_only() -> None:
    frozen = teacher(1.0, 2.0)
    image = torch.ones(1, 1, 8, 8)
    seen = []
    for step in range(7):
        frozen.begin_step(average(float(step + 1)), step, CPU)
        seen.append(round(float(frozen(image).mean()), 3))
    assert seen == [1, 1, 1, 4, 4, 4, 7]


def test_it_learns_nothing_from_its_inputs() -> None:
    frozen = teacher(1.0)
    nn.ModuleDict({"frozen": frozen}).train()
    before = {key: value.clone() for key, value in frozen.state_dict().items()}
    frozen(torch.randn(4, 1, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in frozen.state_dict().items())
    assert not any(weight.requires_grad for weight in frozen.parameters())


def test_a_round_learns_from_the_micrographs_that_the_teacher_is_surest_of() -> None:
    frozen = teacher(0.1, -5.0, 2.0, 0.5, share=0.5)
    assert frozen.chosen.all()
    frozen.begin_step(average(), 0, CPU)
    assert frozen.chosen.tolist() == [False, True, True, False]
    batch = {
        "valid": torch.ones(3, 1, 4, 4, dtype=torch.bool),
        "micrograph": torch.tensor([0, 1, 3]),
    }
    left = frozen.select(batch)["valid"]
    assert [bool(tile.any()) for tile in left] == [False, True, False]
    assert batch["valid"].all()


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"share": 1.0}, 10),
        ({"share": 0.3}, 3),
        ({"share": 0.01}, 1),
        ({"share": 1.0, "per_labelled": 1.5}, 3),
        ({"share": 0.2, "per_labelled": 4}, 2),
    ],
)
def test_how_many_are_chosen(settings: dict[str, Any], wanted: int) -> None:
    frozen = teacher(*range(1, 11), **settings)
    frozen.begin_step(average(), 0, CPU)
    assert int(frozen.chosen.sum()) == wanted


def test_a_restart_within_a_round_keeps_teacher_and_choice() -> None:
    frozen, again = (teacher(0.1, -5.0, 2.0, share=0.4) for _ in range(2))
    frozen.begin_step(average(2.0), 0, CPU)
    again.load_state_dict(frozen.state_dict())
    again.begin_step(average(9.0), 2, CPU)
    for key, value in frozen.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"round_steps": 0}, "round_steps=0"),
        ({"share": 0}, "share=0"),
        ({"per_labelled": 0}, "per_labelled=0"),
        ({"kind": "parrot"}, "kind=parrot.*frozen"),
    ],
)
def test_wrong_settings_are_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(CryofixError, match=f"teacher.{said}"):
        TeacherSettings(**settings)
