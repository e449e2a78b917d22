"""How each state of a run folder on disk is told, and that nothing in one is fatal."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cryofix.errors import CryofixError
from cryofix.sweeps.collect import collect
from cryofix.sweeps.runs import Run, State, natural_key

FINISHED = {"state": "finished", "error": None}


def states(folder: Path) -> dict[str, State]:
    return {run.name: run.state for run in collect(folder).runs}


def only(folder: Path) -> Run:
    (run,) = collect(folder).runs
    return run


def test_a_finished_run_is_read_with_its_overrides(sweep: Any, make_results: Any) -> None:
    sweep.finished("0", make_results("symmetric", 0.05, 3, threshold=0.6))
    run = only(sweep.path)
    assert run.state is State.FINISHED
    assert run.overrides == ("mask=symmetric", "mask.threshold=0.6", "ratio=0.05", "seed=3")
    assert run.result is not None
    assert tuple(run.result[key] for key in ("mask", "ratio", "seed")) == ("symmetric", 0.05, 3)


def test_runs_are_found_at_any_depth_and_sorted_by_number(sweep: Any, make_results: Any) -> None:
    for seed, name in enumerate(("a/10", "a/9", "b/deep/0")):
        sweep.finished(name, make_results("none", 0.05, seed))
        (sweep.path / name / "checkpoints" / ".hydra").mkdir(parents=True)
    found = [run.name for run in collect(sweep.path.parent).runs]
    assert found == ["12-00-00/a/9", "12-00-00/a/10", "12-00-00/b/deep/0"]


def test_a_failed_run_gives_its_message_and_the_traceback(sweep: Any) -> None:
    trace = 'Traceback (most recent call last):\n  File "x.py"\nValueError: bad\nworse'
    status = {"state": "failed", "error": "bad\nworse", "traceback": trace}
    sweep.run("0", ["ratio=0"], None, status)
    run = only(sweep.path)
    assert (run.state, run.reason) == (State.FAILED, "bad")
    assert run.detail == trace


def test_an_error_that_is_a_traceback_is_told_by_its_last_line(sweep: Any) -> None:
    trace = "Traceback (most recent call last):\nValueError: bad"
    sweep.run("0", [], None, {"state": "failed", "error": trace})
    assert only(sweep.path).reason == "ValueError: bad"


def test_results_of_a_run_that_then_failed_do_not_count(sweep: Any, make_results: Any) -> None:
    result = make_results("none", 0.05, 0)
    sweep.run("0", ["mask=none"], result, {"state": "failed", "error": "disk full"})
    assert only(sweep.path).state is State.FAILED
    assert not collect(sweep.path).finished


def test_a_running_job_is_stalled_once_it_is_silent(sweep: Any) -> None:
    folder = sweep.run("0", ["seed=0"], None, {"state": "running"})
    assert only(sweep.path).state is State.RUNNING
    long_ago = time.time() - 2 * 3600
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (long_ago, long_ago))
    run = only(sweep.path)
    assert run.state is State.STALLED
    assert "120 min" in run.reason
    assert collect(sweep.path, stalled_after_minutes=180).runs[0].state is State.RUNNING


def test_a_job_that_waits_for_stages_which_another_trains_is_not_stalled(sweep: Any) -> None:
    status = {"state": "running", "stages": "../stages/0a1b"}
    folder = sweep.run("0", ["seed=0"], None, status)
    long_ago = time.time() - 2 * 3600
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (long_ago, long_ago))
    (sweep.path / "stages" / "another" / "burn_in").mkdir(parents=True)
    assert only(sweep.path).state is State.STALLED
    trained = sweep.path / "stages" / "0a1b" / "burn_in"
    trained.mkdir(parents=True)
    assert only(sweep.path).state is State.RUNNING
    os.utime(trained, (long_ago, long_ago))
    assert only(sweep.path).state is State.STALLED


def test_folders_of_other_commands_are_no_runs(sweep: Any, make_results: Any) -> None:
    sweep.finished("0", make_results("none", 0.05, 0))
    for name, job in (("scored", "evaluate"), ("begun", "train")):
        hydra = sweep.path / name / ".hydra"
        hydra.mkdir(parents=True)
        (hydra / "hydra.yaml").write_text(f"hydra: {{job: {{config_name: {job}}}}}\n")
    assert states(sweep.path) == {"0": State.FINISHED, "begun": State.MISSING}


def test_a_job_back_in_the_queue_is_requeued_however_long_it_waits(sweep: Any) -> None:
    status = {"state": "requeued", "error": "out of time"}
    folder = sweep.run("0", ["seed=0"], None, status, job_id="17_0")
    long_ago = time.time() - 48 * 3600
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (long_ago, long_ago))
    run = only(sweep.path)
    assert (run.state, run.reason) == (State.REQUEUED, "out of time")
    assert not collect(sweep.path).over


def test_a_running_job_that_submitit_saw_end_has_failed(sweep: Any) -> None:
    sweep.run("0", ["seed=0"], None, {"state": "running"}, job_id="17_0")
    log = sweep.submitit_log("17_0", "slurmstepd: error: Detected 1 oom_kill event\n")
    run = only(sweep.path)
    assert run.state is State.FAILED
    assert run.log == log
    assert "oom_kill" in run.detail


def test_the_runs_own_log_stands_in_for_an_empty_job_log(sweep: Any) -> None:
    folder = sweep.run("0", ["seed=0"], None, {"state": "failed", "error": "bad"}, job_id="17")
    sweep.submitit_log("17", "")
    (folder / "train.log").write_text("  ValueError: bad\n\x1b[0m")
    run = only(sweep.path)
    assert run.log == folder / "train.log"
    assert run.detail == "  ValueError: bad\n[0m"


def test_a_folder_without_status_and_results_is_missing(sweep: Any) -> None:
    sweep.run("0", ["seed=0"])
    assert only(sweep.path).state is State.MISSING


def test_a_job_of_which_submitit_saw_the_end_is_not_waited_for(sweep: Any) -> None:
    sweep.run("0", ["seed=0"], job_id="17")
    sweep.submitit_log("17", "killed", ended=False)
    assert only(sweep.path).state is State.MISSING, "still to begin, for all that is known"
    (sweep.path / ".submitit" / "17" / "17_0_result.pkl").touch()
    assert only(sweep.path).state is State.FAILED


def test_results_without_a_status_file_do_not_count(sweep: Any, make_results: Any) -> None:
    (sweep.path / "old").mkdir()
    (sweep.path / "old" / "results.json").write_text(json.dumps(make_results("none", 0.1, 0)))
    run = only(sweep.path)
    assert (run.state, run.reason) == (State.MISSING, "begun, but wrote no status.json")


def test_a_finished_status_without_results_is_missing(sweep: Any) -> None:
    sweep.run("0", ["seed=0"], None, FINISHED)
    run = only(sweep.path)
    assert (run.state, run.reason) == (State.MISSING, "no results.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"schema": 1, "mask": "symm', "not valid JSON"),
        ("", "not valid JSON"),
        ("[1, 2]", "holds a list"),
        ("null", "holds a NoneType"),
        ("{}", "no usable value for 'mask'"),
        ('{"mask": "none"}', "no usable value for 'ratio'"),
        ('{"mask": "none", "ratio": NaN}', "no usable value for 'ratio'"),
        ('{"mask": "none", "ratio": 1e999}', "no usable value for 'ratio'"),
        ('{"mask": "none", "ratio": true}', "no usable value for 'ratio'"),
        ('{"mask": "none", "ratio": 7}', "no usable value for 'ratio'"),
        ('{"mask": ["none"], "ratio": 0.1}', "no usable value for 'mask'"),
        ('{"mask": "none", "ratio": 0.1, "fixmatch": "high"}', "no usable value for 'fixmatch'"),
        ('{"mask": "none", "ratio": 0.1, "fixmatch": {"pixel": {"f1": 37}}}', "'fixmatch'"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"ratio": ' + "9" * 10_000 + "}", "not valid JSON"),
        ('{"pad": "' + "x" * (5 * 2**20) + '"}', "more than 4 MB"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "not valid JSON"),
    ],
)
def test_hostile_results_are_listed_with_a_reason(sweep: Any, content: str, reason: str) -> None:
    sweep.run("0", ["seed=0"], content, FINISHED)
    run = only(sweep.path)
    assert run.state is State.UNREADABLE
    assert reason in run.reason


def test_a_named_pipe_for_results_does_not_block(sweep: Any) -> None:
    folder = sweep.run("0", ["seed=0"], None, FINISHED)
    os.mkfifo(folder / "results.json")
    run = only(sweep.path)
    assert run.state is State.UNREADABLE
    assert "not a regular file" in run.reason


@pytest.mark.parametrize(
    "status", ['{"state": "sleeping"}', '{"state": ["running"]}', "oops", "[]", "\x00"]
)
def test_a_status_that_cannot_be_understood_is_listed(sweep: Any, status: str) -> None:
    folder = sweep.run("0", ["seed=0"])
    (folder / "status.json").write_text(status)
    assert only(sweep.path).state is State.UNREADABLE


@pytest.mark.parametrize(
    "yaml",
    [
        "{a: b}",
        "[[[",
        "- 1\n- {x: y}",
        "!!python/object:os.system x",
        '- !!int ""',
        "- !!timestamp x",
        "- !!bool x",
        "[" * 100_000,
        "{a: " * 100_000,
    ],
    ids=range(9),
)
def test_unusual_overrides_do_not_hide_a_result(sweep: Any, make_results: Any, yaml: str) -> None:
    folder = sweep.finished("0", make_results("none", 0.1, 0))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml)
    assert only(sweep.path).state is State.FINISHED


def billion(merged: bool) -> str:
    """Return a few lines of YAML that stand for 10^9 values."""
    lines = ["a0: &a0 {k: v}"]
    for level in range(9):
        inner = ", ".join([f"*a{level}"] * 10)
        value = f"{{<<: [{inner}]}}" if merged else f"[{inner}]"
        lines.append(f"a{level + 1}: &a{level + 1} {value}")
    return "\n".join([*lines, "hydra: {sweeper: {params: {seed: *a9}}, overrides: {task: *a9}}"])


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    "name", ["multirun.yaml", "0/.hydra/overrides.yaml", "0/.hydra/hydra.yaml"]
)
def test_yaml_that_multiplies_itself_costs_nothing(
    sweep: Any, make_results: Any, name: str, merged: bool
) -> None:
    sweep.finished("0", make_results("none", 0.1, 0))
    (sweep.path / name).write_text(billion(merged))
    code = (
        "import resource, sys, pathlib\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (500 * 2**20,) * 2)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (10, 10))\n"
        "from cryofix.report import expand_sweep\n"
        "from cryofix.sweeps.collect import collect\n"
        "print(len(collect(pathlib.Path(sys.argv[1]), expand_sweep).finished))"
    )
    read = subprocess.run(
        [sys.executable, "-c", code, sweep.path], capture_output=True, text=True, check=False
    )
    assert read.stdout == "1\n", read.stderr


def test_a_job_may_replace_its_files_while_a_report_looks(sweep: Any) -> None:
    folder = sweep.run("0", ["seed=0"], None, {"state": "running"})
    for number in range(300):  # so that the look takes a moment
        (folder / f"{number}.png").touch()
    code = (
        "import pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "while True:\n"
        "    new = folder / '.status.json.tmp'\n"
        '    new.write_text(\'{"state": "running"}\')\n'
        "    new.replace(folder / 'status.json')"
    )
    job = subprocess.Popen([sys.executable, "-c", code, folder])
    try:
        seen = {only(sweep.path).state for _ in range(200)}
    finally:
        job.kill()
        job.wait()
    assert seen == {State.RUNNING}


def test_control_characters_and_direction_marks_are_dropped(sweep: Any, make_results: Any) -> None:
    result = make_results("none", 0.1, 0)
    result["mask"] = "\x1b[31mno\u202ene\x07\n"
    sweep.run("0", [], result, FINISHED)
    result_read = only(sweep.path).result
    assert result_read is not None
    assert result_read["mask"] == "[31mnone"


def test_a_folder_without_runs_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CryofixError, match="holds no run"):
        collect(tmp_path)
    with pytest.raises(CryofixError, match="There is no sweep folder"):
        collect(tmp_path / "nowhere")


def grid(lines: Sequence[str], params: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Stand in for Hydra's grammar: two ratios by two seeds."""
    return [(*lines, f"ratio={r}", f"seed={s}") for r in (0.1, 0.2) for s in (0, 1)]


def test_planned_jobs_without_a_folder_are_missing(sweep: Any) -> None:
    sweep.plan(["mask=none"])
    for number, (ratio, seed) in enumerate([(0.1, 0), (0.1, 1), (0.2, 0)]):
        overrides = ["mask=none", f"ratio={ratio}", f"seed={seed}"]
        sweep.run(str(number), overrides, None, {"state": "running"})
    runs = collect(sweep.path, grid).runs
    missing = [run for run in runs if run.state is State.MISSING]
    assert [(run.name, run.overrides) for run in missing] == [
        ("job 3", ("mask=none", "ratio=0.2", "seed=1"))
    ]
    assert missing[0].reason == "not started"


def test_a_job_that_died_before_its_folder_shows_its_log(sweep: Any) -> None:
    sweep.plan([])
    sweep.submitit_log("40_3", "ImportError: libcuda.so.1")
    run = next(run for run in collect(sweep.path, grid).runs if run.name == "job 3")
    assert (run.state, run.reason) == (State.FAILED, "left a log, but no run folder")
    assert "libcuda" in run.detail


def test_a_plan_that_cannot_be_expanded_is_a_note(sweep: Any, make_results: Any) -> None:
    def refuse(lines: Sequence[str], params: Mapping[str, str]) -> list[tuple[str, ...]]:
        raise CryofixError("glob is not known here")

    sweep.plan(["mask=glob(*)"])
    sweep.finished("0", make_results("none", 0.1, 0))
    found = collect(sweep.path, refuse)
    assert len(found.runs) == 1
    assert "glob is not known here" in found.notes[0]


def test_a_rerun_makes_a_failure_good_and_counts_once(sweep: Any, make_results: Any) -> None:
    result = make_results("none", 0.1, 0)
    first = sweep.finished("first/0", result)
    sweep.finished("second/0", result)
    os.utime(first / "results.json", (1, 1))
    overrides = ["mask=none", "ratio=0.1", "seed=0"]
    sweep.run("third/0", overrides, None, {"state": "failed", "error": "node lost"})
    found = collect(sweep.path)
    assert [run.name for run in found.runs] == ["second/0"]
    assert len(found.notes) == 2


def test_a_run_goes_by_what_trained_it_and_not_by_a_start_that_was_refused(
    sweep: Any, make_results: Any
) -> None:
    typed = ["mask=none", "seed=0", "data.never_scored=[" + ",".join(["x" * 40] * 30) + "]"]
    status = {"state": "finished", "overrides": typed}
    sweep.run("0", ["mask=none", "seed=0", "ratio=0.9"], make_results("none", 0.1, 0), status)
    assert only(sweep.path).overrides == tuple(typed)


def test_a_sweep_that_goes_on_with_more_workers_misses_no_finished_job(
    sweep: Any, make_results: Any
) -> None:
    sweep.plan(["mask=none", "data.workers=4"])
    for number, (ratio, seed) in enumerate([(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]):
        sweep.finished(str(number), make_results("none", ratio, seed))
    assert {run.state for run in collect(sweep.path, grid).runs} == {State.FINISHED}


def test_the_same_training_in_two_folders_counts_once(sweep: Any, make_results: Any) -> None:
    for name in ("a", "b"):
        overrides = ["seed=0", f"output=/runs/{name}", f"cache=/{name}"]
        sweep.run(name, overrides, make_results("none", 0.1, 0), {"state": "finished"})
    found = collect(sweep.path)
    assert len(found.runs) == len(found.notes) == 1


def test_natural_order_reads_numbers() -> None:
    assert sorted(["10", "9", "0.1", "0.05", "b2", "b10"], key=natural_key) == [
        "0.05",
        "0.1",
        "9",
        "10",
        "b2",
        "b10",
    ]


@pytest.mark.parametrize("over", [True, False])
def test_a_sweep_is_over_when_nothing_runs(
    sweep: Any, make_results: Callable[..., dict[str, Any]], over: bool
) -> None:
    sweep.finished("0", make_results("none", 0.1, 0))
    sweep.run("1", ["seed=9"], None, {"state": "failed" if over else "running", "error": "x"})
    assert collect(sweep.path).over is over
