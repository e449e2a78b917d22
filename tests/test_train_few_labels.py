"""Training from partial labels."""

from pathlib import Path

import pytest

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
