"""Scoring a trained model again."""

import json
import sys
from pathlib import Path
from unittest import mock

import pytest

from support import SMALL, results, run_train


def evaluate(*overrides: str) -> float:
    from cryofix.evaluate import main

    with mock.patch.object(sys, "argv", ["cryofix.evaluate", *overrides]):
        f1: float = main()
    return f1


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_train(*SMALL, "ratio=0.5", "data.added_noise=0.5", f"output={folder}")
    return folder


def test_the_selected_model_scores_on_its_own_data_as_in_its_run(run: Path, tmp_path: Path) -> None:
    """The noise that was added in training is added again."""
    evaluate(f"checkpoint={run}", f"output={tmp_path}")
    scores = json.loads((tmp_path / "scores.json").read_text())
    content = results(run)
    assert scores["scores"] == content[content["selected"]]
    assert scores["thresholds_from"] == "checkpoint"
    for name in ("picks", "maps", "precision_recall"):
        assert (tmp_path / "figures" / f"{name}.png").is_file()


def test_views_are_averaged_as_in_the_run_unless_said_otherwise(tmp_path: Path) -> None:
    """The thresholds are of the same maps as the scores."""
    run = tmp_path / "run"
    run_train(*SMALL, "ratio=0.5", "average_views=true", f"output={run}")
    content = results(run)
    evaluate(f"checkpoint={run}", f"output={tmp_path / 'same'}")
    same = json.loads((tmp_path / "same" / "scores.json").read_text())
    assert same["average_views"]
    assert same["scores"] == content[content["selected"]]
    evaluate(f"checkpoint={run}", "average_views=false", f"output={tmp_path / 'one'}")
    one = json.loads((tmp_path / "one" / "scores.json").read_text())
    assert not one["average_views"]
    assert one["scores"]["pixel"]["ece"] != same["scores"]["pixel"]["ece"]


def test_a_stage_checkpoint_can_be_scored_too(run: Path, tmp_path: Path) -> None:
    evaluate(
        f"checkpoint={run / 'checkpoints/burn_in/last.ckpt'}",
        "data=synthetic",
        "data.limit=8",
        "data.simulate.micrographs=8",
        "part=validation",
        f"output={tmp_path}",
    )
    content = json.loads((tmp_path / "scores.json").read_text())
    assert len(content["scores"]["per_micrograph"]) == 1
    assert "optimistic" in content["thresholds_from"]
