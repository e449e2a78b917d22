"""Training from a few clicks: what is measured, and where the picking threshold is from."""

import json
import sys
from pathlib import Path
from unittest import mock

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.experiment.run_folder import headline
from support import SMALL, message, results, run_command, run_train


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three micrographs in CryoPPP's layout, with clicks on ten particles of the first."""
    folder = tmp_path_factory.mktemp("clicked")
    write_dataset(SimulatorConfig(micrographs=3, shape=(512, 512)), folder)
    first, *others = sorted((folder / "ground_truth" / "particle_coordinates").glob("*.csv"))
    for path in others:
        path.unlink()
    first.write_text("\n".join(first.read_text().splitlines()[:11]) + "\n")
    return folder


def by_clicks(folder: Path, *more: str) -> tuple[str, ...]:
    images = f"data.images={folder / 'micrographs'}"
    labels = f"data.coordinates={folder / 'ground_truth' / 'particle_coordinates'}"
    return (
        *("experiment=cure", "trainer=smoke", "data=micrographs", images, labels),
        *("data.labels=partial", "data.particles_per_micrograph=30", *more),
    )


def test_clicks_on_one_micrograph_are_scored_by_what_they_tell(
    clicked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_train(*by_clicks(clicked, f"output={tmp_path / 'run'}"))
    said = " ".join(capfd.readouterr().out.split())
    content = results(tmp_path / "run")
    selected_by = content["selected_by"]
    assert selected_by["score"] == "particle positive-unlabelled F1 on validation"
    assert f"selected: {content['selected']} ({selected_by['score']}: supervised" in said
    assert "labels are partial: precision and F1 are not measured" in said
    assert "from the expected number of particles" in said
    assert content["thresholds_from"] == "the expected number of particles"
    for branch in ("supervised", "fixmatch"):
        scores = content["validation"][branch]
        for name in ("precision", "f1", "average_precision"):
            assert scores[f"pixel_{name}"] is None
            assert scores[f"particle_{name}"] is None
        assert 0 <= scores["particle_recall_at_expected"] <= 1
        assert scores["particle_positive_unlabelled_f1"] == selected_by[branch]
    assert headline(content) == selected_by[content["selected"]]
    assert content["prior_estimate"]["validation"] is None
    assert not (tmp_path / "run" / "figures" / "precision_recall.png").exists()

    for stage, score in (("", "fixmatch/"), ("fixmatch", "")):
        logs = tmp_path / "run" / "tensorboard" / stage
        tags = {
            tag.removeprefix("validation/")
            for tag in EventAccumulator(str(logs)).Reload().Tags()["scalars"]
        }
        assert f"{score}particle_positive_unlabelled_f1" in tags
        wrong = ("particle_f1", "pixel_f1", "pixel_precision", "particle_average_precision")
        assert not tags & {f"{score}{kind}" for kind in wrong}

    run_command("report", f"sweep={tmp_path}", f"output={tmp_path / 'report'}")
    capfd.readouterr()
    written = (tmp_path / "report" / "report.md").read_text()
    assert "| Particle positive-unlabelled F1 |" in written
    assert f"{content['validation']['fixmatch']['particle_positive_unlabelled_f1']:.3f}" in written

    from cryofix.pick import main

    words = (f"checkpoint={tmp_path / 'run'}", f"micrographs={clicked / 'micrographs'}")
    with mock.patch.object(sys, "argv", ["cryofix.pick", *words, f"output={tmp_path / 'picks'}"]):
        main()
    assert "from the expected number of particles" in " ".join(capfd.readouterr().out.split())
    lines = (tmp_path / "picks" / "summary.tsv").read_text().splitlines()
    assert sum(int(line.split("\t")[1]) for line in lines[1:]) == pytest.approx(3 * 30, abs=5)
    run = json.loads((tmp_path / "picks" / "written.json").read_text())
    assert run["threshold"] == content[content["selected"]]["particle"]["threshold"]


def test_partial_labels_cannot_be_evaluated_on(
    clicked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = by_clicks(clicked)[2:]
    picks = f"picks={clicked / 'ground_truth' / 'particle_coordinates'}"
    command = (*data, picks, "part=labelled", f"output={tmp_path}")
    assert "has partial labels" in message(capsys, *command, command="evaluate")


def test_complete_validation_micrographs_score_a_few_clicks_in_full(tmp_path: Path) -> None:
    run_train(
        *SMALL,
        "data.labelled_particles=4",
        "data.particles_per_micrograph=20",
        f"output={tmp_path / 'run'}",
    )
    content = results(tmp_path / "run")
    assert content["thresholds_from"] == "validation"
    assert content["selected_by"]["score"] == "particle average precision on validation"
