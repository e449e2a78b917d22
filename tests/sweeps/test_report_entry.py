"""The command: real Hydra sweeps expand to the jobs that Hydra ran, and files appear."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from cryofix.errors import CryofixError
from cryofix.report import expand_sweep
from cryofix.sweeps.collect import collect
from cryofix.sweeps.runs import State
from support import wait_until

APP = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    if config.seed == 2:
        raise ValueError("seed 2 is unlucky")

main()
"""


def command(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, *arguments]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def hydra_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run six jobs of a tiny Hydra application, of which the third fails and ends the sweep."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "config.yaml").write_text("ratio: 0.1\nseed: 0\nlayers: []\n")
    experiment = """
        # @package _global_
        hydra: {sweeper: {params: {seed: "range(0,3)"}}}
    """
    (folder / "conf" / "experiment" / "grid.yaml").write_text(textwrap.dedent(experiment))
    words = ["ratio=0.1,0.2", "layers=[1,2]", "+experiment=grid", "hydra.sweep.dir=out"]
    done = command("app.py", "-m", *words, cwd=folder)
    assert "seed 2 is unlucky" in done.stderr
    return folder / "out"


def test_expansion_is_what_hydra_ran(hydra_sweep: Path) -> None:
    plan = yaml.safe_load((hydra_sweep / "multirun.yaml").read_text())["hydra"]
    jobs = expand_sweep(plan["overrides"]["task"], plan["sweeper"]["params"])
    assert len(jobs) == 6
    for number, job in enumerate(jobs):
        recorded = hydra_sweep / str(number) / ".hydra" / "overrides.yaml"
        assert list(job) == yaml.safe_load(recorded.read_text())


def test_jobs_that_left_no_folder_are_listed(hydra_sweep: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    copy.mkdir()
    (copy / "multirun.yaml").write_bytes((hydra_sweep / "multirun.yaml").read_bytes())
    runs = collect(copy, expand_sweep).runs
    assert [run.state for run in runs] == [State.MISSING] * 6
    assert runs[5].overrides == ("seed=2", "ratio=0.2", "layers=[1,2]", "+experiment=grid")


@pytest.mark.parametrize("line", ["mask=(((", "a=range(0,1000000)", "seed=interval(0,1)", "x"])
def test_lines_that_cannot_be_expanded_are_an_error(line: str) -> None:
    with pytest.raises(CryofixError):
        expand_sweep([line], {})


def test_lines_replace_the_params_of_an_experiment() -> None:
    assert expand_sweep(["seed=7"], {"seed": "0,1", "ratio": "0.1"}) == [("seed=7", "ratio=0.1")]


def test_the_command_prints_and_writes(sweep: Any, tmp_path: Path) -> None:
    sweep.grid([("symmetric", {"threshold": 0.6})], (0.05,), (0, 1))
    sweep.plan(["mask=symmetric", "mask.threshold=0.6", "ratio=0.05", "seed=0,1,2"])
    done = command("-m", "cryofix.report", f"sweep={sweep.path}", "output=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 finished, 1 missing" in done.stdout
    assert "mask=symmetric mask.threshold=0.6 ratio=0.05" in " ".join(done.stdout.split())
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["gains.png", "report.csv", "report.html", "report.md", "runs.csv"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "2026-01-31") == ["out"]


def test_watching_ends_with_the_last_job(sweep: Any, make_results: Any, tmp_path: Path) -> None:
    result = make_results("none", 0.05, 0)
    folder = sweep.run("0", ["mask=none"], result, {"state": "running"})
    words = [sys.executable, "-m", "cryofix.report", f"sweep={sweep.path}", f"output={tmp_path}"]
    watching = subprocess.Popen(
        [*words, "watch=true", "every_seconds=0.2"], stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until((tmp_path / "report.md").exists)
        assert "1 running" in (tmp_path / "report.md").read_text()
        assert watching.poll() is None
        (folder / "status.json").write_text(json.dumps({"state": "finished"}))
        printed, _ = watching.communicate(timeout=60)
    finally:
        watching.kill()
        watching.wait()
    assert watching.returncode == 0
    assert "1 finished" in printed
    assert "1 finished" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "sweep has no default"),
        (("sweep=nowhere",), "no sweep folder at sweep='nowhere'"),
        (("sweep=.", "metric=f7"), "holds no run"),
    ],
)
def test_mistakes_are_one_sentence(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = command("-m", "cryofix.report", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
