"""Finding the runs of a sweep on disk and saying how each one stands."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.sweeps.reading import (
    Unreadable,
    last_change,
    lines,
    mapping,
    override_lines,
    read_json,
    read_yaml,
    tail,
    text,
)
from cryofix.sweeps.run_results import Result, read_run_result

_LEAVES = {"checkpoints", "figures", "tensorboard", "stages"}  # folders that hold no runs


class State(Enum):
    """How a job of the sweep stands; only finished ones are counted in the statistics."""

    FINISHED = "finished"
    FAILED = "failed"
    RUNNING = "running"
    REQUEUED = "requeued"  # preempted or out of time, and back in the scheduler's queue
    STOPPED = "stopped"  # by a person or the scheduler; goes on when it is started again
    STALLED = "stalled"  # says that it runs, but nothing has been written for long
    UNREADABLE = "unreadable"  # its results cannot be read
    MISSING = "missing"  # planned, or begun, without a result

    @property
    def over(self) -> bool:
        """Whether waiting will change nothing."""
        return self not in {State.RUNNING, State.REQUEUED, State.MISSING}


_WITHOUT_TRACEBACK = {State.RUNNING, State.REQUEUED, State.STOPPED}


@dataclass(frozen=True)
class Run:
    """One job of a sweep: its folder (if it has one), its state, and its result (if finished)."""

    name: str
    """Folder relative to the sweep, or "job 7" for one without a folder."""
    folder: Path | None
    state: State
    overrides: tuple[str, ...] = ()
    result: Result | None = None
    reason: str = ""
    """One line: why there is no result."""
    detail: str = ""
    """The end of the traceback or log."""
    log: Path | None = None


def find_folders(sweep: Path) -> tuple[list[Path], list[Path]]:
    """Return the run folders and the folders with a ``multirun.yaml``, at any depth.

    A run folder has ``status.json``, ``results.json``, or ``.hydra/`` of a training; what lies
    inside one is not searched, unless it is ``sweep`` itself. Links to folders are not followed.

    Raises CryofixError: ``sweep`` is not a folder.
    """
    if not sweep.is_dir():
        raise CryofixError(
            f"There is no sweep folder at sweep='{sweep}'; give the folder that "
            "'cryofix.train -m' printed, for example multirun/2026-01-31/12-00-00."
        )
    runs, plans = [], []
    for where, folders, files in os.walk(sweep):
        here = Path(where)
        if "multirun.yaml" in files:
            plans.append(here)
        is_run = "status.json" in files or "results.json" in files
        if ".hydra" in folders and not is_run:  # begun by Hydra, perhaps for another command
            is_run = _job(here).get("config_name", "train") == "train"
        if is_run:
            runs.append(here)
        descend = not is_run or here == sweep
        folders[:] = sorted(
            name for name in folders if descend and name[0] != "." and name not in _LEAVES
        )
    return sorted(runs, key=lambda path: natural_key(str(path))), sorted(plans)


def natural_key(name: str) -> tuple[tuple[int, float, str], ...]:
    """Return a sorting key under which run 10 comes after run 9, and 0.05 before 0.1."""
    pieces: Iterator[str] = (piece for piece in re.split(r"(\d+(?:\.\d+)?)", name) if piece)
    return tuple((0, float(p), "") if p[0].isdecimal() else (1, 0.0, p) for p in pieces)


def read_run(folder: Path, sweep: Path, stalled_after_minutes: float) -> Run:
    """Read one run folder; whatever is wrong with it becomes a state and a reason."""
    name = text(folder.relative_to(sweep).as_posix())
    state, reason, detail = _status(folder, stalled_after_minutes)
    log = result = None
    if state is State.FINISHED:
        try:
            result = read_run_result(folder / "results.json")
        except Unreadable as error:
            state, reason = State.UNREADABLE, str(error)
            if not (folder / "results.json").exists():
                state, reason = State.MISSING, "no results.json"
    if state is not State.FINISHED:
        job_log = _job_log(folder, sweep)
        ended = job_log is not None and job_ended(job_log)
        if ended and state not in {State.FAILED, State.STOPPED, State.UNREADABLE}:
            state, reason = State.FAILED, "its job has ended without a result"
        # Hydra keeps exceptions from the job's own log, so that it is often empty.
        logs = [job_log] if job_log is not None else []
        logs += sorted(folder.glob("*.log"))
        log = next((path for path in logs if tail(path)), None)
        if log is not None and not detail and state not in _WITHOUT_TRACEBACK:
            detail = tail(log)
    return Run(name, folder, state, _overrides_of(folder), result, reason, detail, log)


def _overrides_of(folder: Path) -> tuple[str, ...]:
    """Return what a run was started with, and not what was typed for a start that was refused."""
    with suppress(Unreadable):
        if typed := override_lines(read_json(folder / "status.json").get("overrides")):
            return tuple(typed)
    with suppress(Unreadable):
        return tuple(override_lines(read_yaml(folder / ".hydra" / "overrides.yaml")))
    return ()


def job_ended(log: Path) -> bool:
    """Say whether submitit has seen the job of this log end (a requeued job has not)."""
    return any(log.parent.glob("*_result.pkl"))


def _status(folder: Path, stalled_after_minutes: float) -> tuple[State, str, str]:
    """Return the state that ``status.json`` claims, a reason and the end of the traceback."""
    path = folder / "status.json"
    if not path.exists():
        return State.MISSING, "begun, but wrote no status.json", ""
    try:
        status = read_json(path)
    except Unreadable as error:
        return State.UNREADABLE, str(error), ""
    claimed = status.get("state")
    if claimed == "finished":
        return State.FINISHED, "", ""
    if claimed == "failed":
        message, trace = lines(status.get("error")), lines(status.get("traceback"))
        said = [line for line in message.splitlines() if line]
        if not said:
            return State.FAILED, "failed without a message", trace
        # A message begins with what matters; a traceback ends with it.
        told = said[-1] if said[0].startswith("Traceback") else said[0]
        return State.FAILED, text(told, 300), trace or (message if len(said) > 1 else "")
    if claimed in ("requeued", "stopped"):
        return State(claimed), text(status.get("error"), 300), ""
    if claimed == "running":
        # Of the folder, of the two upper levels of what is in it, and of the stages that it shares
        # with other jobs: it writes nothing while it waits for another to train them.
        places = [folder, *folder.glob("*"), *folder.glob("*/*")]
        if stages := text(status.get("stages"), 500):
            places += (folder / stages).glob("*")
        changes = map(last_change, places)
        silent = (time.time() - max(changes)) / 60
        if silent > stalled_after_minutes:
            return State.STALLED, f"says running, but wrote nothing for {silent:.0f} min", ""
        return State.RUNNING, "", ""
    return State.UNREADABLE, f"status.json has the unknown state '{text(claimed, 40)}'", ""


def _job(folder: Path) -> Mapping[str, object]:
    """Return what Hydra wrote of a folder's job; nothing where that cannot be read."""
    try:
        config = mapping(read_yaml(folder / ".hydra" / "hydra.yaml"))
    except Unreadable:
        return {}
    return mapping(mapping(config.get("hydra")).get("job"))


def _job_log(folder: Path, sweep: Path) -> Path | None:
    """Return the error log that submitit keeps of this run's job, if there is one."""
    job_id = text(_job(folder).get("id"), 60)
    if not re.fullmatch(r"[0-9]+(_[0-9]+)?", job_id):
        return None
    for parent in folder.parents:
        log = parent / ".submitit" / job_id / f"{job_id}_0_log.err"
        if log.exists():
            return log
        if parent == sweep:
            return None
    return None
