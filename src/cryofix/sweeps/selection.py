"""How often a choice between the branches of a run is wrong, and what that costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cryofix.sweeps.run_results import Result

Rule = Callable[[Result], str | None]
"""From a run to ``supervised`` or ``fixmatch``; None where it lacks what the rule looks at."""


def higher_on_validation(metric: str) -> Rule:
    """Return the rule that takes the branch with the higher score, the control of equal ones."""

    def choose(result: Result) -> str | None:
        control, fixmatch = (
            each.get(metric) for each in (result.validation_control, result.validation)
        )
        if control is None or fixmatch is None:
            return None
        return "fixmatch" if fixmatch > control else "supervised"

    return choose


AS_SELECTED = "Selection on validation"
RULES: Mapping[str, Rule] = {
    AS_SELECTED: lambda result: result.selected,
    "Going by particle F1 on validation": higher_on_validation("particle_f1"),
    "Going by particle average precision on validation": higher_on_validation(
        "particle_average_precision"
    ),
    "Always taking FixMatch": lambda result: "fixmatch",
}
"""What the runs did, and what they could have done; each name begins a sentence."""


@dataclass(frozen=True)
class Selection:
    """Choices between control and FixMatch, judged on test, over runs that have both."""

    rule: str  # of RULES
    n: int
    wrong: int  # runs in which the other branch is better
    cost: float  # mean of better branch - selected branch, in the score's unit
    gain: float  # mean of selected branch - control
    worst: float  # least of selected branch - control

    def __str__(self) -> str:
        """Say it in a sentence."""
        verb = "would have taken" if self.rule != AS_SELECTED else "took"
        return (
            f"{self.rule} {verb} the worse branch in {self.wrong} of {self.n} runs, at a mean cost"
            f" of {self.cost:.4f}; the selected model gains {self.gain:+.4f} over its control, at"
            f" worst {self.worst:+.4f}."
        )


def judge_selection(results: Sequence[Result], metric: str) -> list[Selection]:
    """Return the judgement of each of RULES by one of METRICS.

    All rules are judged by the same runs: those with both branches that say what was selected.
    Rules that one of these runs does not allow are left out.
    """
    runs = [
        result
        for result in results
        if result.selected and metric in result.supervised and metric in result.fixmatch
    ]
    judged: list[Selection] = []
    if not runs:
        return judged
    for name, rule in RULES.items():
        chosen = [(result, branch) for result in runs if (branch := rule(result))]
        if len(chosen) == len(runs):
            judged.append(_judged(name, chosen, metric))
    return judged


def _judged(name: str, chosen: Sequence[tuple[Result, str]], metric: str) -> Selection:
    control = np.array([result.supervised[metric] for result, _ in chosen])
    fixmatch = np.array([result.fixmatch[metric] for result, _ in chosen])
    selected = np.where([branch == "fixmatch" for _, branch in chosen], fixmatch, control)
    cost, gain = np.maximum(control, fixmatch) - selected, selected - control
    return Selection(
        rule=name,
        n=len(chosen),
        wrong=int((cost > 0).sum()),
        cost=float(cost.mean()),
        gain=float(gain.mean()),
        worst=float(gain.min()),
    )
