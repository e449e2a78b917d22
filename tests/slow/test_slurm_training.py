"""Trainings on a real SLURM: shared stages, a failure, a requeue, several tasks."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cryofix.report import expand_sweep
from cryofix.sweeps.collect import collect
from cryofix.sweeps.runs import State
from support import SMALL, results

pytestmark = pytest.mark.slow

STEPS = (
    "steps={burn_in: 4, stage: 40, validate_every: 20, checkpoint_every: 2,"
    " log_every: 4, audit_every: 4}"
)
TRAINING = [*SMALL, STEPS, "ratio=0.5", "mask=class_aware"]
LAUNCHER = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
SCRIPT = re.compile(r"```bash\n(#!/bin/bash\n.*?)```", re.DOTALL)


def sweep(slurm: Any, folder: Path, words: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cryofix.train", *words],
        cwd=folder,
        env={**slurm.environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(launched: "subprocess.Popen[str]", seconds: float = 300) -> str:
    printed, _ = launched.communicate(timeout=seconds)
    assert launched.returncode == 0, printed
    return printed


def states(folder: Path) -> list[State]:
    return [run.state for run in collect(folder, expand_sweep).runs]


@pytest.fixture(scope="module")
def swept(slurm: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sweep over two masks and two seeds; one of the four jobs cannot write its checkpoints."""
    folder = tmp_path_factory.mktemp("sweep")
    blocked = folder / "out" / "2" / "checkpoints"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("no folder")
    words = ["-m", *TRAINING, "mask.particle_threshold=0.5,0.6", "seed=0,1", *LAUNCHER]
    launched = sweep(slurm, folder, [*words, "hydra.sweep.dir=out"])
    printed, _ = launched.communicate(timeout=500)
    assert launched.returncode != 0, printed
    return folder


def test_a_job_that_fails_is_reported_and_leaves_the_others_alone(swept: Path) -> None:
    done, gone = State.FINISHED, State.FAILED
    found = collect(swept / "out", expand_sweep)
    assert [run.state for run in found.runs] == [done, done, gone, done]
    assert "checkpoints" in found.runs[2].reason
    assert "Error" in found.runs[2].detail


def test_each_burn_in_and_control_is_trained_once(swept: Path) -> None:
    """Four jobs of two seeds: who trains a stage writes its TensorBoard events."""
    assert len(list((swept / "out" / "stages").iterdir())) == 2
    for stage in ("burn_in", "supervised"):
        events = list((swept / "out").glob(f"[0-9]/tensorboard/{stage}/events*"))
        assert len(events) == 2, stage
        seeds = [
            results(event.parents[2])["seed"] for event in events if event.parents[2].name != "2"
        ]
        assert len(set(seeds)) == len(seeds)
    control = {run: results(swept / "out" / run) for run in ("1", "3")}
    assert control["1"]["supervised"] == control["3"]["supervised"]


def test_the_sweep_again_runs_what_failed_and_nothing_else(slurm: Any, swept: Path) -> None:
    out = swept / "out"
    before = {path: path.stat().st_mtime_ns for path in out.glob("[0-9]/*.json")}
    jobs = set((out / ".submitit").glob("[0-9]*"))
    (out / "2" / "checkpoints").unlink()
    printed = finish(sweep(slurm, swept, ["resume_sweep=out", "hydra.launcher.mem_gb=2"]))
    assert "1 jobs to run, 3 finished before" in printed
    assert states(out) == [State.FINISHED] * 4
    assert len(set((out / ".submitit").glob("[0-9]*")) - jobs) == 1, "an array of one job"
    for path, written in before.items():
        if path.parent.name != "2":
            assert path.stat().st_mtime_ns == written, path
    printed = finish(sweep(slurm, swept, ["resume_sweep=out"]))
    assert "0 jobs to run, 4 finished before" in printed


def test_a_job_stopped_by_the_scheduler_ends_as_if_it_had_not_been(
    slurm: Any, swept: Path, tmp_path: Path
) -> None:
    words = ["-m", *TRAINING, "mask.particle_threshold=0.6", "seed=1", *LAUNCHER]
    launched = sweep(slurm, tmp_path, [*words, "hydra.sweep.dir=out"])
    run = tmp_path / "out" / "0"
    slurm.wait((run / "checkpoints/fixmatch/last.ckpt").exists, 200, "a checkpoint of FixMatch")
    (job,) = slurm.jobs()
    slurm.run("scancel", "--signal=USR2", job)
    slurm.wait(lambda: states(tmp_path / "out") == [State.REQUEUED], 60, "the job to be requeued")
    assert not (run / "results.json").exists(), "too late: it had ended"
    finish(launched)
    assert states(tmp_path / "out") == [State.FINISHED]
    assert results(run) == results(swept / "out" / "3")


def test_the_documented_script_trains_in_tasks_and_requeues_itself(
    slurm: Any, tmp_path: Path
) -> None:
    """docs/cluster.md's sbatch file, with CPUs for GPUs and one node for two."""
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    (script,) = SCRIPT.findall(text)
    for pattern, here in (
        (r"--nodes=2", "--nodes=1"),
        (r"--ntasks-per-node=4", "--ntasks-per-node=2"),
        (r"#SBATCH --gpus-per-node=4\n", ""),
        (r"--cpus-per-task=8", "--cpus-per-task=1"),
        (r"--mem=64G", "--mem=1G"),
        (r"source .*\n", ""),
        (r"export .*\n", "export OMP_NUM_THREADS=1\n"),
        (r"python -m", f"{shlex.quote(sys.executable)} -m"),
        (r"data=cryoppp .*ratio=0.05", "$ARGUMENTS"),
    ):
        script, changes = re.subn(pattern, lambda match, here=here: here, script)  # type: ignore[misc]  # mypy sees no default
        assert changes == 1, pattern
    arguments = [*TRAINING, "trainer=smoke", "model.norm=group", "+trainer.strategy=ddp"]
    script = script.replace("trainer=ddp ", "").replace(
        "$ARGUMENTS", shlex.join(word for word in arguments)
    )
    (tmp_path / "train.sbatch").write_text(script)
    submitted = slurm.run("sbatch", "--parsable", "train.sbatch", cwd=tmp_path)
    job = submitted.strip()
    run = tmp_path / "runs" / f"ddp-{job}"
    slurm.wait((run / "checkpoints/fixmatch/last.ckpt").exists, 200, "a checkpoint of FixMatch")
    slurm.run(
        "scancel", f"--signal={signal.SIGTERM.name[3:]}", job
    )  # to its steps, as at the limit
    slurm.wait_until_idle(300)
    log = (tmp_path / f"cryofix-{job}.log").read_text()
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "finished", log[-3000:]
    assert "stopped by SIGTERM at step" in log
    assert results(run)["environment"]["processes"] == 2
