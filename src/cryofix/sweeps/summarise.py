"""The report before it is given a form: one record that every writer reads."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from cryofix.errors import CryofixError
from cryofix.experiment.run_folder import (
    SELECTED_BY,
    SELECTED_PARTIALLY_BY,
    SELECTED_WITHOUT_PARTICLES_BY,
)
from cryofix.sweeps.best import Choice, choose
from cryofix.sweeps.collect import Sweep
from cryofix.sweeps.gains import ALONE
from cryofix.sweeps.reading import text
from cryofix.sweeps.run_results import METRICS
from cryofix.sweeps.runs import State
from cryofix.sweeps.selection import judge_selection
from cryofix.sweeps.statistics import rows_frame, runs_frame

CAVEATS = (
    "n counts runs. Gain is FixMatch minus its supervised control (same burn-in, same labelled "
    "batches, same number of steps), paired within each run. Its 95 % interval is Student's t over "
    "the label draws where there are two or more, otherwise over the seeds; one run has none.",
    "An interval looks at its own row alone: of 20 rows without any effect one is expected to "
    "leave out zero. The verdicts 'better' and 'worse' need at least 3 seeds x 3 label draws. "
    "Holm's method over all rows with as many keeps the chance of a wrong verdict below 5 %.",
    "Scores are of the test micrographs. Particle scores use the threshold chosen on validation "
    "and one-to-one matching; pixel precision, recall and F1 are at 0.5.",
    "Drift is log(particle keep / background keep), the smallest value of each run. Below 0 the "
    "mask keeps less of the particles. Alarms count the runs in which the guard raised an alarm.",
    "Public labels are incomplete, so precision is a lower bound; 2D F1 does not predict "
    "resolution; numbers from simulated micrographs are not scientific claims.",
)
"""What a reader has to know to read the numbers; every form of the report ends with it."""


@dataclass(frozen=True)
class SweepSummary:
    """Everything a report shows."""

    sweep: Sweep
    runs: pd.DataFrame
    """Finished ones; see :func:`cryofix.sweeps.statistics.runs_frame`."""
    rows: pd.DataFrame
    """Settings at each ratio; see :func:`cryofix.sweeps.statistics.rows_frame`."""
    best: list[Choice]
    metric: str
    """Of METRICS: the one that gains and the best setting are about."""
    made: datetime

    @property
    def title(self) -> str:
        """The last two folders of the sweep: Hydra's are a date and a time."""
        return text("/".join(self.sweep.folder.resolve().parts[-2:]))

    @property
    def metric_title(self) -> str:
        """How the metric is called."""
        return METRICS[self.metric]

    @property
    def states(self) -> dict[State, int]:
        """How many jobs are in each state that there is."""
        return {state: n for state in State if (n := self.sweep.count(state))}

    @property
    def counts(self) -> str:
        """How many jobs there are in each state, in words."""
        return ", ".join(f"{n} {state.value}" for state, n in self.states.items()) or "no jobs"

    @property
    def selection(self) -> pd.DataFrame:
        """A row for each rule that selects a branch; see SELECTION_COLUMNS."""
        return pd.DataFrame(judge_selection(self.runs, self.metric))

    @property
    def notes(self) -> list[str]:
        """Remarks on completeness, and on results of other schema versions."""
        if self.runs.empty:
            return list(self.sweep.notes)
        remarks = []
        unequal = self.runs[self.runs.unequal]
        if len(unequal):
            by_guard = int(unequal.stopped_by_guard.sum())
            remarks.append(
                f"In {len(unequal)} of {len(self.runs)} runs FixMatch and its control took unequal "
                f"numbers of steps (the guard stopped {by_guard}, callbacks "
                f"{len(unequal) - by_guard}): their gains compare unequal training."
            )
        if untested := int((~self.runs.tested.astype(bool)).sum()):
            remarks.append(
                f"In {untested} of {len(self.runs)} runs there is no test micrograph: their scores "
                "and gains on test are not measured, and settings are compared on validation."
            )
        if self.rows.verdict.isin(ALONE.values()).any():
            remarks.append(
                "'One of many' is a row whose own interval leaves out zero; among the "
                f"{sum(gain.enough for gain in self.rows.gain.dropna())} rows compared here that "
                "may be chance."
            )
        versions = self.runs.note[self.runs.note != ""].value_counts(sort=False)
        return [
            *self.sweep.notes,
            *remarks,
            *(f"{n} results.json with {note}" for note, n in versions.items()),
        ]


def summarise_sweep(sweep: Sweep, metric: str | None = None) -> SweepSummary:
    """Compute all rows and choices of a sweep; a ``metric`` that is no score is a CryofixError.

    Without a metric it is what selects a model in these runs.
    """
    runs = runs_frame(sweep.finished)
    if metric is None:
        rules = (SELECTED_BY, SELECTED_PARTIALLY_BY, SELECTED_WITHOUT_PARTICLES_BY)
        metric = next((rule for rule in rules if _known(runs, rule)), SELECTED_BY)
    higher_is_better = [name for name in METRICS if name != "pixel_ece"]
    if metric not in higher_is_better:
        raise CryofixError(f"metric={metric}: choose one of {', '.join(higher_is_better)}.")
    rows = rows_frame(runs, metric)
    return SweepSummary(sweep, runs, rows, choose(rows, metric), metric, datetime.now(UTC))


def _known(runs: pd.DataFrame, metric: str) -> bool:
    """Say whether any control has this score."""
    columns = [f"supervised_{metric}", f"validation_supervised_{metric}"]
    return not runs.empty and bool(runs[columns].notna().any(axis=None))
