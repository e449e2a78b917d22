"""How often selection on validation takes the worse branch of a run, and what that costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryofix.sweeps.results import Result


@dataclass(frozen=True)
class Selection:
    """Selection between control and FixMatch, judged on test, over runs that have both."""

    n: int
    wrong: int  # runs in which the other branch is better
    cost: float  # mean of better branch - selected branch, in the score's unit
    worst: float  # least of selected branch - control

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"Selection on validation took the worse branch in {self.wrong} of {self.n} runs, at a"
            f" mean cost of {self.cost:.4f}; the selected model is at worst {self.worst:+.4f}"
            " against its control."
        )


def judge_selection(results: Sequence[Result], metric: str) -> Selection | None:
    """Return the judgement by one of METRICS; None without a run that says what it selected."""
    costs, gains = [], []
    for result in results:
        scores = {"supervised": result.supervised, "fixmatch": result.fixmatch}
        if result.selected is None or any(metric not in each for each in scores.values()):
            continue
        selected = scores[result.selected][metric]
        costs.append(max(each[metric] for each in scores.values()) - selected)
        gains.append(selected - scores["supervised"][metric])
    if not costs:
        return None
    return Selection(len(costs), sum(cost > 0 for cost in costs), float(np.mean(costs)), min(gains))
