"""Programs side by side: the same micrographs, the same rules, paired differences."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.tiles import Annotated
from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles
from cryofix.formats.label_fit import evenly
from cryofix.metrics import curves
from cryofix.metrics.particles import MicrographRecord, ParticleRecord, Thresholds, pooled_particles
from cryofix.metrics.programs import Program
from cryofix.metrics.scores import choose_thresholds, paired_gain, summarise_scores

log = logging.getLogger(__name__)

PARTS = ("test", "validation", "labelled", "unlabelled", "all")
FLIP_MARGIN = 0.1  # of F1, beyond which upside down is no accident
CURVE_POINTS = 200


def annotated_part(data: CryoDataModule, part: str) -> list[Annotated]:
    """Return the micrographs of a part that have labels.

    Raises CryofixError if none has, if they leave particles out, or if there is no such part.
    """
    if part not in PARTS:
        raise CryofixError(f"part={part} is not known; use one of {', '.join(PARTS)}")
    if part == "validation":  # which may be blocks of labelled micrographs
        annotated = data.part(part)
    else:
        parts = PARTS[:-1] if part == "all" else (part,)
        names = [name for each in parts for name in getattr(data.split, each)]
        annotated = [data.dataset.annotated[name] for name in names]
    known = [each for each in annotated if each.labelled]
    if not known:
        other = "part=validation or part=all" if part == "test" else "another part"
        raise CryofixError(f"part={part} has no micrograph with coordinates: use {other}")
    if any(each.partial for each in known):
        raise CryofixError(
            f"part={part} has partial labels, by which no pick can be called wrong: give"
            " micrographs with all their particles labelled, for example with data=micrographs"
            " data.images=... data.coordinates=..."
        )
    return known


def headers(data: CryoDataModule) -> dict[str, MicrographInfo]:
    """Return what the files of all micrographs say of themselves, by name."""
    cached = [each.micrograph for each in data.dataset.annotated.values()]
    return {
        each.name: MicrographInfo(each.source, each.full_shape, each.pixel_size_angstrom)
        for each in cached
    }


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
        return pooled_particles(self.records)

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
        used = used[evenly(len(used), CURVE_POINTS)]
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
    scored_on: Sequence[Annotated],
    validation: Sequence[Annotated],
    diameter: float,
    threshold: float | None = None,
) -> list[Scored]:
    """Score programs on the same micrographs.

    A program without scores, or without picks on the validation micrographs, is scored with all
    its picks.

    Parameters
    ----------
    programs
        From :func:`~cryofix.metrics.programs.read_programs`.
    scored_on
        Labelled micrographs that count.
    validation
        Others, on which each program's threshold is chosen; may be empty.
    diameter
        Of a particle, in pixels of the labels.
    threshold
        On the programs' own scale, instead of one from validation.
    """
    scored = []
    for program in programs:
        records = score_program(program, scored_on, diameter)
        has_scores = any(each.score is not None for each in program.picks.values())
        chosen, basis = 0.0, "all picks count"
        if threshold is not None:
            chosen, basis = program.unit_score(threshold), "given"
        elif has_scores and any(each.micrograph.name in program.picks for each in validation):
            chosen = choose_thresholds(score_program(program, validation, diameter)).particle
            basis = f"F1 on {len(validation)} validation micrographs"
        scored.append(Scored(program, records, chosen, basis))
        turned = score_program(program, scored_on, diameter, upside_down=True)
        _warn(scored[-1], Scored(program, turned, chosen, basis))
    return scored


def score_program(
    program: Program, labelled: Sequence[Annotated], diameter: float, upside_down: bool = False
) -> list[MicrographRecord]:
    """Score one program on micrographs; where it has no picks, it has missed everything.

    ``upside_down`` turns the picks over first, to see whether that fits better.
    """
    records = []
    for each in labelled:
        cached = each.micrograph
        picks = program.picks.get(cached.name, Particles.empty())
        y = cached.full_shape[0] - picks.y if upside_down else picks.y
        across, down = cached.scale_xy
        records.append(
            MicrographRecord.measure(
                cached.name,
                Particles(picks.x * across, y * down, picks.score),
                each.particles or Particles.empty(),
                diameter=diameter,
                ignored=each.ignored,
                area=each.area,
            )
        )
    return records


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


def _warn(scored: Scored, turned: Scored) -> None:
    """Say which micrographs have no picks, and whether the picks look upside down."""
    name = scored.program.name
    names = [record.name for record in scored.records]
    without = [each for each in names if each not in scored.program.picks]
    if without:
        log.warning(
            "%s has no picks in %d of %d micrographs (%s, ...): their particles count as missed",
            name,
            len(without),
            len(names),
            without[0],
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
