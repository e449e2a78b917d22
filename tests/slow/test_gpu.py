"""What a GPU would refuse or wait for, on one that is pretended: see pretended_gpu.py."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cryofix.config import config_folder
from cryofix.experiment.stages import Experiment
from cryofix.learning.module import FixMatch
from pretended_gpu import DEVICE, OnGpu, pretended_gpu
from support import SMALL, results, run_train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*CUDA is not available"),  # of autocast
]

ON_GPU = (*SMALL, "trainer.accelerator=gpu", "trainer.precision=bf16-mixed")
GROUPS = ("mask", "loss", "regulariser", "auxiliary", "teacher", "method")
CHOICES = [
    *(
        f"{group}={path.stem}"
        for group in GROUPS
        for path in sorted((config_folder() / group).glob("*.yaml"))
    ),
    "augment.cutmix.probability=1",
    "augment.feature_dropout.share=0.5 augment.feature_dropout.view=own",
    "unlabelled.loss=mse unlabelled.normaliser=class",
]


@pytest.mark.parametrize("choice", [each for each in CHOICES if each != "method=supervised"])
def test_a_step_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, choice: str
) -> None:
    steps: list[list[str]] = []
    begin, end = FixMatch.on_train_batch_start, FixMatch.optimizer_step

    def started(module: FixMatch, *args: Any) -> None:
        waits.clear()
        begin(module, *args)

    def stepped(module: FixMatch, *args: Any, **kwargs: Any) -> None:
        end(module, *args, **kwargs)
        if module.policy is not None:
            assert isinstance(module.network.segmentation_head[0].weight, OnGpu)  # type: ignore[index,union-attr] # smp's models are untyped
            steps.append(list(waits))

    monkeypatch.setattr(FixMatch, "on_train_batch_start", started)
    monkeypatch.setattr(FixMatch, "optimizer_step", stepped)
    monkeypatch.setattr("cryofix.learning.step.LABELS_EVERY", 1)  # the dearest step
    seldom = ("steps.audit_every=100", "steps.audit_first=0", "steps.log_every=100")
    with pretended_gpu(monkeypatch) as waits:
        run_train(*ON_GPU, *seldom, "steps.stage=3", *choice.split(), f"output={tmp_path / 'run'}")
    assert steps[1:] == [[], []]  # the first one may make what is kept


def test_a_run_on_a_gpu_gives_what_the_cpu_gives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overrides = (*SMALL, "mask=quota", "optimiser.learning_rate=0.02")
    run_train(*overrides, f"output={tmp_path / 'cpu'}")
    monkeypatch.setattr(Experiment, "device", DEVICE)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "pretended")
    with pretended_gpu(monkeypatch):
        run_train(*overrides, "trainer.accelerator=gpu", f"output={tmp_path / 'gpu'}")
    on_cpu, on_gpu = results(tmp_path / "cpu"), results(tmp_path / "gpu")
    assert on_gpu.pop("environment")["device"] == "pretended"
    assert on_cpu.pop("environment")["device"] == "cpu"
    assert on_gpu == on_cpu


def test_the_pretended_gpu_refuses_and_writes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    here = torch.randn(4, 8)
    with pretended_gpu(monkeypatch) as waits:
        there = here.to("cuda", non_blocking=True)
        assert there.device.type == "cuda"
        weight = torch.nn.Linear(8, 2).to("cuda").weight
        waits.clear()
        torch.autograd.backward((there @ weight.T).sum())
        assert isinstance(weight.grad, OnGpu)
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert not waits
        for ask in (
            lambda: float(there.sum()),
            lambda: there[there > 0],
            lambda: there.tolist(),
            lambda: there.cpu(),
            lambda: there[:, there.argmax(1)[0]],
            lambda: torch.bincount((there > 0).long().flatten()),
            lambda: here.to("cuda"),
            lambda: torch.tensor(1.0, device="cuda"),
        ):
            ask()
            assert waits, ask
            waits.clear()
