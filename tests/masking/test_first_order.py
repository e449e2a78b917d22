"""What each policy keeps of one frozen teacher, against figures worked out beforehand.

The teacher has Gaussian logits within each true class. *Keep* is the share of a *true* class's
pixels that weigh anything, whichever label they get; *particle share* is the share of pixels
labelled particle among the kept. Figures are of the first order: nothing is trained.
"""

import math

import pytest
import torch
from torch import Tensor

from cryofix import masking
from cryofix.masking import MaskingPolicy, PolicyContext

PRIOR = 0.04
PIXELS = 500_000


def normal(mean: float, deviation: float, count: int) -> Tensor:
    """Return the quantiles of a normal distribution: a sample without sampling noise."""
    ranks = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    sample: Tensor = mean + deviation * torch.special.ndtri(ranks)
    return sample


def teacher(particle: tuple[float, float], background: tuple[float, float]) -> Tensor:
    """Return p, the true particles first."""
    count = round(PRIOR * PIXELS)
    logit = torch.cat([normal(*particle, count), normal(*background, PIXELS - count)])
    return torch.sigmoid(logit).float().view(1, 1, 1, -1)


UNSURE = teacher((0.2, 0.7), (-1.8, 1.0))
OVER_CONFIDENT = teacher((1.2, 1.2), (-1.0, 1.2))
TRUTH = torch.zeros(1, 1, 1, PIXELS)
TRUTH[..., : round(PRIOR * PIXELS)] = 1.0


def measured(policy: MaskingPolicy, prob: Tensor) -> tuple[float, float, float]:
    """Return particle keep, background keep and particle share."""
    context = PolicyContext(
        prior=PRIOR,
        progress=1.0,
        # A labelled batch that is known perfectly: its mean is the prior, its confidence 1.
        labelled_prob=TRUTH,
        labelled_target=TRUTH,
        labelled_valid=TRUTH >= 0,
    )
    valid = torch.ones_like(prob, dtype=torch.bool)
    policy.update(prob, valid, context)
    labels = policy(prob, valid, context)
    kept = (labels.weight > 0).double()
    return (
        kept[TRUTH > 0].mean().item(),
        kept[TRUTH == 0].mean().item(),
        (kept * labels.target).sum().item() / kept.sum().item(),
    )


@pytest.mark.parametrize(
    ("policy", "particle_keep", "background_keep", "share"),
    [
        (masking.Symmetric(0.7), 0.24, 0.83, 0.013),
        (masking.FreeMatch(), 0.62, 0.65, 0.091),
        (masking.FlexMatch(0.7), 0.68, 0.87, 0.069),
        (masking.ClassAware(0.55, 0.15), 0.50, 0.55, 0.077),
        (masking.Quota(), 0.46, 0.81, 0.040),
    ],
    ids=lambda value: value.name if isinstance(value, MaskingPolicy) else "",
)
def test_an_unsure_teacher(
    policy: MaskingPolicy, particle_keep: float, background_keep: float, share: float
) -> None:
    """To about half a unit of the last printed digit; some figures were cut, not rounded."""
    found = measured(policy, UNSURE)
    assert found[0] == pytest.approx(particle_keep, abs=0.006)
    assert found[1] == pytest.approx(background_keep, abs=0.006)
    assert found[2] == pytest.approx(share, abs=0.001)


def test_aligning_an_uncalibrated_teacher_to_the_prior_labels_no_particle() -> None:
    policy = masking.AdaMatch(0.7)
    _, background_keep, share = measured(policy, UNSURE)
    assert share < 0.0005
    assert background_keep > 0.99


@pytest.mark.parametrize(
    "policy", [masking.FreeMatch(), masking.FlexMatch(0.7), masking.ClassAware(0.55, 0.15)]
)
def test_an_over_confident_teacher_makes_some_run_away(policy: MaskingPolicy) -> None:
    assert 0.295 < measured(policy, OVER_CONFIDENT)[2] < 0.42


def test_the_quota_does_not_run_away() -> None:
    assert measured(masking.Quota(), OVER_CONFIDENT)[2] == pytest.approx(PRIOR, abs=0.0005)


def test_equal_keep_rates_of_the_predicted_classes_are_no_drift() -> None:
    for policy in (masking.Adsh(0.7), masking.Cbst()):
        valid = torch.ones_like(UNSURE, dtype=torch.bool)
        policy.update(UNSURE, valid, PolicyContext())
        weight = policy(UNSURE, valid, PolicyContext(progress=1.0)).weight
        particle, background = weight[UNSURE >= 0.5].mean(), weight[UNSURE < 0.5].mean()
        assert math.log(particle.item() / background.item()) == pytest.approx(0.0, abs=0.01)


def test_symmetric_masking_drifts_and_its_inverse_does_not() -> None:
    drifts = []
    for policy in (masking.Symmetric(0.7), masking.InverseKeep(masking.Symmetric(0.7))):
        valid = torch.ones_like(UNSURE, dtype=torch.bool)
        policy.update(UNSURE, valid, PolicyContext())
        weight = policy(UNSURE, valid, PolicyContext()).weight
        particle, background = weight[UNSURE >= 0.5].mean(), weight[UNSURE < 0.5].mean()
        drifts.append(math.log(particle.item() / background.item()))
    assert drifts[0] == pytest.approx(math.log(0.186 / 0.849), abs=0.01)
    assert drifts[1] == pytest.approx(0.0, abs=1e-3)
