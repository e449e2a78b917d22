"""What the policies by rank promise: the composition of what they keep."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cryofix.masking import Cbst, Dars, MaskingPolicy, PolicyContext, PseudoLabels, Quota


def labelled(policy: MaskingPolicy, prob: Tensor, context: PolicyContext) -> PseudoLabels:
    valid = torch.ones_like(prob, dtype=torch.bool)
    policy.update(prob, valid, context)
    labels: PseudoLabels = policy(prob, valid, context)
    return labels


def composition(labels: PseudoLabels) -> tuple[float, float]:
    """Return the share of pixels kept, and of particles among them."""
    kept = labels.weight.double()
    return kept.mean().item(), (kept * labels.target).sum().item() / kept.sum().item()


@st.composite
def warped_teachers(draw: st.DrawFn) -> Tensor:
    """Draw a ranking of pixels under an arbitrary rising map to logits: any calibration."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    truth = torch.rand((2, 1, 128, 128), generator=generator) < draw(st.floats(0.01, 0.3))
    logit = torch.where(truth, 0.2, -1.8) + torch.randn(truth.shape, generator=generator)
    knots = draw(st.lists(st.floats(0.05, 4.0), min_size=8, max_size=8))
    heights = torch.tensor(knots).cumsum(0)
    cell = (logit.clamp(-3.99, 3.99) + 4.0).floor().long()  # pieces of unit width from -4 to 4
    start = torch.cat([torch.zeros(1), heights])
    slope = torch.tensor(knots)
    bent = start[cell] + slope[cell] * (logit - (cell - 4.0))
    # Nearer to 1 than logit 7, float32 would tie what the warp keeps apart.
    return torch.sigmoid(bent + draw(st.floats(-30.0, 7.0 - heights.max().item())))


@given(warped_teachers(), st.floats(0.005, 0.3), st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_quota_keeps_the_prior_under_any_calibration(
    prob: Tensor, prior: float, progress: float
) -> None:
    labels = labelled(Quota(), prob, PolicyContext(prior=prior, progress=progress))
    wanted = (0.2 + 0.6 * progress) * prob.numel()
    kept, particles = labels.weight.sum().item(), (labels.weight * labels.target).sum().item()
    # A flat piece of the warp puts a third of the pixels into one bin, with a kink inside it.
    assert kept == pytest.approx(wanted, rel=0.02, abs=5)
    assert particles == pytest.approx(prior * wanted, rel=0.02, abs=5)


@given(warped_teachers(), warped_teachers())
@settings(max_examples=20, deadline=None)
def test_quota_is_blind_to_calibration(prob: Tensor, other: Tensor) -> None:
    """The same ranking in other probabilities gets the same labels, but at the quotas' edges."""
    ranking = prob.flatten().argsort()
    reranked = torch.empty_like(other).view(-1)
    reranked[ranking] = other.flatten().sort().values
    context = PolicyContext(progress=0.5)
    a, b = labelled(Quota(), prob, context), labelled(Quota(), reranked.view_as(prob), context)
    differ = (a.weight != b.weight) | ((a.target != b.target) & (a.weight > 0))
    assert differ.double().mean() < 0.01


@pytest.mark.parametrize(("decay", "follows"), [(0.5, True), (0.99, False)])
def test_quota_follows_a_teacher_that_loses_its_particles(decay: float, follows: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logit = torch.randn((200, 1, 1, 1, 2000), generator=generator)
    policy, context = Quota(decay=decay), PolicyContext(prior=0.04, progress=0.5)
    for tile in logit[:100]:
        labelled(policy, torch.sigmoid(tile), context)
    for tile in logit[100:110]:
        labels = labelled(policy, torch.sigmoid(tile - 4.0), context)
    _, particles = composition(labels)
    assert (particles == pytest.approx(0.04, abs=0.01)) == follows


def test_quota_labels_particles_that_argmax_would_not() -> None:
    prob = torch.linspace(0.0, 0.3, 1000).view(1, 1, 1, 1000)
    labels = labelled(Quota(), prob, PolicyContext(prior=0.04, progress=1.0))
    assert labels.target.sum() == pytest.approx(0.8 * 0.04 * 1000, abs=1)
    assert (labels.weight[labels.target > 0] == 1).all()
    assert labels.scalars["share"].item() == pytest.approx(0.8)


@pytest.mark.parametrize(("asked", "used"), [(0.1, 0.5), (0.5, 0.5), (1.5, 1.5), (9.0, 2.0)])
def test_quota_stays_within_a_factor_of_two_of_the_prior(asked: float, used: float) -> None:
    policy = Quota(prior_factor=asked)
    prob = torch.linspace(0.0, 1.0, 20_000).view(1, 1, 1, -1)
    labels = labelled(policy, prob, PolicyContext(prior=0.05, progress=1.0))
    assert composition(labels)[1] == pytest.approx(used * 0.05, rel=0.02)
    assert labels.scalars["prior"].item() == pytest.approx(used * 0.05)
    assert ("held at" in policy.describe()) == (asked != used)


def test_a_doubled_prior_above_one_half_is_still_a_share() -> None:
    prob = torch.linspace(0.0, 1.0, 1000).view(1, 1, 1, -1)
    labels = labelled(Quota(prior_factor=2.0), prob, PolicyContext(prior=0.7, progress=1.0))
    assert composition(labels)[1] > 0.99


def test_dars_cuts_ties_to_the_quota_and_quota_cannot() -> None:
    prob = torch.full((1, 1, 100, 1000), 0.02)
    prob[..., :100] = 0.97  # a tenth of the pixels, all equal; half of the prior's 4 % are wanted
    context = PolicyContext(prior=0.04)
    kept, particles = composition(labelled(Dars(share=0.5), prob, context))
    assert kept == pytest.approx(0.5, rel=0.02)
    assert particles == pytest.approx(0.04, rel=0.05)


def test_dars_keeps_whole_what_is_predicted_less_often_than_its_quota() -> None:
    prob = torch.rand((1, 1, 100, 100), generator=torch.Generator().manual_seed(0)) * 0.4
    prob[..., 0] = 0.9  # 1 %, where rho * pi is 5 %
    labels = labelled(Dars(share=0.5), prob, PolicyContext(prior=0.1))
    assert (labels.weight[..., 0] == 1).all()
    assert labels.weight.mean().item() == pytest.approx(0.01 + 0.45, rel=0.02)


@given(warped_teachers(), st.floats(0.0, 1.0))
@settings(max_examples=20, deadline=None)
def test_cbst_keeps_the_same_share_of_both_predicted_classes(prob: Tensor, progress: float) -> None:
    labels = labelled(Cbst(), prob, PolicyContext(progress=progress))
    share = 0.2 + 0.3 * progress
    for predicted in (prob >= 0.5, prob < 0.5):
        if predicted.sum() > 500:
            assert labels.weight[predicted].mean().item() == pytest.approx(share, abs=0.01)
