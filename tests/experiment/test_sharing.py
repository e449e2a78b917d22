"""Which runs of a sweep share a burn-in and a control, and what may change in a run's folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from cryofix.config import config_folder, to_plain
from cryofix.experiment.run_folder import differences
from cryofix.experiment.sharing import stage_folder
from support import SMALL


def config(*overrides: str) -> dict[str, Any]:
    fixed = ["names={data: a, mask: b}", "output=none", *SMALL]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return to_plain(compose("train", overrides=[*fixed, *overrides]))


def stages(*overrides: str, processes: int = 1) -> str:
    """Return the name of the folder that the stages of a configuration are kept in."""
    together = {"processes": processes} if processes > 1 else {}
    return stage_folder(Path(), config(*overrides), **together).name


WITHOUT_EFFECT = (
    ["data.workers=4"],
    ["cache=/elsewhere"],
    ["share_stages=false"],
    ["names.data=b"],
    ["steps.checkpoint_every=5"],
    ["steps.log_every=5"],
)


@pytest.mark.parametrize("overrides", WITHOUT_EFFECT, ids=str)
def test_what_changes_no_number_changes_neither_the_stages_nor_the_run(
    overrides: list[str], tmp_path: Path
) -> None:
    assert stages(*overrides) == stages()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "config.json").write_text(json.dumps(config()))
    assert differences(tmp_path, config(*overrides)) == []


@pytest.mark.parametrize(
    "override",
    ["data.tile_px=32", "seed=1", "+trainer.deterministic=true", "steps.validate_every=2"],
)
def test_what_changes_numbers_changes_the_stages_and_the_run(override: str, tmp_path: Path) -> None:
    assert stages(override) != stages()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "config.json").write_text(json.dumps(config()))
    assert differences(tmp_path, config(override)) != []


def test_audits_are_of_the_masks_alone() -> None:
    assert stages("steps.audit_every=7", "steps.audit_first=1") == stages()


def test_processes_that_normalise_alone_make_another_training() -> None:
    synced = ("+trainer.sync_batchnorm=true",)
    assert stages(processes=2) != stages()
    assert stages(processes=2) != stages(processes=4)
    assert stages(*synced, processes=2) == stages(*synced, processes=4) == stages()
    assert stages(*synced) == stages()
    group = ("model.norm=group",)
    assert stages(*group, processes=2) == stages(*group)
    assert stages(*group, "+trainer.strategy=ddp", "+trainer.num_nodes=2") == stages(*group)


def test_a_gpu_makes_another_training_whatever_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu, auto = "trainer.accelerator=cpu", "trainer.accelerator=auto"
    assert stages(cpu) == stages(auto)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert stages(auto) == stages("trainer.accelerator=gpu") != stages(cpu)


def test_the_prior_is_part_of_the_stages_where_labels_are_partial() -> None:
    partial = ("data.labels=partial", "data.particles_per_micrograph=20")
    assert stages("prior.value=0.1") == stages()
    assert stages("prior.value=0.1", *partial) != stages(*partial)
    assert stages(*partial) != stages("data.labels=complete", partial[1])
