"""The Lightning module, as users of Lightning expect it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cryofix.errors import CryofixError
from cryofix.learning.checkpoint import load_checkpoint, load_picker
from cryofix.learning.module import FixMatch
from cryofix.masking import Quota
from support import SMALL, run_train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module") / "run"
    run_train(*SMALL, "ratio=0.5", "mask=quota", f"output={folder}")
    return folder


def test_a_model_is_reloaded_from_its_file_alone(run: Path) -> None:
    path = run / "checkpoints/fixmatch/last.ckpt"
    module = FixMatch.load_from_checkpoint(path, weights_only=True)
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(module(images), load_picker(path).network(images))
    state = load_checkpoint(path)["state_dict"]
    for key, value in module.state_dict().items():
        assert torch.equal(value, state[key]), key
    with_policy = FixMatch.load_from_checkpoint(path, policy=Quota())
    policy = {key: value for key, value in state.items() if key.startswith("policy.")}
    assert policy
    assert all(torch.equal(with_policy.state_dict()[key], each) for key, each in policy.items())


def test_the_selected_model_is_reloaded_too(run: Path) -> None:
    path = run / "checkpoints/selected.ckpt"
    module = FixMatch.load_from_checkpoint(path)
    images = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = load_picker(run).network(images)
        assert torch.equal(module(images), expected)
        assert torch.equal(module.network(images), expected)


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(CryofixError, match=r"other\.ckpt was not written by cryofix"):
        FixMatch.load_from_checkpoint(tmp_path / "other.ckpt")


def test_callbacks_see_every_scalar_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    logged: set[str] = set()
    log = FixMatch.log_scalars

    def watched(self: FixMatch, scalars: dict[str, Any], step: int) -> None:
        logged.update(scalars)
        log(self, scalars, step)

    monkeypatch.setattr(FixMatch, "log_scalars", watched)
    end = FixMatch.on_validation_end

    def ended(self: FixMatch) -> None:
        end(self)
        seen.update(self.trainer.callback_metrics)

    monkeypatch.setattr(FixMatch, "on_validation_end", ended)
    run_train(*SMALL, "ratio=0.5", f"output={tmp_path / 'run'}")
    assert {"loss/total", "mask/kept", "validation/particle_f1", "guard/alarm"} <= logged
    assert logged <= seen.keys()
