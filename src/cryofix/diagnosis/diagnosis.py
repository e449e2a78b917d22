"""The whole diagnosis of one mask and one teacher."""

from dataclasses import dataclass

import numpy as np
import torch

from cryofix.diagnosis.generations import Course, balance_step, follow
from cryofix.diagnosis.observation import Observation
from cryofix.diagnosis.policies import Masked, apply_policy
from cryofix.diagnosis.remedy import Change, changes
from cryofix.errors import CryofixError
from cryofix.masking import MaskingPolicy, PolicyContext
from cryofix.masking.equivalence import find_equivalents
from cryofix.metrics.bins import CENTRES
from cryofix.metrics.histogram import ProbabilityHistogram
from cryofix.metrics.rates import Rates


@dataclass(frozen=True)
class Diagnosis:
    """What is known of a mask on a teacher's probabilities."""

    observation: Observation
    """The teacher."""
    context: PolicyContext
    """What the mask was told."""
    policy: MaskingPolicy
    """The mask; ``masked`` is what it does."""
    masked: Masked
    rows: list[Rates]
    """The keep-rate table at the thresholds of the reference run and between."""
    rates: Rates
    """The same row for the policy itself."""
    step: float
    """How far its labels move log-odds, see `generations`."""
    course: Course
    """What becomes of the teacher."""
    changes: list[Change]
    """Other masks, the recommended first."""
    equivalents: list[str]
    """Simpler policies that do the same on these pixels, in words."""

    @property
    def histogram(self) -> ProbabilityHistogram:
        """The teacher's probabilities."""
        return self.observation.histogram

    @property
    def prior(self) -> float | None:
        """Share of particle pixels to compare with; None if nobody knows it."""
        return self.observation.prior

    @property
    def remedy(self) -> Change | None:
        """The smallest change without drift, if there is one."""
        return next((change for change in self.changes if change.cures), None)


def diagnose(observation: Observation, policy: MaskingPolicy, progress: float = 1.0) -> Diagnosis:
    """Diagnose a mask, in any state: it is built anew from the observed distribution.

    ``progress`` is through the FixMatch stage, from 0 to 1, for masks that change during it.

    Raises CryofixError if there is no pixel, or the policy needs to know what the observation does
    not hold.
    """
    histogram, prior = observation.histogram, observation.prior
    if not histogram.pixels:
        raise CryofixError(f"{observation.source} has no valid pixel: there is nothing to diagnose")
    if not 0 <= progress <= 1:
        raise CryofixError(f"progress={progress} is not between 0 and 1: 1 is the end of the stage")
    context = observation.context(progress)
    if policy.uses_labels and context.labelled_prob is None:
        raise CryofixError(
            f"mask={policy.name} looks at labelled pixels of both classes, and {observation.source}"
            " has none: give truth= or a checkpoint with complete labels, or take another mask"
        )
    masked = apply_policy(policy, histogram, context)
    # One pixel of every bin that has any.
    filled = torch.from_numpy(CENTRES[histogram.total > 0].astype(np.float32))
    same = find_equivalents(masked.policy, filled.reshape(1, 1, 1, -1), context)
    total = histogram.total.astype(np.float64)
    return Diagnosis(
        observation=observation,
        context=context,
        policy=policy,
        masked=masked,
        rows=histogram.table(prior=prior),
        rates=masked.rates(prior),
        step=balance_step(masked, CENTRES, total, policy.target == "soft"),
        course=follow(policy, histogram, context),
        changes=changes(masked, histogram, context, prior),
        equivalents=[str(each) for each in same if type(each.policy) is not type(policy)],
    )
