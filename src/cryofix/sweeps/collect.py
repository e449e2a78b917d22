"""Everything known about a sweep: its runs, and the planned jobs that have left no trace."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.experiment.run_folder import has_effect
from cryofix.sweeps.reading import Unreadable, last_change, mapping, override_lines, planned, tail
from cryofix.sweeps.runs import Run, State, find_folders, job_ended, read_run
from cryofix.sweeps.varied import split_override

Expand = Callable[[Sequence[str], Mapping[str, str]], Sequence[Sequence[str]]]
"""From the override lines of a sweep, and its ``hydra.sweeper.params``, to those of each job.

It is passed in because only entry points know Hydra; it raises CryofixError for lines that it
cannot expand.
"""


@dataclass(frozen=True)
class Sweep:
    """All jobs of a sweep folder, in the order of their folders, planned-only ones last."""

    folder: Path
    runs: tuple[Run, ...]
    notes: tuple[str, ...]  # what the reader of the report has to know about completeness

    def count(self, state: State) -> int:
        """Return the number of jobs in this state."""
        return sum(run.state is state for run in self.runs)

    @property
    def finished(self) -> tuple[Run, ...]:
        """The runs whose results count."""
        return tuple(run for run in self.runs if run.state is State.FINISHED)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """The jobs that failed, are missing, or still run."""
        return tuple(run for run in self.runs if run.state is not State.FINISHED)

    @property
    def over(self) -> bool:
        """Whether no job is running or yet to come."""
        return all(run.state.over for run in self.runs)


def collect(
    folder: str | Path, expand: Expand | None = None, stalled_after_minutes: float = 60.0
) -> Sweep:
    """Read a sweep folder, complete or not, or a folder of several.

    ``expand`` lists the planned jobs of a ``multirun.yaml``; without it, jobs that have no folder
    are not noticed. A running job that has written nothing for longer than
    ``stalled_after_minutes`` counts as stalled.

    Raises CryofixError: There is no such folder, or nothing in it is a run or a sweep.
    """
    root = Path(folder)
    run_folders, plan_folders = find_folders(root)
    if not run_folders and not plan_folders:
        raise CryofixError(
            f"sweep='{root}' holds no run (a folder with status.json) and no "
            "multirun.yaml; give the folder that 'cryofix.train -m' printed."
        )
    runs = [read_run(path, root, stalled_after_minutes) for path in run_folders]
    notes = []
    for plan in plan_folders:
        if expand is None:
            break
        try:
            jobs = _planned(plan, expand)
        except (Unreadable, CryofixError) as error:
            where = plan.relative_to(root).as_posix()
            notes.append(f"{where}/multirun.yaml: jobs without a folder are unknown ({error})")
            continue
        runs += _without_folder(plan, root, jobs, runs)
    kept, repeated = _newest_of_repeats(runs)
    return Sweep(root, tuple(kept), (*notes, *repeated))


def _planned(plan: Path, expand: Expand) -> list[tuple[str, ...]]:
    """Return the overrides of every job that a ``multirun.yaml`` asks for, by job number."""
    hydra = planned(plan)
    lines = override_lines(mapping(hydra.get("overrides")).get("task"))
    params = mapping(mapping(hydra.get("sweeper")).get("params"))
    named = dict(zip(params, override_lines(list(params.values())), strict=True))
    return [tuple(job) for job in expand(lines, named)]


def _without_folder(
    plan: Path, root: Path, jobs: Sequence[tuple[str, ...]], runs: Sequence[Run]
) -> list[Run]:
    """Return a run for each planned job that no run folder below ``plan`` belongs to."""
    present = {
        _with_effect(run.overrides)
        for run in runs
        if run.folder is not None and run.folder.is_relative_to(plan)
    }
    where = plan.relative_to(root).as_posix()
    prefix = "" if where == "." else f"{where}/"
    missing = []
    for index, overrides in enumerate(jobs):
        if _with_effect(overrides) in present:
            continue
        logs = [  # of this index of a SLURM array, whose folders are JOB_INDEX
            log
            for folder in (plan / ".submitit").glob(f"*_{index}")
            if re.fullmatch(r"[0-9]+_[0-9]+", folder.name)
            and (log := folder / f"{folder.name}_0_log.err").exists()
        ]
        state, reason, detail, newest = State.MISSING, "not started", "", None
        if logs:
            newest = max(logs, key=last_change)
            state = State.FAILED if job_ended(newest) else State.MISSING
            reason, detail = "left a log, but no run folder", tail(newest)
        name = f"{prefix}job {index}"
        missing.append(Run(name, None, state, overrides, None, reason, detail, newest))
    return missing


def _with_effect(lines: Sequence[str]) -> frozenset[str]:
    """Return the overrides that the numbers of a run depend on."""
    return frozenset(line for line in lines if has_effect(split_override(line)[0]))


def _newest_of_repeats(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Keep the newest of several finished runs with the same overrides that have an effect.

    The same ones give the same numbers, so counting a run twice would only pretend that
    the interval is narrower. Runs without overrides are left alone.
    """

    def written(run: Run) -> float:
        return 0.0 if run.folder is None else last_change(run.folder / "results.json")

    newest: dict[frozenset[str], Run] = {}
    for run in runs:
        key = _with_effect(run.overrides)
        if run.state is State.FINISHED and run.overrides:
            newest[key] = max(newest.get(key, run), run, key=written)
    kept, notes = [], []
    for run in runs:
        chosen = newest.get(_with_effect(run.overrides)) if run.overrides else None
        if chosen is None or chosen is run:
            kept.append(run)
        elif run.state is State.FINISHED:
            notes.append(f"{run.name} repeats {chosen.name}, which is newer and counts")
        else:
            notes.append(f"{run.name} ({run.state.value}) was made good by {chosen.name}")
    return kept, notes
