"""The cluster of the fixture works, and hydra/launcher=slurm sends a sweep through it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cryofix.config import config_folder
from cryofix.report import expand_sweep
from cryofix.sweeps.collect import collect
from cryofix.sweeps.runs import State

pytestmark = pytest.mark.slow

APP = """
import json, os, time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    folder = Path(HydraConfig.get().runtime.output_dir)
    status = folder / "status.json"
    status.write_text(json.dumps({"state": "running"}))
    if config.seed == config.unlucky:
        error = f"seed {config.seed} is unlucky"
        status.write_text(json.dumps({"state": "failed", "error": error}))
        raise ValueError(error)
    starts = folder / "starts"
    with starts.open("a") as stream:
        stream.write(os.environ["SLURM_JOB_ID"] + "\\n")
    first = len(starts.read_text().splitlines()) == 1
    time.sleep(60 if first and config.wait else 0)
    scores = {"particle": {"f1": 0.5 + 0.01 * config.seed}}
    results = {"schema": 1, "mask": "none", "ratio": 0.1, "seed": config.seed, "data": "tiny",
               "supervised": scores, "fixmatch": scores}
    (folder / "results.json").write_text(json.dumps(results))
    status.write_text(json.dumps({"state": "finished"}))

main()
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Write a Hydra program that has cryofix's launchers and leaves cryofix's files."""
    (tmp_path / "app.py").write_text(APP)
    launchers = tmp_path / "conf" / "hydra" / "launcher"
    shutil.copytree(config_folder() / "hydra" / "launcher", launchers)
    (tmp_path / "conf" / "config.yaml").write_text("{seed: 0, unlucky: -1, wait: false}\n")
    return tmp_path


def sweep(slurm: Any, app: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "app.py", "-m", "hydra/launcher=slurm", "hydra.sweep.dir=out"]
    command += ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
    return subprocess.Popen(
        [*command, *words],
        cwd=app,
        env=dict(slurm.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_an_array_of_shell_jobs_runs(slurm: Any, tmp_path: Path) -> None:
    script = "echo element $SLURM_ARRAY_TASK_ID"
    slurm.run("sbatch", "--array=0-2", "--output=%a.txt", f"--wrap={script}", cwd=tmp_path)
    slurm.wait_until_idle()
    written = [(tmp_path / f"{index}.txt").read_text() for index in range(3)]
    assert written == [f"element {index}\n" for index in range(3)]


def test_a_sweep_runs_as_one_array_and_is_reported(slurm: Any, app: Path) -> None:
    launched = sweep(slurm, app, "seed=0,1,2", "+hydra.launcher.additional_parameters.nice=7")
    printed, _ = launched.communicate(timeout=180)
    assert launched.returncode == 0, printed
    found = collect(app / "out", expand_sweep)
    assert [run.state for run in found.runs] == [State.FINISHED] * 3
    jobs = {(app / "out" / str(n) / "starts").read_text().strip() for n in range(3)}
    folders = [path.name for path in (app / "out" / ".submitit").glob("[0-9]*")]
    assert len(jobs) == 3
    assert len({name.split("_")[0] for name in folders}) == 1, "one array, not three jobs"
    script = next((app / "out" / ".submitit").rglob("*.sh")).read_text()
    assert "#SBATCH --array=0-2%3" in script
    assert "#SBATCH --nice=7" in script


def test_a_failed_job_is_seen_and_the_rest_goes_on(slurm: Any, app: Path) -> None:
    launched = sweep(slurm, app, "seed=0,1,2", "unlucky=1")
    printed, _ = launched.communicate(timeout=180)
    assert launched.returncode != 0
    assert "seed 1 is unlucky" in printed
    found = collect(app / "out", expand_sweep)
    assert [run.state for run in found.runs] == [State.FINISHED, State.FAILED, State.FINISHED]
    assert found.runs[1].reason == "seed 1 is unlucky"


def test_a_limit_within_the_delay_is_refused(slurm: Any, app: Path) -> None:
    """SLURM would signal each start at once, before the job can hear it (seen in CI)."""
    launched = sweep(slurm, app, "seed=0", "hydra.launcher.timeout_min=3")
    printed, _ = launched.communicate(timeout=60)
    assert launched.returncode != 0
    assert "hydra.launcher.timeout_min=3: SLURM would tell a job" in printed
    assert "give at least 5 minutes" in printed
    assert not slurm.jobs()


def test_a_job_at_its_time_limit_requeues_into_the_same_folder(slurm: Any, app: Path) -> None:
    launched = sweep(slurm, app, "seed=5", "wait=true")
    starts = app / "out" / "0" / "starts"
    slurm.wait(starts.exists, 90, "the job to start")
    (job,) = slurm.jobs()
    slurm.run("scancel", "--signal=USR2", job)
    slurm.wait(lambda: len(starts.read_text().split()) == 2, 120, "the job to start again")
    printed, _ = launched.communicate(timeout=120)
    assert launched.returncode == 0, printed
    assert set(starts.read_text().split()) == {job}, "the same job, twice"
    results = json.loads((app / "out" / "0" / "results.json").read_text())
    assert results["seed"] == 5
    assert [run.state for run in collect(app / "out").runs] == [State.FINISHED]
