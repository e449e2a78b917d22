"""What the guard of the class balance judges by; it knows nothing of Lightning.

Three numbers of the pseudo-labels are watched, each smoothed over audits by an exponential moving
average:

- the *drift*, log(particle keep / background keep): how far the mask pushes the student's
  log-odds in each teacher generation;
- the *kept share*, particle share among what is kept over the prior;
- the *predicted share*, predicted-positive pixels over the prior.

The prior is what the policies aim at or what the validation micrographs say, whichever is nearer.

One that has left its healthy range in ``patience`` audits in a row raises the alarm. A drift counts
only where it has taken the kept share half-way out of its range: quota, alignment and other masks
that relabel drift back towards the prior, which heals. What is too low counts only where the
predicted share has fallen from its highest by half of its range, a factor of 1.7 by default: a
strict threshold keeps few particles in every healthy run, and a young model predicts few, and both
do harm only where fewer and fewer are predicted. It counts only after the predicted share has been
in its range, too: before that the model has not learnt to predict particles, and has none to lose.
Audits of neighbouring steps see almost the same teacher on other tiles, so they are averaged longer
(``early_smoothing``), and so is the predicted share for the fall. The alarm ends when all have been
inside a range half as wide (in logarithms) for as long. Nothing is judged in the first ``warm_up``
audits.

Shares cannot see a student that puts the right number of particles in wrong places. Labels of
validation micrographs can: a score of the student there below half of the best that the average
had, at the fork or since, in ``lost_patience`` validations in a row raises the alarm by itself, and
keeps it. One is enough, because in healthy runs the student stays far above (docs/thresholds.md).
The score is F1 at 0.5. Where no average has reached LEAST of it, it is average precision, which
looks at ranks alone.
"""

import math
from dataclasses import dataclass

from cryofix.diagnosis.verdict import rate_text
from cryofix.errors import CryofixError
from cryofix.metrics.rates import NOTHING, Rates, bounded_drift

LOST = 0.5  # of the best score of the average, and the student has lost its particles
LEAST = 0.1  # a best score that says something
SETTLED = 10  # audits after which an average of them says where the predicted share starts
STUDENT_SCORES = {
    "pixel_f1": "pixel F1",
    "pixel_estimated_f1": "estimated pixel F1",
    "pixel_average_precision": "pixel average precision",
}
"""Scores of :class:`~cryofix.learning.validation.Validation` to judge the student by, in words.
The first that says something counts."""


@dataclass
class CollapseRecord:
    """What ``results.json`` says of the collapse."""

    alarmed: bool = False
    """Whether the alarm was ever raised."""
    first_step: int | None = None
    """Step of FixMatch at which it first was."""
    min_drift: float | None = None
    """Lowest smoothed drift."""


@dataclass(eq=False)
class Judgement:
    """Takes in audits and validations, and says when the alarm is raised and why."""

    drift: float = 0.7
    """The healthy drift lies between minus and plus this, or leads back to the prior."""
    share: float = 3.0
    """The healthy kept share and predicted share lie between 1/share and share times the prior."""
    smoothing: float = 0.7
    early_smoothing: float = 0.9
    """Weight of the past in the moving averages; the second where each step is audited."""
    warm_up: int = 3
    patience: int = 3
    """Numbers of audits."""
    lost_patience: int = 1
    """Number of validations in a row."""

    def __post_init__(self) -> None:
        for key, value, least in (("drift", self.drift, 0), ("share", self.share, 1)):
            if not value > least:
                raise CryofixError(f"guard.{key}={value} must be above {least}")
        share = math.log(self.share)
        self.limits = {"drift": self.drift, "kept share": share, "predicted share": share}
        self.record = CollapseRecord()
        self.latest: Rates | None = None
        self.smoothed: dict[str, float] = {}
        self.audits = 0
        self.streak = 0  # audits in a row that argue against the present state
        self.learnt = False  # whether the predicted share has been in its range
        self.steady = 0.0  # the predicted share, averaged for long
        self.highest = -math.inf  # that it has been
        self.alarm = False
        self.best: dict[str, float] = {}  # score of the average on validation, from the fork on
        self.lost = 0  # validations in a row in which the student is far below the best
        self.student = ("", 0.0)  # the score that counted in the latest of them
        self._by_student = False  # who raised the latest alarm

    def judge_student(self, scores: dict[str, float], step: int) -> bool:
        """Take in one validation and return whether it raised the alarm.

        Parameters
        ----------
        scores
            Those of STUDENT_SCORES that were measured: of the running average, and with
            ``student_`` before the name of the student.
        step
            Of FixMatch.
        """
        known = [name for name in STUDENT_SCORES if f"student_{name}" in scores]
        self.best |= {name: max(self.best.get(name, 0.0), scores[name]) for name in known}
        telling = [name for name in known if self.best[name] >= LEAST]
        if not telling:
            return False
        name = telling[0]
        self.student = name, scores[f"student_{name}"]
        self.lost = self.lost + 1 if self.student[1] < LOST * self.best[name] else 0
        if self.alarm or self.lost < self.lost_patience:
            return False
        self._begin(step, by_student=True)
        return True

    def _begin(self, step: int, by_student: bool) -> None:
        self.alarm, self.streak, self._by_student = True, 0, by_student
        if not self.record.alarmed:
            self.record.alarmed, self.record.first_step = True, step

    def judge(self, measured: dict[str, float], step: int, early: bool = False) -> bool:
        """Take in one audit and return whether the alarm was raised or ended by it.

        Parameters
        ----------
        measured
            The three logarithms of :func:`measures`.
        step
            Of FixMatch.
        early
            Whether each step is audited.
        """
        weight = self.early_smoothing if early else self.smoothing
        for key, value in measured.items():
            past = self.smoothed.get(key, value)
            self.smoothed[key] = weight * past + (1 - weight) * value
        self.audits += 1
        self.learnt |= self.smoothed["predicted share"] >= -self.limits["predicted share"]
        past = min(self.early_smoothing, 1 - 1 / self.audits)  # at first the plain mean
        self.steady += (1 - past) * (measured["predicted share"] - self.steady)
        if self.audits >= SETTLED:
            self.highest = max(self.highest, self.steady)
        drift = self.smoothed["drift"]
        least = self.record.min_drift
        self.record.min_drift = drift if least is None else min(least, drift)
        if self.audits <= self.warm_up:
            return False
        width = 0.5 if self.alarm else 1.0
        outside = max(self._excess().values()) > width or (self.alarm and self.lost > 0)
        self.streak = self.streak + 1 if outside != self.alarm else 0
        if self.streak < self.patience:
            return False
        if self.alarm:
            self.alarm, self.streak = False, 0
        else:
            self._begin(step, by_student=False)
        return True

    def _excess(self) -> dict[str, float]:
        """Return how far each number is from health, relative to its limit."""
        now = {key: self.smoothed.get(key, 0.0) for key in self.limits}
        fallen = self.highest - self.steady >= 0.5 * self.limits["predicted share"]
        if not (self.learnt and fallen):
            now = {key: max(value, 0.0) for key, value in now.items()}
        excess = {key: abs(now[key]) / limit for key, limit in self.limits.items()}
        away = now["drift"] * now["kept share"] > 0
        if not away or excess["kept share"] < 0.5:
            excess["drift"] = 0.0
        return excess

    def cause(self) -> str:
        """Return what is wrong in words, with the latest numbers."""
        if self._by_student:
            name, score = self.student
            often = f", in {self.lost} validations in a row" if self.lost > 1 else ""
            return (
                f"The student's {STUDENT_SCORES[name]} on validation is {score:.2f}{often}, below"
                f" half of the average's best, {self.best[name]:.2f}. The student loses the"
                " particles, although the shares of its pseudo-labels may look healthy."
            )
        latest, smoothed = self.latest or {}, self.smoothed
        excess = self._excess()
        worst = max(excess, key=lambda key: excess[key])
        if worst == "drift":
            side = "background" if smoothed["drift"] < 0 else "particles"
            return (
                f"The mask keeps {rate_text(latest.get('particle_keep') or 0.0)} of predicted"
                f" particles and {rate_text(latest.get('background_keep') or 0.0)} of background:"
                f" drift {smoothed['drift']:+.2f} per teacher generation, towards {side}."
            )
        factor = math.exp(smoothed[worst])
        what = "kept as particle" if worst == "kept share" else "predicted to be particle"
        return f"The share of pixels {what} is {factor:.2g} times the prior, and stays there."


def measures(audit: Rates, priors: tuple[float, float]) -> dict[str, float]:
    """Return what the guard watches, as logarithms; 0 is healthy.

    Parameters
    ----------
    audit
        Keep rates of a batch; a rate of a class that is not predicted is None.
    priors
        Share of particle pixels, lowest and highest of what is thought of it. A share between the
        two is healthy, one beyond is compared with the nearer: the labels of one micrograph
        misstate the prior by a factor of two, which is no collapse.
    """
    low, high = priors

    def beyond(share: float | None) -> float:
        share = max(share or 0.0, NOTHING * low)
        return math.log(share / min(max(share, low), high))

    return {
        "drift": bounded_drift(audit["particle_keep"], audit["background_keep"]) or 0.0,
        "kept share": beyond(audit["particle_share"]),
        "predicted share": beyond(audit["predicted_positive"]),
    }
