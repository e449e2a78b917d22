"""Whether the guard would have spoken in finished runs (docs/collapse.md, docs/thresholds.md).

    python docs/study/guard_replay.py RUN...

The audits and validations that a run wrote to TensorBoard are given to a new guard, with the prior
of its results. Prints the first alarm of each run, and the number of runs with one.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cryofix.experiment.judgement import STUDENT_SCORES, Judgement, measures
from cryofix.reporting.frame_tables import Column, markdown_table
from cryofix.sweeps.collect import collect
from cryofix.sweeps.statistics import runs_frame

SAID = ["alarm_step", "alarm_by", "halved_step"]


def read(run: Path) -> EventAccumulator:
    """Return the scalars of a run's FixMatch branch."""
    sizes = {"scalars": 0, "images": 1, "histograms": 1}
    return EventAccumulator(str(run / "tensorboard" / "fixmatch"), size_guidance=sizes).Reload()


def scalars(events: EventAccumulator, tag: str) -> dict[int, float]:
    """Return the values of a tag by step."""
    if tag not in events.Tags()["scalars"]:
        return {}
    return {event.step: event.value for event in events.Scalars(tag)}


def first_alarm(run: Path, events: EventAccumulator) -> tuple[int, str] | None:
    """Return at which step of FixMatch, and by what, a guard is alarmed first."""
    results = json.loads((run / "results.json").read_text())
    said = [results["prior_estimate"][key] for key in ("value", "validation")]
    span = min(filter(None, said)), max(filter(None, said))
    names = ("drift", "particle_share", "predicted_positive")
    drift, share, predicted = (scalars(events, f"mask/{name}") for name in names)
    scored = [f"{prefix}{name}" for name in STUDENT_SCORES for prefix in ("", "student_")]
    validated = {name: scalars(events, f"validation/{name}") for name in scored}
    validations = set().union(*validated.values())
    fork = results["steps"]["burn_in"]
    guard = Judgement()
    for step in sorted(predicted.keys() | validations):
        if step in predicted:
            rates = {"particle_share": share.get(step), "predicted_positive": predicted[step]}
            measured = measures({**rates, "particle_keep": 1.0, "background_keep": 1.0}, span)
            measured["drift"] = drift.get(step, 0.0)  # as logged: it is bounded
            early = bool({step - 1, step + 1} & predicted.keys())
            if guard.judge(measured, step - fork, early):
                return step - fork, "pseudo-labels"
        scores = {name: values[step] for name, values in validated.items() if step in values}
        if scores and guard.judge_student(scores, step - fork):
            return step - fork, "student on validation"
    return None


def halved(run: Path, events: EventAccumulator) -> int | None:
    """Return the step of the first validation with less than half of the first one's recall."""
    fork = json.loads((run / "results.json").read_text())["steps"]["burn_in"]
    recall = scalars(events, "validation/pixel_recall")
    first = next(iter(recall.values()), 0.0)
    return next((step - fork for step, value in recall.items() if value < first / 2), None)


def replayed(runs: pd.DataFrame) -> pd.DataFrame:
    """Add to runs of threshold_map.py what the guard says of them, and when."""
    rows: list[tuple[Any, ...]] = []
    for run in runs["run"]:
        events = read(run.folder)
        step, by = first_alarm(run.folder, events) or (None, None)
        rows.append((step, by, halved(run.folder, events)))
    return pd.concat([runs, pd.DataFrame(rows, index=runs.index, columns=SAID)], axis=1)


def few_labels(sweep: Path) -> pd.DataFrame:
    """Return the same of the runs of docs/how_many_labels.md, which are of the advised regime."""
    runs = runs_frame(collect(sweep).finished)
    noise = [json.loads((run.folder / "config.json").read_text())["data"] for run in runs["run"]]
    names = [
        f"{data}, few labels"
        + (f", added_noise={each['added_noise']:g}" * (each["added_noise"] > 0))
        for data, each in zip(runs["data"], noise, strict=True)
    ]
    lost = runs["fixmatch_pixel_recall"] < 0.5 * runs["supervised_pixel_recall"]
    found = replayed(runs.assign(data=names, regime="advised", collapsed=lost))
    return found[["data", "regime", "mask", "ratio", "seed", "alarmed", "collapsed", *SAID]]


def parts(runs: pd.DataFrame) -> dict[str, str]:
    """Return the tables of healthy and of collapsed runs."""
    spoke = runs["alarm_step"].notna()
    in_time = spoke & ~(runs["alarm_step"] >= runs["halved_step"])
    counted = runs.assign(spoke=spoke, in_time=in_time, runs=1)
    lost = counted["collapsed"].astype(bool)
    healthy = (counted["regime"] == "advised") & ~lost
    names = {"runs": "healthy runs", "alarmed": "alarms as they ran", "spoke": "alarms replayed"}
    silent = summed(counted[healthy], names)
    names = {"runs": "collapsed", "spoke": "alarms", "in_time": "before recall had halved"}
    return {"healthy": silent, "caught": summed(counted[lost], names)}


def summed(runs: pd.DataFrame, names: dict[str, str]) -> str:
    """Return the sums of some columns for each data set, and for all."""
    if runs.empty:
        return "There is no such run yet."
    table = runs.groupby("data", sort=False)[list(names)].sum().astype(int)
    table.loc["all"] = table.sum()
    columns = [Column("data", "data", text=True)]
    columns += [Column(title, name) for name, title in names.items()]
    return markdown_table(table.reset_index(), columns)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("runs", nargs="+", type=Path)
    given = options.parse_args()
    alarms = {run: first_alarm(run, read(run)) for run in given.runs}
    for run, alarm in alarms.items():
        print(f"{run}: " + ("none" if alarm is None else f"step {alarm[0]}, {alarm[1]}"))
    print(f"{sum(alarm is not None for alarm in alarms.values())} alarms in {len(alarms)} runs")


if __name__ == "__main__":
    main()
