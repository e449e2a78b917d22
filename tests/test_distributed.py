"""Several processes: who is which, what does not fit, and losses of the whole batch."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cryofix.distributed import Ranks
from cryofix.errors import CryofixError
from cryofix.learning.losses import NORMALISERS, SUPERVISED
from support import one_and_two_processes

ONE_PROCESS = Path(__file__).with_name("one_process.py")
CONFIG: dict[str, Any] = {
    "trainer": {"accelerator": "cpu", "devices": 1, "strategy": "ddp", "precision": "32-true"},
    "model": {"norm": "batch"},
    "data": {"batch_labelled": 8, "batch_unlabelled": 8},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """Take all losses of one batch, in one process and in a group of two."""
    folder = tmp_path_factory.mktemp("ranks")
    generator = torch.Generator().manual_seed(0)
    logits, noise, weight = torch.randn((3, 4, 1, 16, 16), generator=generator)
    # Halves that are not alike: in valid pixels, in particles and in weights.
    valid = noise < torch.tensor([2.0, 0.5, -0.5, -1.0]).view(4, 1, 1, 1)
    target = (logits + noise > torch.tensor([0.5, 1.0, 2.0, 2.0]).view(4, 1, 1, 1)).float()
    weight = weight.clamp(0, 1)
    torch.save((logits, target, weight, valid), folder / "batch.pt")
    return one_and_two_processes(ONE_PROCESS, folder)


REGULARISERS = ("GeneralisedExpectation", "NonNegativePU")


@pytest.mark.parametrize("name", [*SUPERVISED, *NORMALISERS, *REGULARISERS, "Noise2Void"])
def test_each_process_gets_the_loss_of_the_whole_batch_and_its_share_of_the_gradient(
    results: dict[str, dict[str, torch.Tensor]], name: str
) -> None:
    one, *two = (results[key] for key in ("1-0", "2-0", "2-1"))
    for part in two:
        torch.testing.assert_close(part[name], one[name], rtol=1e-6, atol=1e-7)
    gradient = torch.cat([part[f"{name} gradient"] for part in two])
    torch.testing.assert_close(gradient, one[f"{name} gradient"], rtol=1e-5, atol=1e-9)


def test_processes_agree(results: dict[str, dict[str, torch.Tensor]]) -> None:
    for key in ("2-0", "2-1"):
        assert int(results[key]["first"]) == 0
        assert results[key]["any rank"].tolist() == [False, True]
        assert results[key]["gathered"].tolist() == [0, 10]


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> Ranks:
    for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(key, raising=False)
    for key, value in values.items():
        monkeypatch.setenv(key, value)
    return Ranks.started()


def test_who_is_read_from_slurm_and_from_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment(monkeypatch) == Ranks(0, 1, 0)
    slurm = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}
    assert environment(monkeypatch, **slurm) == Ranks(5, 8, 1)
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "3"}
    assert environment(monkeypatch, **torchrun, **slurm) == Ranks(3, 4, 3)


def test_a_script_in_a_job_of_several_tasks_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment(monkeypatch, SLURM_NTASKS="4", SLURM_PROCID="0") == Ranks(0, 1, 0)


def changed(path: str, value: object) -> dict[str, Any]:
    group, key = path.split(".")
    return {**CONFIG, group: {**CONFIG[group], key: value}}


def test_what_fits_passes() -> None:
    Ranks(1, 4, 1).check(CONFIG, "runs/mine")
    Ranks().check(CONFIG, "runs/${now:%Y}")


@pytest.mark.parametrize(
    ("count", "change", "output", "said"),
    [
        (1, ("trainer.devices", 2), "a", "torchrun --nproc-per-node=2"),
        (1, ("trainer.devices", [0, 1]), "a", "torchrun --nproc-per-node=2"),
        (4, ("trainer.strategy", "auto"), "a", "add trainer=ddp"),
        (4, ("trainer.devices", 1), "runs/${now:%Y}", "output=FOLDER"),
        (3, ("trainer.devices", 1), "a", "data.batch_labelled=8.*multiple of 3"),
        (4, ("data.batch_unlabelled", 6), "a", "data.batch_unlabelled=6.*multiple of 4"),
        (2, ("trainer.sync_batchnorm", True), "a", "model.norm=group"),
    ],
)
def test_what_does_not_fit_is_said(
    count: int, change: tuple[str, object], output: str, said: str
) -> None:
    with pytest.raises(CryofixError, match=said):
        Ranks(0, count, 0).check(changed(*change), output)


def test_one_process_leaves_all_of_ddp_away() -> None:
    settings, _ = Ranks().trainer_settings(CONFIG["trainer"] | {"sync_batchnorm": True})
    assert settings == {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    settings, plugin = Ranks(5, 8, 1).trainer_settings(CONFIG["trainer"])
    assert (settings["devices"], settings["num_nodes"], settings["strategy"]) == (1, 8, "ddp")
    assert (plugin.global_rank(), plugin.world_size(), plugin.local_rank()) == (5, 8, 0)
