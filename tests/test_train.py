"""The training command: what it writes, that it repeats, resumes and refuses."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cryofix.learning.checkpoint import load_checkpoint, load_picker
from support import SMALL, message, results, run_train

FILES = (
    "status.json",
    "splits.json",
    "results.json",
    "config.json",
    ".hydra/config.yaml",
    "checkpoints/selected.ckpt",
    "checkpoints/burn_in/last.ckpt",
    "checkpoints/supervised/last.ckpt",
    "checkpoints/fixmatch/last.ckpt",
    "figures/picks.png",
    "figures/maps.png",
    "figures/precision_recall.png",
    "figures/keep_rates.png",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    run_train(*SMALL, "ratio=0.5", f"output={folder}")
    return folder


def test_the_page_about_results_names_every_key(run: Path) -> None:
    def keys(node: Any) -> Iterator[str]:
        for each in node if isinstance(node, list) else ():
            yield from keys(each)
        for key, value in node.items() if isinstance(node, dict) else ():
            yield key
            yield from keys(value) if key != "mask_config" else ()

    page = (Path(__file__).parents[1] / "docs" / "results.md").read_text()
    found = set(keys(json.loads((run / "results.json").read_text())))
    assert {key for key in found if f"`{key}`" not in page} == set()


def test_a_run_leaves_every_file(run: Path) -> None:
    assert [name for name in FILES if not (run / name).is_file()] == []
    assert list(run.glob("tensorboard/fixmatch/events*"))


def test_the_page_and_the_log_say_what_the_terminal_does_and_what_to_type_next(run: Path) -> None:
    content = results(run)
    threshold = f"{content[content['selected']]['particle']['threshold']:.3f}"
    command = f"python -m cryofix.pick checkpoint={run} "
    page = (run / "index.html").read_text()
    for expected in (command, f"<b>{threshold}</b>", "<code>ratio=0.5</code>", "particle F1"):
        assert expected in page
    assert page.count("data:image/jpeg;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")
    names = json.loads((run / "splits.json").read_text())
    assert all(name in page for part in ("labelled", "test") for name in names[part])
    log = (run / "train.log").read_text()
    for line in (command, f"picking threshold: {threshold}", "burn-in ", "Scores on test"):
        assert line in log


def test_a_compiled_student_trains_as_the_plain_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced by Dynamo and run as it is, since what a backend generates may round differently."""
    compiled = []

    def trace(network: torch.nn.Module) -> None:
        compiled.append(network)
        original(network, backend="eager")

    original = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    run_train(*SMALL, "ratio=0.5", "compute.compile=true", f"output={tmp_path / 'run'}")
    assert len(compiled) == 3, "burn-in, control and FixMatch"
    assert results(tmp_path / "run") == results(run)


def test_status_and_results_have_the_agreed_keys(run: Path) -> None:
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "finished"
    assert status["error"] is None
    content = results(run)
    assert {
        "schema",
        "data",
        "mask",
        "mask_config",
        "ratio",
        "seed",
        "micrographs",
        "supervised",
        "fixmatch",
        "gain",
        "selected",
        "keep_rates",
        "collapse",
        "steps",
        "environment",
    } <= content.keys()
    assert content["schema"] == 1
    assert (content["data"], content["mask"]) == ("synthetic", "class_aware")
    assert content["selected_by"]["score"] == "particle average precision on validation"
    chosen = {
        key: found["particle_average_precision"] for key, found in content["validation"].items()
    }
    assert content["selected"] == max(("supervised", "fixmatch"), key=lambda name: chosen[name])
    pixel = {"precision", "recall", "f1", "threshold", "average_precision", "ece"}
    assert pixel | {"f1_at_validation_threshold"} <= content["fixmatch"]["pixel"].keys()
    assert {"first_step", "alarmed", "min_drift"} == content["collapse"].keys()
    assert {"threshold", "kept", "particle_share", "particle_keep", "background_keep", "drift"} <= (
        content["keep_rates"][0].keys()
    )
    assert {"value", "ci95"} <= set(content["gain"]["particle_f1"])


def test_a_run_that_the_guard_stopped_says_which_steps_it_took_and_stays_stopped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], unhealthy: None
) -> None:
    guard = ("guard.action=stop", "guard.warm_up=1", "guard.patience=1")
    command = (*SMALL, "ratio=0.5", *guard, f"output={tmp_path / 'run'}")
    run_train(*command)
    said = " ".join(capfd.readouterr().out.split())
    assert (
        "the guard (guard.action=stop) stopped FixMatch at step 2 of 6; the control took 6" in said
    )
    assert "the gains compare unequal training" in said
    content = results(tmp_path / "run")
    assert content["collapse"]["first_step"] == 2
    assert content["steps"] == {"burn_in": 6, "stage": 6, "supervised": 6, "fixmatch": 2}
    last = tmp_path / "run" / "checkpoints" / "fixmatch" / "last.ckpt"
    assert load_checkpoint(last)["global_step"] == 2
    (tmp_path / "run" / "results.json").unlink()  # as if it had been killed before it was scored
    run_train(*command)
    assert load_checkpoint(last)["global_step"] == 2
    assert results(tmp_path / "run") == content


def test_splits_are_recorded_and_disjoint(run: Path) -> None:
    splits = json.loads((run / "splits.json").read_text())
    names = [
        name for part in ("test", "validation", "labelled", "unlabelled") for name in splits[part]
    ]
    assert len(names) == len(set(names)) == 8


def test_the_selected_model_loads_by_itself(run: Path) -> None:
    picker = load_picker(run)
    assert picker.metadata["stage"] == results(run)["selected"]
    assert picker.metadata["thresholds"].keys() == {"pixel", "particle", "by_count"}
    assert picker.network(torch.zeros(1, 1, 64, 64)).shape == (1, 1, 64, 64)


def test_both_branches_start_from_the_same_weights_and_differ_at_the_end(run: Path) -> None:
    checkpoints = {
        name: torch.load(run / "checkpoints" / name / "last.ckpt", weights_only=True)
        for name in ("supervised", "fixmatch")
    }
    steps = {name: checkpoint["global_step"] for name, checkpoint in checkpoints.items()}
    assert steps == {"supervised": 6, "fixmatch": 6}
    key = "network.segmentation_head.0.weight"
    one, other = (checkpoint["state_dict"][key] for checkpoint in checkpoints.values())
    assert not torch.equal(one, other)


def test_without_an_unlabelled_loss_fixmatch_is_its_control(tmp_path: Path) -> None:
    run_train(*SMALL, "ratio=0.5", "unlabelled.weight=0", f"output={tmp_path / 'run'}")
    states = [
        torch.load(tmp_path / "run/checkpoints" / name / "last.ckpt", weights_only=True)
        for name in ("supervised", "fixmatch")
    ]
    for key, value in states[0]["state_dict"].items():
        torch.testing.assert_close(value, states[1]["state_dict"][key], rtol=0, atol=0, msg=key)
    content = results(tmp_path / "run")
    assert content["supervised"] == content["fixmatch"]
    assert content["gain"]["pixel_f1"]["value"] == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_command_gives_the_same_numbers(run: Path, tmp_path: Path, workers: int) -> None:
    run_train(*SMALL, "ratio=0.5", f"data.workers={workers}", f"output={tmp_path / 'again'}")
    assert results(tmp_path / "again") == results(run)


def test_another_seed_gives_other_numbers(run: Path, tmp_path: Path) -> None:
    run_train(*SMALL, "ratio=0.5", "seed=1", f"output={tmp_path / 'other'}")
    assert results(tmp_path / "other")["supervised"] != results(run)["supervised"]


def test_a_finished_run_started_again_gives_its_results_again(run: Path) -> None:
    before = results(run)
    run_train(*SMALL, "ratio=0.5", f"output={run}")
    assert results(run) == before


def test_a_folder_with_another_configuration_is_left_alone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "results.json").read_bytes()
    with pytest.raises(SystemExit) as stop:
        run_train(*SMALL, "ratio=0.5", "mask=none", f"output={run}")
    assert stop.value.code == 1
    assert "choose another output" in capsys.readouterr().err
    assert (run / "results.json").read_bytes() == before


def test_the_baseline_alone(tmp_path: Path) -> None:
    run_train(*SMALL, "ratio=0.5", "method=supervised", f"output={tmp_path / 'run'}")
    content = results(tmp_path / "run")
    assert content["fixmatch"] is None
    assert content["gain"] is None
    assert content["selected"] == "supervised"


@pytest.mark.parametrize("mask", ["none", "symmetric", "class_aware", "soft_weight"])
@pytest.mark.parametrize("teacher", ["ema", "self"])
def test_policies_and_teachers_compose(tmp_path: Path, mask: str, teacher: str) -> None:
    run_train(*SMALL, "ratio=0.5", f"mask={mask}", f"teacher={teacher}", f"output={tmp_path / 'r'}")
    assert results(tmp_path / "r")["mask"] == mask


def test_a_damaged_checkpoint_of_a_run_is_named_and_trained_again_once_it_is_deleted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    (folder / "results.json").unlink()
    (folder / "config.json").write_text("")  # damaged too: the checkpoints know it
    last = folder / "checkpoints" / "supervised" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    again = (*SMALL, "ratio=0.5", f"output={folder}")
    said = message(capsys, *again)
    assert said == (
        f"cryofix.train: {last} is damaged: delete it, and the same command trains its stage again"
    )
    last.unlink()
    run_train(*again)
    assert results(folder) == results(run)
