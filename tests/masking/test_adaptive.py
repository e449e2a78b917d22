"""The formula of each policy with state, worked out beside it with NumPy on small batches."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryofix import masking
from cryofix.masking import MaskingPolicy, PolicyContext, PseudoLabels
from cryofix.masking.ranks import uniform_noise
from cryofix.masking.running import RunningMean

Array = NDArray[np.float64]


def batch(seed: int, mean: float = -1.0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.sigmoid(mean + scale * torch.randn((2, 1, 16, 16), generator=generator))


def array(prob: Tensor) -> Array:
    return prob.double().numpy().ravel()


def labelled(policy: MaskingPolicy, prob: Tensor, context: PolicyContext) -> PseudoLabels:
    valid = torch.ones_like(prob, dtype=torch.bool)
    policy.update(prob, valid, context)
    labels: PseudoLabels = policy(prob, valid, context)
    return labels


def logit(share: Array | float) -> Array:
    return np.asarray(np.log(share) - np.log1p(-np.asarray(share)))


def expit(z: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-z)))


PROB = batch(0)
p = array(PROB)
conf, pred = np.maximum(p, 1 - p), p >= 0.5
LABELLED = batch(1, mean=-2.0)
CONTEXT = PolicyContext(
    prior=0.04, labelled_prob=LABELLED, labelled_target=(batch(2) > 0.4).float(), seed=3
)


def check(labels: PseudoLabels, weight: NDArray[Any], target: NDArray[Any]) -> None:
    np.testing.assert_allclose(array(labels.weight), weight, atol=2e-5)
    np.testing.assert_array_equal(array(labels.target), target)


def test_adamatch() -> None:
    q = array(LABELLED)
    aligned = p * q.mean() / p.mean()
    aligned = aligned / (aligned + (1 - p) * (1 - q.mean()) / (1 - p.mean()))
    tau = 0.9 * np.maximum(q, 1 - q).mean()
    labels = labelled(masking.AdaMatch(), PROB, CONTEXT)
    check(labels, np.maximum(aligned, 1 - aligned) >= tau, aligned >= 0.5)


def test_adamatch_without_labelled_tiles_aligns_to_the_prior() -> None:
    labels = labelled(masking.AdaMatch(), PROB, PolicyContext(prior=0.1))
    shift = math.log(0.1 / 0.9) - math.log(p.mean() / (1 - p.mean()))
    assert labels.scalars["logit_shift"].item() == pytest.approx(shift, abs=1e-5)


def test_debiased_shifts_the_teacher_and_gives_the_student_the_opposite() -> None:
    labels = labelled(masking.Debiased(strength=0.5, threshold=0.7), PROB, CONTEXT)
    margin = 0.5 * float(logit(p.mean()))
    moved = expit(logit(p) - margin)
    check(labels, np.maximum(moved, 1 - moved) >= 0.7, moved >= 0.5)
    assert labels.student_logit_shift is not None
    assert labels.student_logit_shift.item() == pytest.approx(margin, abs=1e-5)
    assert labels.student_logit_shift < 0  # particles are rare


def test_logit_adjusted_takes_out_the_prior() -> None:
    labels = labelled(masking.LogitAdjusted(threshold=0.7), PROB, CONTEXT)
    moved = expit(logit(p) - math.log(0.04 / 0.96))
    check(labels, np.maximum(moved, 1 - moved) >= 0.7, moved >= 0.5)
    particles = labels.target * labels.weight > 0
    assert PROB[particles].min().item() == pytest.approx(
        labels.scalars["particle_threshold"].item(), abs=0.01
    )


def test_without_a_shift_alignment_is_symmetric() -> None:
    valid = torch.ones_like(PROB, dtype=torch.bool)
    expected = masking.Symmetric(0.7)(PROB, valid, CONTEXT)
    for policy in (
        masking.Debiased(strength=0.0, threshold=0.7),
        masking.LogitAdjusted(strength=0.0, threshold=0.7),
    ):
        labels = labelled(policy, PROB, CONTEXT)
        assert torch.equal(labels.weight, expected.weight)
        assert torch.equal(labels.target, expected.target)
        assert "symmetric masking at 0.7" in policy.describe()


def test_flexmatch() -> None:
    tau = 0.8
    sure = [(conf >= tau) & ~pred, (conf >= tau) & pred]
    shares = [mask.mean() for mask in sure]
    most = max(*shares, 1 - sum(shares))
    thresholds = [tau * (s / most) / (2 - s / most) for s in shares]
    labels = labelled(masking.FlexMatch(tau), PROB, CONTEXT)
    check(labels, np.where(pred, thresholds[1], thresholds[0]) <= conf, pred)


def test_flexmatch_warms_up_while_most_pixels_are_unsure() -> None:
    unsure = batch(4, mean=-0.5, scale=0.3)
    labels = labelled(masking.FlexMatch(0.95), unsure, CONTEXT)
    assert (labels.weight == 1).all()  # nothing is above tau, so both thresholds are 0


def test_freematch() -> None:
    mean = p.mean()
    most = max(mean, 1 - mean)
    thresholds = (conf.mean() * (1 - mean) / most, conf.mean() * mean / most)
    check(
        labelled(masking.FreeMatch(), PROB, CONTEXT),
        np.where(pred, *thresholds[::-1]) <= conf,
        pred,
    )


def test_softmatch() -> None:
    uniform = p * 0.5 / p.mean()
    uniform = uniform / (uniform + (1 - p) * 0.5 / (1 - p.mean()))
    c = np.maximum(uniform, 1 - uniform)
    weight = np.exp(-(np.minimum(c - c.mean(), 0) ** 2) * 4 / (2 * c.var()))
    check(labelled(masking.SoftMatch(), PROB, CONTEXT), weight, pred)


def test_softmatch_without_alignment_looks_at_the_confidence_alone() -> None:
    policy = masking.SoftMatch(align=False)
    weight = np.exp(-(np.minimum(conf - conf.mean(), 0) ** 2) * 4 / (2 * conf.var()))
    check(labelled(policy, PROB, CONTEXT), weight, pred)
    assert "symmetric" in policy.describe()


def test_softmatch_as_published_weighs_a_flipped_pixel_by_the_other_class() -> None:
    rare = batch(5, mean=-4.0)
    labels = labelled(masking.SoftMatch(), rare, CONTEXT)
    ranked = labels.weight.flatten()[rare.flatten().argsort()]
    background = ranked[labels.target.flatten().sort().values < 0.5]
    assert background.argmin() not in (0, len(background) - 1)  # falls, then rises towards 0.5


def test_adsh_gives_particles_the_keep_rate_of_background() -> None:
    labels = labelled(masking.Adsh(0.9), PROB, CONTEXT)
    kept = array(labels.weight)
    np.testing.assert_array_equal(kept[~pred], conf[~pred] >= 0.9)
    assert kept[pred].mean() == pytest.approx(kept[~pred].mean(), abs=0.02)
    assert conf[pred & (kept > 0)].min() > conf[pred & (kept == 0)].max()


def test_image_weight_is_the_confident_share_of_each_tile() -> None:
    valid = torch.ones_like(PROB, dtype=torch.bool)
    valid[0, :, :8] = False
    labels = masking.ImageWeight(0.9)(PROB, valid, CONTEXT)
    sure = torch.maximum(PROB, 1 - PROB) >= 0.9
    for tile in range(2):
        expected = sure[tile][valid[tile]].float().mean()
        torch.testing.assert_close(labels.weight[tile][valid[tile]].unique(), expected.reshape(1))


def test_bernoulli_thins_the_class_learnt_better() -> None:
    truth = LABELLED > 0.9  # a model that is right about its surest pixels only
    context = PolicyContext(labelled_prob=LABELLED, labelled_target=truth.float(), seed=1)
    big = batch(6).repeat(20, 1, 4, 4)
    labels = labelled(masking.Bernoulli(gamma=2.0), big, context)
    a_particle = LABELLED[truth].double().mean().item()
    a_background = 1 - LABELLED[~truth].double().mean().item()
    missing = max(1 - a_particle, 1 - a_background)
    for predicted, a in ((big >= 0.5, a_particle), (big < 0.5, a_background)):
        expected = ((1 - a) / missing) ** 2
        assert labels.weight[predicted].mean().item() == pytest.approx(expected, abs=0.01)


def test_inverse_keep_weighs_both_classes_as_predicted_up_to_its_cap() -> None:
    inner = masking.Symmetric(0.9)
    labels = labelled(masking.InverseKeep(masking.Symmetric(0.9)), PROB, CONTEXT)
    kept = conf >= 0.9
    weight = np.where(pred, 1 / kept[pred].mean(), 1 / kept[~pred].mean()) * kept
    check(labels, weight, pred)
    capped = labelled(masking.InverseKeep(masking.Symmetric(0.9), cap=1.0), PROB, CONTEXT)
    expected = labelled(inner, PROB, CONTEXT)
    assert torch.equal(capped.weight, expected.weight)
    assert labelled(masking.InverseKeep(inner, cap=1.5), PROB, CONTEXT).weight.max() == 1.5


def test_inverse_keep_carries_the_state_of_what_it_wraps() -> None:
    policy = masking.InverseKeep(masking.Quota())
    labelled(policy, PROB, CONTEXT)
    assert policy.state_dict()["policy.histogram.updates"] == 1
    assert "quota" in policy.describe()


def test_the_running_mean_is_plain_and_then_exponential() -> None:
    mean = RunningMean(0.5, 7.0, decay=0.75)
    expected = 0.0
    for step, value in enumerate([0.1, 0.3, 0.2, 0.9, 0.4, 0.8]):
        mean.move(torch.tensor([value * 10, 0.0]), torch.tensor([10, 0]))
        decay = min(step / (step + 1), 0.75)
        expected = decay * expected + (1 - decay) * value
    assert mean.value.tolist() == [pytest.approx(expected), 7.0]
    assert mean.updates.tolist() == [6, 0]


def test_noise_is_uniform_and_differs_between_steps() -> None:
    like = torch.zeros(4, 1, 256, 256)
    draws = [uniform_noise(like, seed) for seed in (0, 1, 2**33, 123_456_789_012)]
    for noise in draws:
        assert 0 <= noise.min() < 1e-3
        assert 1 - 1e-3 < noise.max() < 1
        counts = torch.histc(noise, 64, 0, 1)
        chi2 = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
        assert 20 < chi2 < 130  # 63 degrees of freedom
        # neighbours in a row and in a column are unrelated
        for shift in (1, 256):
            pairs = torch.stack([noise.flatten()[:-shift], noise.flatten()[shift:]])
            assert abs(torch.corrcoef(pairs)[0, 1]) < 0.01
    for i, first in enumerate(draws):
        for second in draws[:i] + draws[i + 1 :]:
            for shift in (0, 1, 2, 3):  # nor is one step's noise another's, moved along
                parts = first.flatten()[shift:], second.flatten()[: first.numel() - shift]
                assert abs(torch.corrcoef(torch.stack(parts))[0, 1]) < 0.01


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (masking.AdaMatch(0.4), "no mask"),
        (masking.FlexMatch(0.5), "threshold 0.5 is no mask"),
        (masking.Adsh(0.5), "threshold 0.5 is no mask"),
        (masking.ImageWeight(0.5), "threshold 0.5 is no mask"),
        (masking.Bernoulli(0.0), "gamma 0 is no mask"),
        (masking.InverseKeep(cap=1.0), "cap 1 changes nothing"),
        (masking.Cbst(share_start=0.3, share_end=0.3), "surest 30% of"),
        (masking.Quota(prior_factor=1.5), "taken as 1.5 x the labelled one"),
    ],
)
def test_descriptions_say_degeneracies(policy: MaskingPolicy, words: str) -> None:
    assert words in policy.describe()


@pytest.mark.parametrize(
    "policy",
    [
        masking.AdaMatch(0.4),
        masking.FlexMatch(0.5),
        masking.Adsh(0.5),
        masking.ImageWeight(0.5),
        masking.Bernoulli(0.0),
        masking.Cbst(share_start=1.0, share_end=1.0),
    ],
)
def test_what_is_called_no_mask_is_none(policy: MaskingPolicy) -> None:
    assert (labelled(policy, PROB, CONTEXT).weight == 1).all()
