"""Which setting to use next, as a line to paste after ``python -m cryofix.train``."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryofix.sweeps.gains import Gain
from cryofix.sweeps.statistics import Row
from cryofix.sweeps.varied import Namer, Setting, override_line


@dataclass(frozen=True)
class Choice:
    """The best setting of one scene (data and other overrides) at one ratio."""

    scene: str
    row: Row
    name: str  # short name of the setting
    score: float  # mean of the metric that ranked, on ``source``
    source: str  # 'validation', or 'test' where the results hold no validation scores
    gain: Gain | None  # of the same metric, on test
    line: str
    candidates: int
    passed_over: int  # settings with too few finished runs to be ranked

    @property
    def advice(self) -> str:
        """One sentence on whether the mask is worth using at all."""
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


def choose(rows: Sequence[Row], namer: Namer, metric: str) -> tuple[Choice, ...]:
    """Return the best setting for each scene and ratio.

    Rows are ranked by their mean FixMatch score: on validation if every candidate has one,
    otherwise on test, which flatters the winner. A setting of which half or more of the runs are
    missing, measured by the fullest row, is passed over, because a lucky seed would win.
    """
    contests: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for row in rows:
        if metric in row.fixmatch:
            contests[namer.scene(row.setting), row.ratio].append(row)
    choices = []
    for (scene, ratio), entered in contests.items():
        most = max(row.n for row in entered)
        candidates = [row for row in entered if 2 * row.n > most]
        by_validation = all(metric in row.validation for row in candidates)
        scores: Mapping[Setting, float] = {
            row.setting: (row.validation if by_validation else row.fixmatch)[metric].mean
            for row in candidates
        }
        best = max(candidates, key=lambda row: scores[row.setting])
        choices.append(
            Choice(
                scene=scene,
                row=best,
                name=namer.curve(best.setting),
                score=scores[best.setting],
                source="validation" if by_validation else "test",
                gain=best.gains.get(metric),
                line=override_line(best.runs, best.setting, ratio),
                candidates=len(candidates),
                passed_over=len(entered) - len(candidates),
            )
        )
    return tuple(choices)
