"""Many micrographs: which, in what order, and what happens to those that cannot be picked."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cryofix.errors import CryofixError
from cryofix.picking import jobs as jobs_module
from cryofix.picking.jobs import Outcome, Work, choose_device, choose_workers, run_jobs
from cryofix.picking.micrographs import Picked, pick_micrograph
from cryofix.picking.picked import is_finished, read_result
from cryofix.picking.planning import find_all, plan_jobs
from disc_finder import DiesOnWideImages, DiscFinder, draw, recipe
from support import wait_until

SHAPE = (120, 160)


def work(**changes: object) -> Work:
    settings: dict[str, object] = {
        "build": DiscFinder,
        "recipe": recipe(),
        "key": "key",
        "threshold": 0.5,
        "device": "cpu",
        "threads": 1,
        **changes,
    }
    return Work(**settings)  # type: ignore[arg-type]  # names and types as in Work


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for name in ("b/two.mrc", "a/one.mrc", "a/deep er/three.mrc"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        draw(tmp_path / "raw" / name, SHAPE, count=2)
    return tmp_path / "raw"


def test_subfolders_are_kept_and_every_file_comes_once(raw: Path, tmp_path: Path) -> None:
    patterns = [f"{raw}/**/*.mrc", str(raw / "a"), str(raw / "a" / ".." / "b" / "two.mrc")]
    jobs, root = plan_jobs(find_all(patterns), tmp_path / "results")
    assert root == raw
    assert [job.name for job in jobs] == ["a/deep er/three.mrc", "a/one.mrc", "b/two.mrc"]
    assert jobs[0].result.name == "three.mrc.npz"
    alone, _ = plan_jobs(find_all([str(raw / "a" / "deep er")]), tmp_path / "results")
    assert alone[0].name == "three.mrc"
    assert alone[0].result == jobs[0].result, "what another pattern found is not picked again"
    assert all(job.source.is_absolute() and ".." not in job.source.parts for job in jobs)


def test_links_keep_their_own_names(raw: Path, tmp_path: Path) -> None:
    """RELION's projects hold links to the micrographs, and know them by the links' names."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "Micrographs").symlink_to(raw / "a")
    jobs, root = plan_jobs(find_all([f"{project}/Micrographs/*.mrc"]), tmp_path / "results")
    assert root == project / "Micrographs"
    assert jobs[0].source == project / "Micrographs" / "one.mrc"


def test_nothing_found_is_an_error_that_names_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(CryofixError, match="nothing-here"):
        plan_jobs(find_all([f"{tmp_path}/nothing-here/*.mrc"]), tmp_path)
    with pytest.raises(CryofixError, match="micrographs="):
        plan_jobs(find_all([]), tmp_path)


def test_a_bad_file_does_not_stop_the_others(raw: Path, tmp_path: Path) -> None:
    (raw / "a" / "bad.mrc").write_bytes((raw / "a" / "one.mrc").read_bytes()[:2000])
    jobs, _ = plan_jobs(find_all([f"{raw}/**/*.mrc"]), tmp_path / "results")
    outcomes = {outcome.job.name: outcome for outcome in run_jobs(jobs, work(), 1)}
    assert len(outcomes) == 4
    bad = outcomes.pop("a/bad.mrc")
    assert bad.error is not None
    assert "bad.mrc is truncated" in bad.error
    assert not bad.job.result.exists()
    for outcome in outcomes.values():
        assert outcome.error is None
        assert outcome.picks == 2
        assert is_finished(outcome.job, "key")
        assert len(read_result(outcome.job).particles) >= 2


def test_a_file_that_changes_while_it_is_picked_is_not_finished(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,), _ = plan_jobs(find_all([str(raw / "b")]), tmp_path / "results")

    def pick_and_change(network: Any, path: Path, *rest: Any) -> Picked:
        picked = pick_micrograph(network, path, *rest)
        draw(path, SHAPE, count=3)
        return picked

    with monkeypatch.context() as patched:
        patched.setattr(jobs_module, "pick_micrograph", pick_and_change)
        (outcome,) = run_jobs([job], work(), 1)
    assert outcome.picks == 2
    assert not is_finished(job, "key")
    (outcome,) = run_jobs([job], work(), 1)
    assert outcome.picks == 3
    assert is_finished(job, "key")


def test_an_error_nobody_thought_of_is_reported_with_its_file(raw: Path, tmp_path: Path) -> None:
    class Broken(DiscFinder):
        def forward(self, images: object) -> object:  # type: ignore[override]  # breaks on purpose
            raise ArithmeticError("no such luck")

    jobs, _ = plan_jobs(find_all([str(raw / "b")]), tmp_path / "results")
    (outcome,) = run_jobs(jobs, work(build=Broken), 1)
    assert outcome.error == f"{raw}/b/two.mrc could not be picked (ArithmeticError: no such luck)"


@pytest.mark.slow
def test_processes_find_what_one_process_finds(raw: Path, tmp_path: Path) -> None:
    results = {}
    for workers in (1, 2):
        jobs, _ = plan_jobs(find_all([f"{raw}/**/*.mrc"]), tmp_path / f"results{workers}")
        outcomes = list(run_jobs(jobs, work(), workers))
        assert {outcome.job for outcome in outcomes} == set(jobs)
        results[workers] = [read_result(job).particles.x.tolist() for job in jobs]
    assert results[1] == results[2]


@pytest.mark.slow
def test_a_process_that_dies_takes_only_its_own_micrograph_along(raw: Path, tmp_path: Path) -> None:
    draw(raw / "a" / "wide.mrc", (120, 400), count=2)
    jobs, _ = plan_jobs(find_all([f"{raw}/**/*.mrc"]), tmp_path / "results")
    outcomes: dict[str, Outcome] = {}
    for outcome in run_jobs(jobs, work(build=DiesOnWideImages), 2):
        assert outcome.job.name not in outcomes, "said twice"
        outcomes[outcome.job.name] = outcome
    failed = {name for name, outcome in outcomes.items() if outcome.error is not None}
    assert failed == {"a/wide.mrc"}
    assert len(outcomes) == 4
    assert "memory" in str(outcomes["a/wide.mrc"].error)


PICK_ALL = """
from pathlib import Path

from cryofix.picking.jobs import run_jobs
from cryofix.picking.planning import find_all, plan_jobs
from test_jobs import work

if __name__ == "__main__":
    jobs, _ = plan_jobs(find_all(["raw"]), Path("results"))
    for outcome in run_jobs(jobs, work(), 2):
        print(outcome.job.name, flush=True)
"""


@pytest.mark.slow
def test_no_process_outlives_a_run_that_is_killed(tmp_path: Path) -> None:
    draw(tmp_path / "raw" / "0.mrc", SHAPE, count=2)
    for index in range(1, 2000):  # more than can be picked meanwhile
        (tmp_path / "raw" / f"{index}.mrc").symlink_to("0.mrc")
    (tmp_path / "pick_all.py").write_text(PICK_ALL)
    folders = [Path(__file__).parent, Path(__file__).parents[1]]
    with subprocess.Popen(
        [sys.executable, "pick_all.py"],
        cwd=tmp_path,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() != ""
        started = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        assert len(started) >= 2
        run.kill()
    wait_until(lambda: not any(Path("/proc", process).exists() for process in started))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_a_process_has_started(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """One that is interrupted while it gets its work would print a traceback of its own."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    class Starting(ProcessPoolExecutor):
        started = False

        def submit(self, *_: object, **__: object) -> Future[Any]:
            os.kill(os.getpid(), number)
            time.sleep(0.01)  # a signal that is not held back arrives here
            Starting.started = True
            return Future()

    monkeypatch.setattr(jobs_module, "ProcessPoolExecutor", Starting)
    before = signal.signal(number, stop)
    try:
        jobs, _ = plan_jobs(find_all([f"{raw}/**/*.mrc"]), tmp_path / "results")
        with pytest.raises(KeyboardInterrupt):
            next(run_jobs(jobs, work(), 2))
        assert Starting.started
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)


def test_workers_and_threads_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16))
    assert choose_workers(None, 100) == (8, 2)
    assert choose_workers(None, 2) == (1, 16), "starting processes costs more than it saves"
    assert choose_workers(3, 100) == (3, 5)
    assert choose_workers(5, 2) == (2, 8)
    for wrong in (0, -1, 1.5):
        with pytest.raises(CryofixError, match=f"workers={wrong}"):
            choose_workers(wrong, 10)


def test_a_gpu_is_taken_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device(None) == "cuda"
    assert choose_device("cpu") == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device(None) == "cpu"
    with pytest.raises(CryofixError, match="device=cuda is not there"):
        choose_device("cuda")
    with pytest.raises(CryofixError, match="device=abacus is not known"):
        choose_device("abacus")
