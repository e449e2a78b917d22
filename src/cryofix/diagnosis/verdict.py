"""The diagnosis in plain words."""

import math

from cryofix.diagnosis.diagnosis import Diagnosis
from cryofix.diagnosis.generations import COLLAPSED, FLOODED, Course
from cryofix.diagnosis.remedy import NO_DRIFT
from cryofix.reporting.numbers import percent, signed

HEALTHY_SHARE = (0.3, 3.0)  # kept-particle share over prior


def words(diagnosis: Diagnosis) -> dict[str, str]:
    """Return ``finding``, ``outlook``, ``remedy`` and ``note``: a sentence or two each."""
    return {
        "finding": _finding(diagnosis),
        "outlook": _outlook(diagnosis),
        "remedy": _remedy(diagnosis),
        "note": _note(diagnosis),
    }


def rate_text(rate: float | None) -> str:
    """Return a rate as the reference table prints it."""
    return percent(rate, 1) or "-"


def drift_text(value: float | None) -> str:
    """Return a drift as text; None and infinities have a word of their own."""
    return signed(value, 2) or "undefined"


def _finding(diagnosis: Diagnosis) -> str:
    rates, name = diagnosis.rates, diagnosis.policy.name
    particle, background = rates["particle_keep"], rates["background_keep"]
    if particle is None:
        return f"no pixel is predicted to be a particle (p >= 0.5), so {name} has none to keep"
    if background is None:
        return f"every pixel is predicted to be a particle, so {name} has no background to keep"
    if not particle and not background:
        return f"the mask {name} keeps no pixel of either class: nothing is learnt from it"
    drift = rates["drift"]
    if drift is None:
        drift = math.inf if particle else -math.inf
    finding = (
        f"the mask {name} keeps {rate_text(particle)} of what is predicted as particle against"
        f" {rate_text(background)} of background: drift {drift_text(drift)}"
    )
    if abs(diagnosis.step - drift) > NO_DRIFT and not math.isinf(drift):
        finding += (
            "; it also changes labels or weighs pixels, so what it teaches moves "
            f"log-odds by {drift_text(diagnosis.step)}"
        )
    return finding


def _outlook(diagnosis: Diagnosis) -> str:
    course, known = diagnosis.course, diagnosis.histogram.known > 0
    last, limit = course.generations[-1], f"{100 * COLLAPSED:.0f} %"
    kind = "recall" if known else "recall, relative to what is found at the start,"
    if course.outcome == "collapses":
        if course.until == 0:
            now = f"recall is below {limit} already" if known else "nothing is found any more"
            return f"{now}, but what the mask teaches raises it" if _raises(diagnosis) else now
        return (
            f"at this rate {kind} falls below {limit} after {_generations(course)}"
            f" ({_recalls(course)})"
        )
    if course.outcome == "floods":
        if course.until == 0:
            return f"more than {FLOODED:.0%} of all pixels are predicted as particle already"
        return (
            f"at this rate more than {FLOODED:.0%} of all pixels are predicted as "
            f"particle after {_generations(course)}, so the predictions flood"
        )
    if course.outcome == "drifts":
        way = "falling" if last.step < 0 else "rising"
        faster = ", in steps that grow" if course.grows else ""
        return (
            f"after {_generations(course)} {kind} is still {way}{faster} ({_recalls(course)}), and"
            f" {rate_text(last.predicted_share)} is predicted as particle"
        )
    if course.swings:
        ends = " and ".join(rate_text(one.recall) for one in course.generations[-2:])
        return f"from {_generations(course)} on the teacher swings: {kind} between {ends}"
    if course.until == 0:
        return f"the mask by itself changes nothing: {kind} stays at {rate_text(last.recall)}"
    return (
        f"the teacher settles within {_generations(course)}, with {kind} at "
        f"{rate_text(last.recall)} and {rate_text(last.predicted_share)} predicted as "
        "particle"
    )


def _raises(diagnosis: Diagnosis) -> bool:
    return diagnosis.course.outcome == "collapses" and diagnosis.step > NO_DRIFT


def _generations(course: Course) -> str:
    return "1 teacher generation" if course.until == 1 else f"{course.until} teacher generations"


def _recalls(course: Course) -> str:
    path = [rate_text(generation.recall) for generation in course.generations]
    if len(path) > 5:
        path = [*path[:3], "...", path[-1]]
    return ", ".join(path)


def _remedy(diagnosis: Diagnosis) -> str:
    still = abs(diagnosis.step) <= NO_DRIFT
    if diagnosis.course.outcome == "drifts" and still and not diagnosis.course.grows:
        return "no change is needed: the drift is slow, and the labels of every step resist it"
    if diagnosis.course.outcome == "holds":
        return f"no change is needed: the mask {'has no drift' if still else 'corrects itself'}"
    if diagnosis.course.until == 0 and _raises(diagnosis):
        return "no change is needed: the mask teaches more particles than the teacher predicts"
    remedy = diagnosis.remedy
    if remedy is None:
        return "none of the masks tried is without drift on these pixels: train the teacher longer"
    rates = remedy.rates
    text = (
        f"{remedy.overrides} keeps {rate_text(rates['particle_keep'])} of particles and"
        f" {rate_text(rates['background_keep'])} of background (drift"
        f" {drift_text(rates['drift'])}) by changing {rate_text(remedy.changed)} of the pixels"
    )
    following = next((one for one in diagnosis.changes if one.cures and one.follows), None)
    if following is not None and following is not remedy:
        text += f"; {following.overrides} does so for every later teacher too"
    return text


def _note(diagnosis: Diagnosis) -> str:
    """Say what the drift does not: how far the predictions and the kept are from the prior."""
    histogram, prior, true = diagnosis.histogram, diagnosis.prior, diagnosis.histogram.prior()
    if not prior:
        return "the prior is not known: give prior= or truth= to compare shares with it"
    predicted = histogram.predicted_share() or 0.0
    parts = [
        f"{rate_text(predicted)} of all pixels are predicted as particle,"
        f" {predicted / prior:.2f} times the prior of {rate_text(prior)}"
    ]
    kept = diagnosis.rates["share_over_prior"]
    if kept is not None:
        low, high = HEALTHY_SHARE
        health = "healthy" if low <= kept <= high else "not healthy"
        parts.append(
            f"among the kept pixels the share is {kept:.2f} times the prior, which is "
            f"{health} (healthy is {low:g} to {high:g})"
        )
    if true and not 0.8 <= prior / true <= 1.25:
        parts.append(f"the hidden labels say {rate_text(true)}, so that prior is wrong")
    excess = predicted / (true or prior)
    if not 0.5 <= excess <= 2 and diagnosis.policy.target == "hard":
        parts.append(
            f"hard labels at 0.5 teach {excess:.2g} times as many particle pixels as there are,"
            " with or without a mask: no threshold alone cures that"
        )
    return "; ".join(parts)
