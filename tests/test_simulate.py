"""The command that simulates, run as a user runs it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cryofix.config import config_folder
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.formats import find_micrographs, index_micrographs, read_coordinates
from cryofix.simulate import main

SMALL = ("shape=[200,260]", "particles_per_micrograph=12", "contamination=0.1", "workers=1")


def simulate(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    monkeypatch.setattr(sys, "argv", ["cryofix.simulate", *overrides])
    main()


def test_the_yaml_file_shows_the_defaults_of_the_code() -> None:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        shown: Any = OmegaConf.to_container(compose("simulate", overrides=["output=somewhere"]))
    del shown["output"], shown["workers"]
    assert shown == SimulatorConfig().as_dict()


def test_a_folder_of_micrographs_with_truth_comes_out_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    simulate(monkeypatch, "output=sim", "micrographs=2", *SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["sim"]
    infos = index_micrographs(find_micrographs("sim/micrographs"))
    labels = read_coordinates("sim", infos, format="cryoppp")
    truth = json.loads(Path("sim/simulation.json").read_text())
    assert [info.shape for info in infos.values()] == [(200, 260)] * 2
    assert {each["name"]: each["particles"] for each in truth["micrographs"]} == {
        name: len(particles) for name, particles in labels.items()
    }
    said = capsys.readouterr().out
    assert f"2 micrographs with {sum(map(len, labels.values()))} labelled" in said
    assert "no scientific claims" in said


def test_the_same_command_with_more_micrographs_extends_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(monkeypatch, f"output={tmp_path}", "micrographs=1", *SMALL)
    image = tmp_path / "micrographs/sim_0000.mrc"
    before = image.stat().st_mtime_ns
    simulate(monkeypatch, f"output={tmp_path}", "micrographs=2", *SMALL)
    assert image.stat().st_mtime_ns == before
    assert (tmp_path / "micrographs/sim_0001.mrc").exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["output=x", "snr_min=0.5"], "snr_min=0.5 is above snr_max=0.2"),
        (["output=x", "snr_min=low"], "snr_min=low does not fit: give a number"),
        (["output=x", "contaminaton=1"], "did you mean contamination?"),
        (["micrographs=2"], "output has no default"),
    ],
)
def test_a_mistake_is_answered_by_one_sentence(
    overrides: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        simulate(monkeypatch, *overrides)
    said = capsys.readouterr().err
    assert stopped.value.code == 1
    assert sentence in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
