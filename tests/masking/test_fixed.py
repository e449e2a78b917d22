"""The four policies without state: DESIGN's equalities, their sentences, their errors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from cryofix.errors import CryofixError
from cryofix.masking import ClassAware, MaskingPolicy, NoMask, PolicyContext, SoftWeight, Symmetric

CONTEXT = PolicyContext()
probabilities = arrays(
    np.float32, (2, 1, 3, 5), elements=st.floats(0.0, 1.0, width=32, allow_subnormal=False)
).map(torch.from_numpy)
thresholds = st.floats(0.0, 1.0)


def labels(policy: MaskingPolicy, prob: Tensor) -> tuple[Tensor, Tensor]:
    out = policy(prob, torch.ones_like(prob, dtype=torch.bool), CONTEXT)
    return out.target, out.weight


def same(first: MaskingPolicy, second: MaskingPolicy, prob: Tensor) -> bool:
    a, b = labels(first, prob), labels(second, prob)
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


@given(probabilities, thresholds)
def test_distance_from_a_half_is_the_confidence(prob: Tensor, tau: float) -> None:
    _, weight = labels(Symmetric(tau), prob.double().float())
    distance = (prob.double() - 0.5).abs() + 0.5
    clear = (distance - tau).abs() > 1e-7  # float32 cannot tell nearer ones apart
    assert torch.equal(weight[clear] > 0, (distance >= tau)[clear])


@given(probabilities, st.floats(0.0, 0.5))
def test_a_threshold_of_a_half_or_less_is_no_mask(prob: Tensor, tau: float) -> None:
    assert same(Symmetric(tau), NoMask(), prob)


@given(probabilities, st.floats(0.5, 1.0))
def test_complementary_class_thresholds_are_symmetric(prob: Tensor, tp: float) -> None:
    assert same(ClassAware(tp, 1.0 - tp), Symmetric(tp), prob)


@given(probabilities, st.floats(0.5, 1.0))
def test_labelling_at_the_confidence_threshold_changes_nothing(prob: Tensor, tau: float) -> None:
    target, weight = labels(Symmetric(tau), prob)
    kept = weight > 0
    if tau > 0.5:
        assert torch.equal(target[kept], (prob >= tau).float()[kept])


@given(probabilities, thresholds, thresholds)
def test_class_aware_teaches_the_side_that_kept_the_pixel(prob: Tensor, a: float, b: float) -> None:
    tp, tb = max(a, b), min(a, b)
    target, weight = labels(ClassAware(tp, tb), prob)
    assert torch.equal((weight * target) > 0, prob >= tp)


def test_symmetric_keeps_what_its_threshold_says() -> None:
    prob = torch.tensor([0.0, 0.05, 0.3, 0.31, 0.69, 0.7, 1.0]).view(1, 1, 1, 7)
    target, weight = labels(Symmetric(0.7), prob)
    assert weight.flatten().tolist() == [1, 1, 1, 0, 0, 1, 1]
    assert target.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_class_aware_below_a_half_teaches_unsure_pixels_as_particle() -> None:
    prob = torch.tensor([0.1, 0.25, 0.45, 0.9]).view(1, 1, 1, 4)
    target, weight = labels(ClassAware(0.4, 0.2), prob)
    assert weight.flatten().tolist() == [1, 0, 1, 1]
    assert target.flatten().tolist() == [0, 0, 1, 1]


def test_soft_weight_is_the_distance_from_a_half_to_a_power() -> None:
    prob = torch.tensor([0.0, 0.25, 0.5, 0.9]).view(1, 1, 2, 2)
    _, weight = labels(SoftWeight(2.0), prob)
    torch.testing.assert_close(weight.flatten(), torch.tensor([1.0, 0.25, 0.0, 0.64]))
    assert same(SoftWeight(0.0), NoMask(), prob)


@given(probabilities, st.floats(1e-3, 10.0))
def test_soft_targets_follow_the_temperature_formula(prob: Tensor, temperature: float) -> None:
    target, _ = labels(NoMask(target="soft", temperature=temperature), prob)
    p = prob.double().clamp(1e-6, 1 - 1e-6)
    odds = ((p / (1 - p)).log() / temperature).exp()
    expected = torch.where(odds.isinf(), 1.0, odds / (1 + odds))
    inside = (prob > 1e-6) & (prob < 1 - 1e-6)
    torch.testing.assert_close(target[inside].double(), expected[inside], atol=1e-4, rtol=1e-3)
    assert torch.isfinite(target).all()


def test_the_reference_threshold_is_at_least_the_supervised_precision() -> None:
    prob = torch.linspace(0, 1, 101).view(1, 1, 1, 101)
    valid = torch.ones_like(prob, dtype=torch.bool)
    policy = Symmetric(0.7, at_least_precision=True)
    for precision, tau in ((0.8, 0.8), (0.6, 0.7), (float("nan"), 0.7)):
        out = policy(prob, valid, PolicyContext(supervised_precision=precision))
        assert torch.equal(out.weight, labels(Symmetric(tau), prob)[1])
        assert out.scalars["particle_threshold"].item() == pytest.approx(tau)
    with pytest.raises(CryofixError, match=r"mask\.at_least_precision is true"):
        policy(prob, valid, PolicyContext())


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Symmetric(0.5), "threshold 0.5 is no mask"),
        (Symmetric(0.3), "threshold 0.3 is no mask"),
        (ClassAware(0.7, 0.3), "symmetric masking at 0.7"),
        (ClassAware(0.5, 0.5), "this is no mask"),
        (SoftWeight(0.0), "gamma 0 is no mask"),
        (NoMask(target="soft", temperature=0.5), "soft targets sharpened with temperature 0.5"),
        (NoMask(name="control"), "control: keeps every pixel; hard targets."),
    ],
)
def test_descriptions_say_degeneracies(policy: MaskingPolicy, words: str) -> None:
    assert words in policy.describe()


def test_ordinary_settings_are_not_called_degenerate() -> None:
    for policy in (Symmetric(0.7), ClassAware(), SoftWeight()):
        assert "no mask" not in policy.describe()
        assert "symmetric masking" not in policy.describe()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Symmetric(1.2), r"mask\.threshold is 1\.2: give a probability in \[0, 1\]"),
        (lambda: Symmetric(float("nan")), r"mask\.threshold is nan"),
        (lambda: ClassAware(0.4, 0.6), r"mask\.background_threshold is 0\.6: .*is 0\.4"),
        (lambda: ClassAware(0.4, -0.1), r"mask\.background_threshold is -0\.1"),
        (lambda: SoftWeight(-1.0), r"mask\.gamma is -1\.0"),
        (lambda: NoMask(temperature=0.0), r"mask\.temperature is 0\.0"),
        (lambda: NoMask(target="mushy"), r"mask\.target is 'mushy': choose hard or soft"),
        (lambda: PolicyContext(prior=0.0), r"prior share of particle pixels is 0\.0"),
        (lambda: PolicyContext(progress=1.5), r"progress through the FixMatch stage is 1\.5"),
    ],
)
def test_bad_values_name_the_key_the_value_and_the_remedy(build: object, words: str) -> None:
    assert callable(build)
    with pytest.raises(CryofixError, match=words):
        build()
