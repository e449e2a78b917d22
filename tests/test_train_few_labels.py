"""Training from partial labels."""

import shutil
from pathlib import Path
from unittest import mock

import pytest
import torch

from cryofix.learning import checkpoint
from cryofix.learning.checkpoint import load_picker
from cryofix.sweeps.collect import collect
from cryofix.sweeps.runs import State
from support import SMALL, message, results, run_train

FEW = ("data.labelled_particles=4", "data.particles_per_micrograph=20")


def test_a_run_with_a_few_clicks_trains_and_says_where_its_prior_is_from(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_train("experiment=cure", *SMALL, *FEW, f"output={tmp_path / 'run'}")
    said = " ".join(capfd.readouterr().out.split())
    content = results(tmp_path / "run")
    assert content["prior_estimate"]["source"] == "count"
    assert content["prior_estimate"]["labels"]["value"] is None
    assert "data.particles_per_micrograph says" in said
    assert "partial labels do not say" in said
    for branch in ("supervised", "fixmatch"):
        assert 0 <= content[branch]["particle"]["average_precision"] <= 1


def test_partial_labels_without_a_number_of_particles_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = message(capsys, *SMALL, "data.labels=partial", f"output={tmp_path / 'run'}")
    assert "data.particles_per_micrograph" in said
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_test_set_of_partial_labels_is_refused_where_it_is_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("data.labels=partial", "data.particles_per_micrograph=20")
    said = message(capsys, *SMALL, *words, "data.test=2", f"output={tmp_path / 'run'}")
    assert "data.test=2 has no effect here: of partial labels no pick can be called wrong" in said
    assert "leave it out" in said
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_loss_of_complete_labels_is_refused_where_it_is_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("data.labelled_particles=4", "data.particles_per_micrograph=20")
    for typed in ("loss=focal", "loss.terms.bce=2"):
        said = message(capsys, *SMALL, *words, typed, f"output={tmp_path / 'run'}")
        assert f"{typed} has no effect here: partial labels are taught by" in said


def test_a_prior_that_is_given_is_not_estimated_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("prior.estimate=em", "prior.value=0.05", f"output={tmp_path / 'run'}")
    said = message(capsys, *SMALL, *words)
    assert "prior.estimate=em has no effect here: prior.value=0.05 is taken as it is" in said


def test_masks_that_compare_labelled_classes_need_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"output={tmp_path / 'run'}"
    said = message(capsys, *SMALL, *FEW, "mask=bernoulli", where)
    assert "mask=bernoulli compares labelled particles with labelled background" in said
    said = message(capsys, *SMALL, "mask=adamatch", "data.centred_share=1", where)
    assert "data.centred_share=1 leaves mask=adamatch no labelled tile" in said


def test_a_key_that_a_preset_sets_for_its_own_mask_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("experiment=few_labels", "mask=symmetric", *SMALL, *FEW, f"output={tmp_path / 'run'}")
    said = message(capsys, *words)
    assert "mask.share_end is not a key of what you chose: experiment=few_labels sets it" in said
    said = message(capsys, *words, "~mask.share_end")
    assert "simulated_start" in said  # which comes next, and is not there


def test_keys_of_the_split_are_given_by_the_names_that_results_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = message(capsys, *SMALL, "data.ratio=0.9", f"output={tmp_path / 'run'}")
    assert "data.ratio=0.9 is given as ratio=0.9, which results and tables name" in said


def test_what_a_job_is_refused_for_stands_in_the_report(tmp_path: Path) -> None:
    folder = f"hydra.sweep.dir={tmp_path}"
    for words, because in (
        (("prior.value=0.05,0.06", "prior.estimate=em"), "prior.value=0.05 is taken as it is"),
        (("output=/nowhere", "seed=0,1"), "a sweep writes to hydra.sweep.dir"),
    ):
        with pytest.raises(SystemExit):
            run_train("-m", *SMALL, *words, folder)
        first, second = collect(tmp_path).runs
        assert (first.state, second.state) == (State.FAILED, State.FAILED)
        assert f"has no effect here: {because}" in first.reason


def test_training_starts_from_the_weights_of_another_run(tmp_path: Path) -> None:
    start, run = tmp_path / "start", tmp_path / "run"
    run_train(*SMALL, "method=supervised", f"output={start}")
    first = load_picker(start).network.state_dict()
    still = ("optimiser.learning_rate=0", "optimiser.weight_decay=0", "seed=1")
    with mock.patch.object(checkpoint, "load_picker", wraps=load_picker) as loaded:
        run_train(*SMALL, *FEW, *still, f"model.initial={start}", f"output={run}")
    assert loaded.call_count == 1  # by the burn-in, from which both branches go on
    shutil.rmtree(start)
    weights = dict(load_picker(run).network.named_parameters())
    assert weights
    for name, value in weights.items():
        torch.testing.assert_close(value, first[name])


@pytest.mark.parametrize("model", [None, "unet_resnet18"])
def test_a_start_that_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str | None
) -> None:
    start = tmp_path / "start"
    words = [f"model.initial={start}"]
    if model is not None:
        run_train(*SMALL, "method=supervised", f"output={start}")
        words.append(f"model={model}")
    said = message(capsys, *SMALL, *words, f"output={tmp_path / 'run'}")
    why = "is not there: first type `cryofix train" if model is None else "is no start for this"
    assert f"model.initial={start} {why}" in said


def test_the_prior_may_come_from_the_unlabelled_micrographs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_train(*SMALL, "prior.estimate=em", f"output={tmp_path / 'run'}")
    said = " ".join(capfd.readouterr().out.split())
    content = results(tmp_path / "run")
    found = content["prior_estimate"]
    assert 0 <= found["unlabelled"] <= 1
    assert content["prior"] == found["labels"]["value"]  # two steps make no calibrated model
    assert "which is too far from" in said
    assert "EM on unlabelled micrographs finds" in said
    assert "from labels" in said


def test_without_a_burn_in_both_branches_start_from_nothing_also_in_a_sweep(tmp_path: Path) -> None:
    steps = ("steps.burn_in=0", "steps.checkpoint_every=500")
    run_train("-m", *SMALL, *steps, "seed=0", f"hydra.sweep.dir={tmp_path}")
    assert results(tmp_path / "0")["steps"] == {
        **{"burn_in": 0, "stage": 6},
        **{"supervised": 6, "fixmatch": 6},
    }
