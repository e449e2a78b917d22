"""Training without a test set: what is not measured is said, and never zero."""

import json
import sys
from pathlib import Path
from unittest import mock

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.experiment.run_folder import headline
from support import SMALL, message, results, run_train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "sweep" / "0"
    run_train(*SMALL, "ratio=0.5", "data.test=0", f"output={folder}")
    return folder


def test_scores_on_test_are_null_and_those_on_validation_are_there(run: Path) -> None:
    content = results(run)
    assert content["micrographs"]["test"] == 0
    for branch in ("supervised", "fixmatch"):
        scores = content[branch]
        assert scores["per_micrograph"] == []
        for kind in ("pixel", "particle"):
            for name in ("precision", "recall", "f1", "average_precision"):
                assert scores[kind][name] is None
                assert 0 <= content["validation"][branch][f"{kind}_{name}"] <= 1
            assert scores[kind]["ci95_reason"] == "no test micrograph"
        assert 0 <= scores["particle"]["threshold"] <= 1
    for gain in content["gain"].values():
        assert gain == {"value": None, "ci95": None, "ci95_reason": "no test micrograph"}
    assert headline(content) == content["selected_by"][content["selected"]]


def test_the_same_command_again_finds_the_run_finished(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_train(*SMALL, "ratio=0.5", "data.test=0", f"output={run}")
    assert "has finished before" in capfd.readouterr().out


def test_terminal_and_tensorboard_show_validation_and_say_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_train(*SMALL, "ratio=0.5", "data.test=0", f"output={tmp_path / 'run'}")
    said = " ".join(capfd.readouterr().out.split())
    assert "Scores on validation, where thresholds and model are chosen: optimistic" in said
    assert "test scores: not measured, because this split has no test micrograph" in said
    counted = results(tmp_path / "run")["on_labelled"]
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    assert counted["labels"] >= len(splits["labelled"])
    missing = counted["picks"] > 3 * counted["labels"]
    assert ("train with data.labels=partial and data.particles_per_micrograph" in said) == missing
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    tags = events.Tags()["scalars"]
    assert "validation/fixmatch/particle_f1" in tags
    assert not [tag for tag in tags if tag.startswith("test/")]


def test_a_report_says_what_is_not_measured_and_ranks_by_validation(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cryofix.report import main

    words = ["cryofix.report", f"sweep={run.parent}", f"output={tmp_path}"]
    with mock.patch.object(sys, "argv", words):
        main()
    said = " ".join(capfd.readouterr().out.split())
    assert "In 1 of 1 runs there is no test micrograph" in said
    score = results(run)["validation"]["fixmatch"]["particle_average_precision"]
    assert f"{score:.3f} on validation. The gain over the control is not measured" in said
    for name in ("report.md", "report.html"):
        written = (tmp_path / name).read_text()
        assert "not measured" in written
        assert "On validation" in written
    assert "class" in (tmp_path / "report.csv").read_text()


def test_evaluate_names_the_part_that_can_be_scored(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (f"checkpoint={run}", f"output={tmp_path}")
    said = message(capsys, *command, command="evaluate")
    assert "part=test has no micrograph with coordinates: use part=validation" in said

    from cryofix.evaluate import main

    with mock.patch.object(sys, "argv", ["cryofix.evaluate", *command, "part=validation"]):
        main()
    scored = json.loads((tmp_path / "scores.json").read_text())
    assert scored["scores"]["particle"]["average_precision"] == headline(results(run))


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two micrographs in CryoPPP's layout, the first of which is labelled."""
    folder = tmp_path_factory.mktemp("micrographs")
    write_dataset(SimulatorConfig(micrographs=2, shape=(512, 512)), folder)
    (folder / "ground_truth" / "particle_coordinates" / "sim_0001.csv").unlink()
    return folder


def few(folder: Path, *more: str) -> tuple[str, ...]:
    files = (f"data.root={folder}", "data.images=micrographs")
    labels = "data.coordinates=ground_truth/particle_coordinates"
    return ("trainer=smoke", "data=micrographs", *files, labels, "ratio=1", *more)


def test_one_labelled_micrograph_is_enough(
    micrographs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_train(*few(micrographs, f"output={tmp_path / 'run'}"))
    said = " ".join(capfd.readouterr().out.split())
    assert "validation: 1 of 4 blocks of sim_0000, with" in said
    assert "1 labelled, 1 unlabelled, 0 validation, 0 test micrographs" in said
    assert "test scores: not measured" in said
    pick = f"cryofix.pick checkpoint={tmp_path / 'run'} micrographs={micrographs / 'micrographs'} "
    assert pick in said
    assert pick in (tmp_path / "run" / "index.html").read_text()
    content = results(tmp_path / "run")
    assert content["validation_blocks"] == 1
    assert content["supervised"]["particle"]["f1"] is None
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    assert len(splits["validation_blocks"]["sim_0000"]) == 1
    for name in ("picks.png", "maps.png", "precision_recall.png"):
        assert (tmp_path / "run" / "figures" / name).is_file()

    from cryofix.evaluate import main

    words = (f"checkpoint={tmp_path / 'run'}", "part=validation", f"output={tmp_path / 'scored'}")
    with mock.patch.object(sys, "argv", ["cryofix.evaluate", *words]):
        main()
    scored = json.loads((tmp_path / "scored" / "scores.json").read_text())
    assert scored["scores"]["particle"]["average_precision"] == headline(content)


def test_one_micrograph_and_nothing_else_is_enough(micrographs: Path, tmp_path: Path) -> None:
    only = f"data.images={micrographs / 'micrographs' / 'sim_0000.mrc'}"
    labels = micrographs / "ground_truth" / "particle_coordinates" / "sim_0000.csv"
    run_train(*few(micrographs, only, f"data.coordinates={labels}", f"output={tmp_path / 'run'}"))
    assert results(tmp_path / "run")["micrographs"] == {
        **dict.fromkeys(("test", "validation", "unlabelled"), 0),
        "labelled": 1,
    }


def test_no_labelled_micrograph_is_said(
    micrographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = ("data.coordinates=null", "data.diameter_px=48")
    command = few(micrographs, *nothing, f"output={tmp_path / 'run'}")
    assert "0 labelled micrographs are left" in message(capsys, *command)
