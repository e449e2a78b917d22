"""How often a choice between the branches of a run is wrong, and what that costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cryofix.reporting.frame_tables import Column
from cryofix.reporting.numbers import signed

RULES: Mapping[str, Callable[[pd.DataFrame], "pd.Series[Any]"]] = {
    "what the runs selected": lambda runs: runs.selected,
    "higher particle F1 on validation": lambda runs: _higher(runs, "particle_f1"),
    "higher particle average precision on validation": lambda runs: _higher(
        runs, "particle_average_precision"
    ),
    "always FixMatch": lambda runs: pd.Series("fixmatch", runs.index),
}
"""What the runs did, and what they could have done: from runs to branches, None where unknown."""
SELECTION_COLUMNS = (
    Column("Rule", "rule", text=True),
    Column("Runs", "n"),
    Column("Worse branch", "wrong"),
    Column("Mean cost", "cost", lambda value: f"{value:.4f}"),
    Column("Gain over control", "gain", lambda value: signed(value, 4)),
    Column("Worst gain", "worst", lambda value: signed(value, 4)),
)
"""Of a frame of :class:`SelectedModels`."""


def _higher(runs: pd.DataFrame, metric: str) -> "pd.Series[Any]":
    """Take the branch with the higher score on validation, the control of equal ones."""
    control, fixmatch = (
        runs[f"validation_{branch}_{metric}"] for branch in ("supervised", "fixmatch")
    )
    known = control.notna() & fixmatch.notna()
    better = fixmatch.where(known, 0) > control.where(known, 0)
    return better.map({True: "fixmatch", False: "supervised"}).where(known)


@dataclass(frozen=True)
class SelectedModels:
    """Choices between control and FixMatch, judged on test, over runs that have both."""

    rule: str
    """Of RULES."""
    n: int
    wrong: int
    """Runs in which the other branch is better."""
    cost: float
    """Mean of better branch - selected branch, in the score's unit."""
    gain: float
    """Mean of selected branch - control."""
    worst: float
    """Least of selected branch - control."""


def judge_selection(runs: pd.DataFrame, metric: str) -> list[SelectedModels]:
    """Return the judgement of each of RULES by one of METRICS.

    All rules are judged by the same runs: those with both branches that say what was selected.
    Rules that one of these runs does not allow are left out.
    """
    if runs.empty:
        return []
    branches = [f"supervised_{metric}", f"fixmatch_{metric}"]
    runs = runs.dropna(subset=["selected", *branches])
    control, fixmatch = runs[branches].to_numpy(dtype=float).T
    judged = []
    for name, rule in RULES.items():
        branch = rule(runs)
        if runs.empty or branch.isna().any():
            continue
        selected = np.where(branch == "fixmatch", fixmatch, control)
        cost, gain = np.maximum(control, fixmatch) - selected, selected - control
        wrong, worst = int((cost > 0).sum()), float(gain.min())
        means = float(cost.mean()), float(gain.mean())
        judged.append(SelectedModels(name, len(runs), wrong, *means, worst))
    return judged
