"""A run folder knows its run, and belongs to one process."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cryofix.config import config_folder
from cryofix.errors import CryofixError
from cryofix.experiment.run_folder import (
    SELECTED_BY,
    claimed,
    differences,
    finished,
    headline,
    refuse_another,
)
from cryofix.learning.checkpoint import AtomicCheckpointIO
from cryofix.sweeps.collect import Sweep
from cryofix.sweeps.summarise import summarise_sweep

CONFIG: dict[str, Any] = {"seed": 1, "data": {"root": "/a", "workers": 2}, "output": "x"}
RESULTS = {"selected": "fixmatch", "selected_by": {"supervised": 0.4, "fixmatch": 0.5}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "status.json").write_text('{"state": "finished"}')
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    return tmp_path


def test_a_finished_run_gives_its_results(run: Path) -> None:
    results = finished(run)
    assert results == RESULTS
    assert headline(RESULTS) == 0.5


def test_a_report_ranks_by_what_training_selects_by() -> None:
    sweep = Sweep(Path(), (), ())
    assert yaml.safe_load((config_folder() / "report.yaml").read_text())["metric"] is None
    assert summarise_sweep(sweep).metric == SELECTED_BY


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("status.json", '{"state": "failed"}'),
        ("status.json", "{"),
        ("results.json", "{"),
        ("results.json", '{"selected": "supervised"}'),
        ("results.json", "[]"),
    ],
)
def test_anything_else_has_not_finished(run: Path, file: str, content: str) -> None:
    (run / file).write_text(content)
    assert finished(run) is None
    (run / file).unlink()
    assert finished(run) is None


def test_only_what_changes_numbers_is_another_run(run: Path) -> None:
    same = {"seed": 1, "data": {"root": "/a", "workers": 0}, "output": "y"}
    refuse_another(run, same)
    assert differences(run, same) == []
    other = {"seed": 2, "data": {"root": "/b", "workers": 2}, "output": "x"}
    assert differences(run, other) == ["data.root", "seed"]
    with pytest.raises(CryofixError, match=r"data\.root=/a, not /b \(2 differences\)"):
        refuse_another(run, other)
    with pytest.raises(CryofixError, match=r"with seed=1, not 2: choose"):
        refuse_another(run, same | {"seed": 2})
    with pytest.raises(CryofixError, match=r"another version of cryofix, in which audits "):
        refuse_another(run, same | {"audits": 1})


def hold(folder: Path, held: Any, done: Any) -> None:
    with claimed(folder):
        held.set()
        done.wait(60)


def test_a_folder_in_use_is_refused_and_free_again_when_its_owner_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cryofix.experiment.run_folder.SECONDS_TO_LEAVE", 0.2)
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    owner = context.Process(target=hold, args=(tmp_path, held, done))
    owner.start()
    try:
        assert held.wait(60)
        with pytest.raises(CryofixError, match="in use by another process"), claimed(tmp_path):
            pass
    finally:
        owner.kill()
        owner.join()
    with claimed(tmp_path):
        pass


def test_a_run_that_has_trained_nothing_leaves_its_folder_to_any_other(run: Path) -> None:
    other = {"seed": 2, "data": {"root": "/b", "workers": 2}, "output": "x"}
    (run / "results.json").unlink()
    (run / "status.json").write_text('{"state": "failed"}')
    refuse_another(run, other)
    (run / "checkpoints" / "burn_in").mkdir(parents=True)
    (run / "checkpoints" / "burn_in" / "last.ckpt").write_bytes(b"")
    with pytest.raises(CryofixError, match=r"data\.root=/a, not /b"):
        refuse_another(run, other)


@pytest.mark.parametrize("damaged", ["", '{"seed": 1, "da', "[]"])
def test_a_damaged_configuration_is_read_from_a_checkpoint_or_named(
    run: Path, damaged: str
) -> None:
    (run / "config.json").write_text(damaged)
    with pytest.raises(CryofixError, match=r"config\.json is missing or damaged"):
        refuse_another(run, CONFIG)
    path = run / "checkpoints" / "burn_in" / "last.ckpt"
    config = {
        **CONFIG,
        "model": {"architecture": "unet", "encoder": "resnet18", "norm": "batch", "options": {}},
        "data": {"radius_fraction": 0.5, "highpass_diameters": 4, "clip_sigma": 6},
    }
    sizes = {"particle_px": 24.0, "diameter_px": 40.0, "diameter_angstrom": None}
    checkpoint = {
        "cryofix": {"config": config, "prior": 0.04, "thresholds": None, **sizes},
        "state_dict": {"weight": torch.zeros(1)},
        **{"global_step": 3, "optimizer_states": [], "callbacks": {}},
    }
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    refuse_another(run, config)
    with pytest.raises(CryofixError, match=r"seed=1, not 2"):
        refuse_another(run, config | {"seed": 2})


@pytest.mark.parametrize("name", ["status.json", "results.json"])
def test_json_that_is_nested_too_deeply_is_a_damaged_file(tmp_path: Path, name: str) -> None:
    for file in ("status.json", "results.json"):
        (tmp_path / file).write_text('{"state": "finished", "selected": "fixmatch"}')
    (tmp_path / name).write_text('{"state": ' + "[" * 90_000)
    assert finished(tmp_path) is None
