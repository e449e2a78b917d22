"""Which setting to use next, as a line to paste after ``python -m cryofix.train``."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from cryofix.sweeps.gains import Gain
from cryofix.sweeps.varied import override_line


@dataclass(frozen=True)
class Choice:
    """The best setting of one scene (data and other overrides) at one ratio."""

    row: Any
    """The winner's line in the frame of rows."""
    score: float
    """Mean of the metric that ranked, on ``source``."""
    source: str
    """'validation', or 'test' where the results hold no validation scores."""
    gain: Gain | None
    """Of the same metric, on test."""
    line: str
    candidates: int
    passed_over: int
    """Settings with too few finished runs to be ranked."""

    @property
    def advice(self) -> str:
        """One sentence on whether the mask is worth using at all."""
        if not self.row.tested:
            return "The gain over the control is not measured: there is no test micrograph."
        if self.gain is None:
            return "No supervised control to compare with."
        if self.gain.mean <= 0:
            return "No mask beats plain supervised training here: prefer the control."
        if self.gain.interval is None:
            return "One run only: repeat with more seeds before believing it."
        if self.gain.interval[0] <= 0:
            return "The gain over the control may be chance: its interval holds zero."
        if not self.gain.enough:
            return "Above the control, but with fewer than 3 seeds x 3 label draws."
        if self.gain.verdict != "better":
            return "Above the control, but among so many settings that may be chance."
        return "The gain is clear: its interval leaves out zero, over enough seeds and label draws."


def choose(rows: pd.DataFrame, metric: str) -> list[Choice]:
    """Return the best setting for each scene and ratio.

    Rows are ranked by their mean FixMatch score: on validation if every candidate has one,
    otherwise on test, which flatters the winner. A setting of which half or more of the runs are
    missing, measured by the fullest row, is passed over, because a lucky seed would win.
    """
    if rows.empty:
        return []
    choices = []
    test, validation = f"fixmatch_{metric}_mean", f"validation_fixmatch_{metric}_mean"
    scored = rows.dropna(subset=[test, validation], how="all")
    for _, entered in scored.groupby(["scene", "ratio"], sort=False):
        candidates = entered[2 * entered.runs > entered.runs.max()]
        by_validation = candidates[validation].notna().all()
        if not by_validation:
            candidates = candidates.dropna(subset=test)
            if candidates.empty:
                continue
        scores = candidates[validation if by_validation else test].astype(float)
        best: Any = candidates.loc[scores.idxmax()]
        choices.append(
            Choice(
                row=best,
                score=scores.max(),
                source="validation" if by_validation else "test",
                gain=best.gain,
                line=override_line(best.members, best.setting, best.ratio),
                candidates=len(candidates),
                passed_over=len(entered) - len(candidates),
            )
        )
    return choices
