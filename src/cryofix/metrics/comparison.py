"""Programs side by side: the same micrographs, the same rules, paired differences."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryofix.metrics import curves
from cryofix.metrics.micrograph_records import MicrographRecord, Thresholds
from cryofix.metrics.particles import ParticleRecord
from cryofix.metrics.programs import Labelled, Program, score_program
from cryofix.metrics.scores import choose_thresholds, paired_gain, summarise_scores

log = logging.getLogger(__name__)

FLIP_MARGIN = 0.1  # of F1, beyond which upside down is no accident
CURVE_POINTS = 200


@dataclass(frozen=True)
class Scored:
    """One program with its scores."""

    program: Program
    """What was scored."""
    records: list[MicrographRecord]
    """One for each micrograph."""
    threshold: float
    """In [0, 1]; picks that score less do not count."""
    basis: str
    """Where the threshold comes from."""

    @property
    def pooled(self) -> ParticleRecord:
        """All micrographs together, within d/2."""
        return sum((record.particles for record in self.records), ParticleRecord.empty())

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON: ``particle`` as in ``results.json``, and curves."""
        summary = summarise_scores(self.records, Thresholds(particle=self.threshold))
        scores = summary["particle"]
        pooled = self.pooled
        best = pooled.best_threshold()
        own = self.program.own_score
        return {
            "particle": scores,
            "threshold_own": own(self.threshold),
            "threshold_from": self.basis,
            "all_picks": {
                "precision": pooled.precision(0.0),
                "recall": pooled.recall(0.0),
                "f1": pooled.f1(0.0),
            },
            "best_on_these_micrographs": {"threshold_own": own(best), "f1": pooled.f1(best)},
            "curve": self._curve(),
            "per_micrograph": [
                {key: value for key, value in row.items() if not key.startswith("pixel_")}
                for row in summary["per_micrograph"]
            ],
        }

    def _curve(self) -> list[dict[str, float]]:
        """Return precision and recall at thresholds where they change, at most 200."""
        pooled = self.pooled
        used = np.flatnonzero(pooled.matched + pooled.unmatched)
        if len(used) > CURVE_POINTS:
            used = used[np.linspace(0, len(used) - 1, CURVE_POINTS).round().astype(int)]
        precision, recall = pooled.precision_recall()
        return [
            {
                "threshold_own": self.program.own_score(float(curves.EDGES[index])),
                "precision": float(precision[index]),
                "recall": float(recall[index]),
            }
            for index in used
        ]


def compare(
    programs: Sequence[Program],
    scored_on: Mapping[str, Labelled],
    validation: Mapping[str, Labelled],
    threshold: float | None = None,
) -> list[Scored]:
    """Score programs on the same micrographs.

    Parameters
    ----------
    programs
        From `read_program`.
    scored_on
        Labelled micrographs that count.
    validation
        Others, on which each program's threshold is chosen; may be empty.
    threshold
        On the programs' own scale, instead of one from validation.

    A program without scores, or without picks on the validation micrographs, is scored with all
    its picks.
    """
    scored = []
    for program in programs:
        records = score_program(program, scored_on)
        has_scores = any(each.score is not None for each in program.picks.values())
        chosen, basis = 0.0, "all picks count"
        if threshold is not None:
            chosen, basis = program.unit_score(threshold), "given"
        elif has_scores and validation and any(name in program.picks for name in validation):
            chosen = choose_thresholds(score_program(program, validation)).particle
            basis = f"F1 on {len(validation)} validation micrographs"
        one = Scored(program, records, chosen, basis)
        _warn(one, scored_on)
        scored.append(one)
    return scored


def as_dict(scored: Sequence[Scored]) -> dict[str, Any]:
    """Return the scores of each program and its gains over the first, ready for JSON."""
    programs = {one.program.name: one.as_dict() for one in scored}
    return {"programs": programs, "gains": gains(scored)}


def gains(scored: Sequence[Scored]) -> dict[str, dict[str, Any]]:
    """Return what each program gains over the first, with intervals over micrographs."""
    first = scored[0]
    return {
        other.program.name: {
            key: value
            for key, value in paired_gain(
                first.records,
                other.records,
                Thresholds(particle=first.threshold),
                Thresholds(particle=other.threshold),
            ).items()
            if key.startswith("particle_")
        }
        for other in scored[1:]
    }


def _warn(scored: Scored, labelled: Mapping[str, Labelled]) -> None:
    """Say which micrographs have no picks, and whether the picks look upside down."""
    name = scored.program.name
    without = [key for key in labelled if key not in scored.program.picks]
    if without:
        log.warning(
            "%s has no picks in %d of %d micrographs (%s, ...): their particles count as missed",
            name,
            len(without),
            len(labelled),
            without[0],
        )
    turned = Scored(
        scored.program, score_program(scored.program, labelled, upside_down=True), 0.0, ""
    )
    upright, flipped = (each.pooled.f1(scored.threshold) for each in (scored, turned))
    if flipped > upright + FLIP_MARGIN:
        log.warning(
            "%s: the picks fit the labels better upside down (F1 %.3f against %.3f): give"
            " picks={%s: {path: ..., y_origin: ...}} with the other of top and bottom",
            name,
            flipped,
            upright,
            name,
        )
