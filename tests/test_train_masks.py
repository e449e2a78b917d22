"""Training on masks: pixels are scored, and nothing is said of particles."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import shared_data
from support import message, results, run_command, run_train

OF_PICKS = ("precision", "recall", "f1", "average_precision")


@pytest.fixture(scope="module")
def nuclei() -> Path:
    folder = shared_data() / "nuclei"
    if not folder.is_dir():
        pytest.skip(f"no images with masks at {folder}: set CRYOFIX_DATA to the folder with nuclei")
    return folder


@pytest.fixture(scope="module")
def run(nuclei: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "sweep" / "0"
    run_train("data=masks", f"data.root={nuclei}", "ratio=0.1", "trainer=smoke", f"output={folder}")
    return folder


def keys(node: Any) -> Iterator[str]:
    """Return the names of all scores in JSON."""
    for name, value in node.items() if isinstance(node, dict) else ():
        yield name
        yield from keys(value)
    for value in node if isinstance(node, list) else ():
        yield from keys(value)


def test_results_figures_and_tensorboard_leave_particles_out(run: Path) -> None:
    content = results(run)
    picked = {f"particle_{name}" for name in OF_PICKS} | {"particle", "picks", "matched"}
    assert not picked & set(keys(content))
    for branch in ("supervised", "fixmatch"):
        assert 0 < content[branch]["pixel"]["average_precision"] < 1
    by = content["selected_by"]
    assert by["score"] == "pixel average precision on validation"
    assert by[content["selected"]] == max(by["supervised"], by["fixmatch"])
    drawn = {path.name for path in (run / "figures").iterdir()}
    assert drawn == {"maps.png", "precision_recall.png", "keep_rates.png"}
    for folder in {path.parent for path in run.rglob("events.out.*")}:
        tags = EventAccumulator(str(folder)).Reload().Tags()
        assert not [
            tag for tag in tags["scalars"] if "/particle_f1" in tag or "/particle_av" in tag
        ]


def test_the_report_ranks_and_shows_pixels_alone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command("report", f"sweep={run.parent}")
    text = (run.parent / "report.md").read_text()
    assert "Pixel average precision" in text
    for name in ("Particle F1", "Particle AP", "Particle recall", "Particle average precision"):
        assert name not in text.split("How to read this")[0]


def test_the_model_is_evaluated_and_diagnosed_and_has_nothing_to_pick(
    run: Path, nuclei: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command("evaluate", f"checkpoint={run}", f"output={tmp_path / 'evaluate'}")
    scores = json.loads((tmp_path / "evaluate" / "scores.json").read_text())["scores"]
    assert scores == results(run)[results(run)["selected"]]
    run_command("diagnose", f"checkpoint={run}", f"output={tmp_path / 'diagnose'}")
    assert (tmp_path / "diagnose" / "diagnosis.json").exists()
    capsys.readouterr()
    said = message(
        capsys,
        f"checkpoint={run}",
        f"micrographs={nuclei / 'images'}",
        f"output={tmp_path / 'picks'}",
        command="pick",
    )
    assert "has learnt masks" in said
    others = ("data=synthetic", "data.simulate.micrographs=8", f"output={tmp_path / 'other'}")
    said = message(capsys, f"checkpoint={run}", *others, command="evaluate")
    assert "data= has particles" in said
