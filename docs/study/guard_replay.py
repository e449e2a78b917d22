"""Whether today's guard would have spoken in finished runs (docs/collapse.md).

    python docs/study/guard_replay.py RUN...

The audits and validations that a run wrote to TensorBoard are given to a new guard, with the prior
of its results. Prints the first alarm of each run, and the number of runs with one.
"""

import argparse
import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cryofix.experiment.judgement import STUDENT_SCORES, Judgement, measures


def scalars(events: EventAccumulator, tag: str) -> dict[int, float]:
    """Return the values of a tag by step."""
    if tag not in events.Tags()["scalars"]:
        return {}
    return {event.step: event.value for event in events.Scalars(tag)}


def first_alarm(run: Path) -> str | None:
    """Return when and by what a guard is alarmed first."""
    results = json.loads((run / "results.json").read_text())
    said = [results["prior_estimate"][key] for key in ("value", "validation")]
    span = min(filter(None, said)), max(said)
    events = EventAccumulator(str(run / "tensorboard" / "fixmatch")).Reload()
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
                return f"step {step - fork}, pseudo-labels"
        scores = {name: values[step] for name, values in validated.items() if step in values}
        if scores and guard.judge_student(scores, step - fork):
            return f"step {step - fork}, student on validation"
    return None


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("runs", nargs="+", type=Path)
    given = options.parse_args()
    alarms = {run: first_alarm(run) for run in given.runs}
    for run, alarm in alarms.items():
        print(f"{run}: {alarm or 'none'}")
    print(f"{sum(alarm is not None for alarm in alarms.values())} alarms in {len(alarms)} runs")


if __name__ == "__main__":
    main()
