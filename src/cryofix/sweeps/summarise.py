"""The report before it is given a form: one record that every writer reads."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cryofix.errors import CryofixError
from cryofix.sweeps.best import Choice, choose
from cryofix.sweeps.collect import Sweep
from cryofix.sweeps.gains import ALONE
from cryofix.sweeps.reading import text
from cryofix.sweeps.run_results import METRICS
from cryofix.sweeps.runs import State
from cryofix.sweeps.selection import judge_selection
from cryofix.sweeps.statistics import Row, make_rows
from cryofix.sweeps.varied import Namer, make_namer

CAVEATS = (
    "n counts runs. Gain is FixMatch minus its supervised control (same burn-in, same labelled "
    "batches, same number of steps), paired within each run. Its 95 % interval is Student's t over "
    "the label draws where there are two or more, otherwise over the seeds; one run has none.",
    "An interval looks at its own row alone: of 20 rows without any effect one is expected to "
    "leave out zero. 'Better' and 'worse' are said from 3 seeds x 3 label draws on, and only where "
    "Holm's method over all rows with as many keeps the chance of a wrong word below 5 %.",
    "Scores are of the test micrographs. Particle scores use the threshold chosen on validation "
    "and one-to-one matching; pixel precision, recall and F1 are at 0.5.",
    "Drift is log(particle keep / background keep), the smallest value of each run: negative "
    "starves particles. Alarms count the runs in which the collapse guard spoke.",
    "Public labels are incomplete, so precision is a lower bound; 2D F1 does not predict "
    "resolution; numbers from simulated micrographs are not scientific claims.",
)
"""What a reader has to know to read the numbers; every form of the report ends with it."""

METRIC_TITLES = {
    "particle_f1": "Particle F1",
    "particle_precision": "Particle precision",
    "particle_recall": "Particle recall",
    "particle_average_precision": "Particle average precision",
    "pixel_f1": "Pixel F1 at 0.5",
    "pixel_precision": "Pixel precision at 0.5",
    "pixel_recall": "Pixel recall at 0.5",
    "pixel_f1_at_validation_threshold": "Pixel F1 at the validation threshold",
    "pixel_average_precision": "Pixel average precision",
    "pixel_ece": "Pixel calibration error",
}
"""How a score is called in titles, by its name in METRICS."""


@dataclass(frozen=True)
class Summary:
    """Everything a report shows."""

    sweep: Sweep
    rows: tuple[Row, ...]
    namer: Namer
    best: tuple[Choice, ...]
    metric: str  # of METRICS: the one that gains and the best setting are about
    made: datetime

    @property
    def title(self) -> str:
        """The last two folders of the sweep: Hydra's are a date and a time."""
        return text("/".join(self.sweep.folder.resolve().parts[-2:]))

    @property
    def counts(self) -> str:
        """How many jobs there are in each state, in words."""
        counted = [(state, self.sweep.count(state)) for state in State]
        return ", ".join(f"{n} {state.value}" for state, n in counted if n) or "no jobs"

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on completeness, on selection, and on results of other schema versions."""
        versions: dict[str, int] = {}
        for run in self.sweep.finished:
            for note in run.result.notes if run.result else ():
                versions[note] = versions.get(note, 0) + 1
        results = [run.result for run in self.sweep.finished if run.result is not None]
        selections = judge_selection(results, self.metric)
        stopped = sum(result.stopped for result in results)
        remarks = []
        if stopped:
            remarks.append(
                f"In {stopped} of {len(results)} runs the guard stopped FixMatch "
                "(guard.action=stop), and the control took all steps: their gains compare unequal "
                "training."
            )
        gains = [row.gains[self.metric] for row in self.rows if self.metric in row.gains]
        if any(gain.verdict in ALONE.values() for gain in gains):
            remarks.append(
                "'One of many' is a row whose own interval leaves out zero; among the "
                f"{sum(gain.enough for gain in gains)} rows compared here that may be chance."
            )
        return (
            *self.sweep.notes,
            *remarks,
            *(f"{METRIC_TITLES[self.metric]}: {selection}" for selection in selections),
            *(f"{n} results.json with {note}" for note, n in versions.items()),
        )


def summarise(sweep: Sweep, metric: str = "particle_f1") -> Summary:
    """Compute all rows and choices of a sweep.

    Raises CryofixError: ``metric`` is not the name of a score.
    """
    higher_is_better = [name for name in METRICS if name != "pixel_ece"]
    if metric not in higher_is_better:
        raise CryofixError(f"metric={metric}: choose one of {', '.join(higher_is_better)}.")
    rows = make_rows(sweep.finished)
    namer = make_namer([row.setting for row in rows])
    return Summary(sweep, rows, namer, choose(rows, namer, metric), metric, datetime.now(UTC))
