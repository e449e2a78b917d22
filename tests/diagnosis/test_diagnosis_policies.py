from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryofix.diagnosis.policies import apply_policy, build_policy, changed
from cryofix.errors import CryofixError
from cryofix.masking import (
    AdaMatch,
    Adsh,
    Bernoulli,
    Cbst,
    ClassAware,
    Dars,
    Debiased,
    FlexMatch,
    FreeMatch,
    ImageWeight,
    InverseKeep,
    LogitAdjusted,
    MaskingPolicy,
    NoMask,
    PolicyContext,
    Quota,
    SoftMatch,
    SoftWeight,
    Symmetric,
)
from cryofix.metrics.bins import BINS
from cryofix.metrics.histogram import ProbabilityHistogram
from cryofix.metrics.rates import WeightTally

CONTEXT = PolicyContext(prior=0.04, progress=1.0)
STATELESS = [
    NoMask(),
    NoMask(target="soft"),
    Symmetric(0.7),
    Symmetric(0.95),
    Symmetric(0.4),
    ClassAware(0.6, 0.2),
]
THRESHOLDED = [
    ClassAware(0.3, 0.1),
    ClassAware(0.9, 0.7),
    Adsh(0.7),
    FreeMatch(),
    FlexMatch(),
    Quota(),
    Cbst(),
    Debiased(),
    LogitAdjusted(),
]
OTHERS = [SoftWeight(), SoftMatch(), InverseKeep(Symmetric(0.7)), Dars(), AdaMatch()]
Teacher = tuple[NDArray[np.float32], NDArray[np.bool_]]


def direct(policy: MaskingPolicy, p: NDArray[np.float32], truth: NDArray[np.bool_]) -> WeightTally:
    """Apply a policy to the pixels themselves."""
    tile = torch.from_numpy(p).reshape(1, 1, 1, -1)
    valid = torch.ones_like(tile, dtype=torch.bool)
    policy.update(tile, valid, CONTEXT)
    labels = policy(tile, valid, CONTEXT)
    target, weight = (part.numpy().ravel() for part in (labels.target, labels.weight))
    return WeightTally.from_arrays(p, target, weight, truth)


@pytest.mark.parametrize("policy", STATELESS, ids=lambda policy: policy.describe())
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_masks_at_fixed_thresholds_are_exact(policy: MaskingPolicy, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(1 / (1 + np.exp(-rng.normal(-1, 3, 400))), 3).astype(np.float32)
    truth = rng.random(400) < 0.3
    histogram = ProbabilityHistogram.from_arrays(p, truth)
    ours = apply_policy(policy, histogram, CONTEXT).rates(0.1)
    for key, rate in direct(policy, p, truth).rates(prior=0.1).items():
        assert ours[key] == (None if rate is None else pytest.approx(rate, rel=1e-3)), key


@pytest.mark.parametrize("policy", THRESHOLDED + OTHERS, ids=lambda policy: policy.name)
def test_policies_with_state_do_what_they_do_to_the_pixels(
    policy: MaskingPolicy, teacher: Teacher
) -> None:
    histogram = ProbabilityHistogram.from_arrays(*teacher)
    ours = apply_policy(policy, histogram, CONTEXT).rates(0.04)
    expected = direct(policy, *teacher).rates(prior=0.04)
    for key, rate in expected.items():
        if key == "drift" and (expected["particle_keep"] or 0) < 0.005:
            continue  # the logarithm of a rate of a few pixels
        assert ours[key] == (None if rate is None else pytest.approx(rate, rel=0.02, abs=2e-3)), key


def test_random_and_tile_wise_masks_treat_the_classes_alike_where_they_should(
    teacher: Teacher,
) -> None:
    histogram = ProbabilityHistogram.from_arrays(*teacher)
    assert apply_policy(ImageWeight(0.7), histogram, CONTEXT).rates(None)["drift"] == pytest.approx(
        0, abs=1e-9
    )
    context = PolicyContext(
        labelled_prob=torch.tensor([0.9, 0.5]).reshape(1, 1, 1, 2),
        labelled_target=torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2),
    )
    # Background is learnt half as well, so all of it is kept, and a fifth of the particles.
    rates = apply_policy(Bernoulli(), histogram, context).rates(None)
    assert rates["background_keep"] == 1.0
    assert rates["particle_keep"] == pytest.approx(0.2, abs=0.02)


def test_the_policy_itself_is_not_moved(teacher: Teacher) -> None:
    policy = Quota()
    before = {key: value.clone() for key, value in policy.state_dict().items()}
    apply_policy(policy, ProbabilityHistogram.from_arrays(*teacher), CONTEXT)
    assert all(torch.equal(value, before[key]) for key, value in policy.state_dict().items())


@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("policy", STATELESS + THRESHOLDED + OTHERS, ids=lambda each: each.name)
def test_one_value_everywhere_gives_finite_rates_or_none(
    policy: MaskingPolicy, value: float
) -> None:
    histogram = ProbabilityHistogram.from_arrays(np.full(50, value, np.float32), np.zeros(50))
    rates = apply_policy(policy, histogram, CONTEXT).rates(0.04)
    assert all(rate is None or np.isfinite(rate) for rate in rates.values())


def test_changed_counts_pixels(teacher: Teacher) -> None:
    p = teacher[0]
    histogram = ProbabilityHistogram.from_arrays(p)
    one, other = (apply_policy(ClassAware(tp, 0.3), histogram, CONTEXT) for tp in (0.7, 0.6))
    between = ((p >= np.float32(0.6)) & (p < np.float32(0.7))).mean()
    assert changed(one, other, histogram) == pytest.approx(between)
    assert changed(one, one, histogram) == 0
    assert one.weight.shape == (BINS,)


def test_a_policy_is_built_from_its_configuration() -> None:
    config = {
        "_target_": "cryofix.masking.InverseKeep",
        "name": "mine",
        "cap": 5.0,
        "policy": {"_target_": "cryofix.masking.fixed.Symmetric", "threshold": 0.7},
    }
    policy = build_policy(config)
    assert isinstance(policy, InverseKeep)
    assert policy.name == "mine"
    assert isinstance(policy.policy, Symmetric)
    assert policy.policy.threshold == 0.7


@pytest.mark.parametrize(
    "target",
    [
        "os.mkdir",
        "cryofix.masking.fixed.require",
        "cryofix.masking.running_histogram.Histogram",
        "cryofix.masking.policy.MaskingPolicy.__init_subclass__",
        "cryofix.masking.nothing.Here",
        "cryofix.maskingx.Symmetric",
        "torch.nn.Linear",
        "",
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_checkpoint_cannot_have_anything_but_a_policy_called(
    target: str, nested: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config: dict[str, Any] = {"_target_": target, "path": "owned"}
    if nested:
        config = {"_target_": "cryofix.masking.InverseKeep", "policy": config}
    with pytest.raises(CryofixError, match="is no MaskingPolicy of") as error:
        build_policy(config)
    assert f"mask{'.policy' * nested}._target_={target}" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"_target_": "cryofix.masking.Symmetric", "treshold": 0.7}, "mask.treshold is not a key"),
        ({"_target_": "cryofix.masking.Symmetric", "threshold": 1.7}, "mask.threshold"),
        (
            {"_target_": "cryofix.masking.Symmetric", "threshold": "x"},
            "mask.threshold=x does not fit",
        ),
        (
            {"_target_": "cryofix.masking.Symmetric", "_partial_": True},
            "mask._partial_ is not a key",
        ),
        ({"threshold": 0.7}, "describes no mask"),
        (None, "describes no mask"),
    ],
)
def test_a_wrong_configuration_is_said(config: Any, said: str) -> None:
    with pytest.raises(CryofixError, match=said):
        build_policy(config)
