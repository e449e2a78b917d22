"""Policies in disguise are recognised by what they keep, and honest ones are not accused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryofix import masking
from cryofix.masking import MaskingPolicy, PolicyContext, Selection, find_equivalents
from cryofix.masking.policy import Probs, Valid
from cryofix.masking.probability import confidence

PROB = torch.sigmoid(
    2.0 * torch.randn((3, 1, 64, 64), generator=torch.Generator().manual_seed(0)) - 1.0
)
CONTEXT = PolicyContext()


class Distance(MaskingPolicy):
    """Keep what is far from 0.5: DESIGN's ``|p - 0.5| + 0.5``."""

    name = "distance"

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        return Selection(weight=(prob - 0.5).abs() + 0.5 >= 0.8)

    def rule(self) -> str:
        return "keeps what is far from 0.5"


class EntropyPercentile(Distance):
    """Keep the 60 % of the batch with the lowest entropy."""

    name = "entropy_percentile"

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        entropy = -torch.xlogy(prob, prob) - torch.xlogy(1 - prob, 1 - prob)
        return Selection(weight=entropy <= np.quantile(entropy.numpy(), 0.6))


class GlobalThreshold(Distance):
    """Keep what is surer than the mean: FreeMatch without its class thresholds."""

    name = "global_threshold"

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        sure = confidence(prob)
        return Selection(weight=sure >= sure.mean())


class LabelledAtTheThreshold(Distance):
    """Symmetric masking with labels cut at the threshold instead of at 0.5."""

    name = "labelled_at_the_threshold"

    def select(self, prob: Probs, valid: Valid, context: PolicyContext) -> Selection:
        return Selection(weight=confidence(prob) >= 0.7, positive=prob >= 0.7)


def names(policy: MaskingPolicy) -> list[str]:
    return [each.policy.name for each in find_equivalents(policy, PROB, CONTEXT)]


def symmetric_threshold(policy: MaskingPolicy) -> float:
    """Return the threshold at which the policy was found to be symmetric, and check that it is."""
    (found,) = [
        each
        for each in find_equivalents(policy, PROB, CONTEXT)
        if isinstance(each.policy, masking.Symmetric)
    ]
    assert isinstance(found.policy, masking.Symmetric)
    assert found.scale == 1.0
    valid = torch.ones_like(PROB, dtype=torch.bool)
    assert torch.equal(
        found.policy(PROB, valid, CONTEXT).weight, policy(PROB, valid, CONTEXT).weight
    )
    return found.policy.threshold


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5])
def test_a_threshold_of_a_half_or_less_is_no_mask(threshold: float) -> None:
    assert names(masking.Symmetric(threshold)) == ["none"]


@given(st.floats(0.55, 0.95))
@settings(max_examples=25, deadline=None)
def test_complementary_class_thresholds_are_symmetric(tp: float) -> None:
    policy = masking.ClassAware(tp, 1.0 - tp)
    assert names(policy) == ["symmetric", "class_aware"]
    assert symmetric_threshold(policy) == pytest.approx(tp, abs=2e-3)


@pytest.mark.parametrize(
    ("policy", "threshold"),
    [
        (Distance(), 0.8),
        (LabelledAtTheThreshold(), 0.7),
        (masking.ClassAware(0.6, 0.4), 0.6),
        (masking.Debiased(strength=0.0, threshold=0.7), 0.7),
        (masking.InverseKeep(masking.Symmetric(0.7)), 0.7),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_disguises_are_named_with_their_round_threshold(
    policy: MaskingPolicy, threshold: float
) -> None:
    assert symmetric_threshold(policy) == threshold


@pytest.mark.parametrize("policy", [EntropyPercentile(), GlobalThreshold()])
def test_rules_of_confidence_alone_are_symmetric_somewhere(policy: MaskingPolicy) -> None:
    kept = policy(PROB, torch.ones_like(PROB, dtype=torch.bool), CONTEXT).weight > 0
    threshold = symmetric_threshold(policy)
    assert confidence(PROB)[~kept].max() < threshold <= confidence(PROB)[kept].min() + 1e-6


def test_an_asymmetric_policy_is_not_called_symmetric() -> None:
    (found,) = find_equivalents(masking.ClassAware(0.6, 0.2), PROB, CONTEXT)
    assert isinstance(found.policy, masking.ClassAware)
    assert found.policy.particle_threshold == 0.6
    assert found.policy.background_threshold == pytest.approx(0.2)


def test_class_thresholds_at_work_are_found_behind_rank_and_prior() -> None:
    for policy in (masking.Quota(), masking.Adsh(0.8), masking.LogitAdjusted(strength=0.2)):
        policy.update(PROB, torch.ones_like(PROB, dtype=torch.bool), CONTEXT)
        assert names(policy) == ["class_aware"]


def test_weights_are_compared_up_to_one_factor() -> None:
    (found,) = find_equivalents(masking.ImageWeight(0.9), PROB[:1], CONTEXT)
    assert found.policy.name == "none"
    assert found.scale == pytest.approx((confidence(PROB[:1]) >= 0.9).float().mean().item())
    assert "times its" in str(found)
    assert names(masking.ImageWeight(0.9)) == []  # three tiles, three weights


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.345678])
def test_soft_weights_are_found_with_their_exponent(gamma: float) -> None:
    (found,) = find_equivalents(masking.SoftWeight(gamma), PROB, CONTEXT)
    assert isinstance(found.policy, masking.SoftWeight)
    assert found.policy.gamma == pytest.approx(gamma, rel=1e-4)


@pytest.mark.parametrize(
    "policy", [masking.Bernoulli(), masking.SoftMatch(), masking.Debiased(), masking.Dars()]
)
def test_what_no_fixed_policy_does_has_no_equivalent(policy: MaskingPolicy) -> None:
    context = PolicyContext(labelled_prob=PROB, labelled_target=(PROB > 0.9).float())
    valid = torch.ones_like(PROB, dtype=torch.bool)
    policy.update(PROB, valid, context)
    assert find_equivalents(policy, PROB, context) == []


def test_targets_matter_where_pixels_are_kept() -> None:
    soft = masking.Symmetric(0.7, target="soft")
    assert "soft targets" in find_equivalents(soft, PROB, CONTEXT)[0].policy.describe()
    assert find_equivalents(soft, PROB, CONTEXT, [masking.Symmetric(0.7)]) == []


def test_given_candidates_are_swept_and_all_that_fit_are_returned() -> None:
    grid = torch.tensor([0.05, 0.25, 0.45, 0.55, 0.75, 0.95]).view(1, 1, 2, 3)
    sweep = [masking.Symmetric(tau) for tau in (0.5, 0.6, 0.65, 0.7, 0.8)]
    found = find_equivalents(masking.Symmetric(0.62), grid, CONTEXT, sweep)
    thresholds = [
        each.policy.threshold for each in found if isinstance(each.policy, type(sweep[0]))
    ]
    assert thresholds == [0.6, 0.65, 0.7]


def test_invalid_pixels_do_not_count() -> None:
    valid = confidence(PROB) >= 0.8
    found = find_equivalents(masking.Symmetric(0.7), PROB, CONTEXT, valid=valid)
    assert [each.policy.name for each in found] == ["none"]
    nothing = find_equivalents(masking.Symmetric(0.7), PROB, CONTEXT, valid=~(PROB >= 0))
    assert [each.policy.name for each in nothing] == ["none"]


def test_asking_does_not_move_the_state() -> None:
    policy = masking.Quota()
    before = {key: value.clone() for key, value in policy.state_dict().items()}
    find_equivalents(policy, PROB, CONTEXT)
    assert all(torch.equal(before[key], value) for key, value in policy.state_dict().items())
