"""What the labels of a micrograph say of the rest of it, and labels drawn from more of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from cryofix.data.tiles import Annotated
from cryofix.errors import CryofixError, check_known, check_ranges
from cryofix.formats import Particles

KINDS = ("complete", "partial")


@dataclass(frozen=True)
class Labelling:
    """How far the labelled micrographs are labelled.

    Raises CryofixError when a value is none of those known, or out of range.
    """

    labels: str = "complete"
    """``complete``: what no label covers is background; ``partial``: it is unknown."""
    particles_per_micrograph: float | None = None
    """How many particles a micrograph holds, on average over all of them; says the prior."""
    labelled_particles: int | None = None
    """So many particles are drawn from all that are labelled, and the others are taken as unknown.
    Smaller draws are among larger ones. None takes all."""

    def __post_init__(self) -> None:
        check_known("data.labels", self.labels, KINDS)
        check_ranges(
            self, "data.", particles_per_micrograph=(1e-3, 1e6), labelled_particles=(1, 1e9)
        )

    @staticmethod
    def of(data: Mapping[str, Any]) -> "Labelling":
        """Build it from the ``data`` group of a configuration."""
        return Labelling(
            **{each.name: data[each.name] for each in fields(Labelling) if each.name in data}
        )

    @property
    def partial(self) -> bool:
        """Whether there are unlabelled particles in labelled micrographs."""
        return self.labels == "partial" or self.labelled_particles is not None

    def describe(self) -> list[str]:
        """Return a line for the log of what partial labels change, or none."""
        if self.labels != "partial":
            return []
        return [
            "data.labels=partial: what no label covers is unknown. No micrographs are kept for a"
            " test (data.test=0), because no pick without a label could be called wrong."
        ]

    def known(self, annotated: Mapping[str, Annotated]) -> dict[str, Annotated]:
        """Return all micrographs with what their own labels say of the rest of them."""
        partial = self.labels == "partial"
        return {name: replace(one, partial=partial) for name, one in annotated.items()}

    def apply(self, micrographs: Sequence[Annotated], seed: Sequence[int]) -> list[Annotated]:
        """Return labelled micrographs with the particles that were drawn, by ``seed``."""
        if not self.partial:
            return list(micrographs)
        known = [one.particles or Particles.empty() for one in micrographs]
        sizes = [len(particles) for particles in known]
        total, wanted = sum(sizes), self.labelled_particles
        chosen = np.ones(total, dtype=bool)
        if wanted is not None:
            if wanted > total:
                raise CryofixError(
                    f"data.labelled_particles={wanted} is more than the {total} particles of the"
                    " labelled micrographs; lower it, or raise ratio"
                )
            chosen[np.random.default_rng(seed).permutation(total)[wanted:]] = False
        parts = np.split(chosen, np.cumsum(sizes)[:-1])
        return [
            replace(one, particles=particles.select(part), partial=True)
            for one, particles, part in zip(micrographs, known, parts, strict=True)
        ]
