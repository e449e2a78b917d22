"""What every masking policy has to satisfy: to add one, add its row to ``POLICIES``."""

import inspect
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor

from cryofix import masking
from cryofix.errors import CryofixError
from cryofix.masking import MaskingPolicy, PolicyContext, PseudoLabels, Symmetric

CONF = Path(__file__).parents[2] / "conf" / "mask"


@dataclass(frozen=True)
class Row:
    """One policy with its defaults, and the properties that it does not have, with the reason."""

    policy: type[MaskingPolicy]
    random: bool = False  # weights are drawn, so that monotony holds for their mean
    not_monotone: str = ""

    def build(self, **keywords: Any) -> MaskingPolicy:
        return self.policy(**keywords)


POLICIES = [
    Row(masking.NoMask),
    Row(masking.Symmetric),
    Row(masking.ClassAware),
    Row(masking.SoftWeight),
    Row(masking.ImageWeight),
    Row(masking.AdaMatch),
    Row(masking.FlexMatch),
    Row(masking.FreeMatch),
    Row(masking.SoftMatch, not_monotone="alignment flips classes that y, by publication, keeps"),
    Row(masking.Adsh),
    Row(masking.Cbst),
    Row(masking.Dars, random=True),
    Row(masking.Quota),
    Row(masking.Debiased),
    Row(masking.LogitAdjusted),
    Row(masking.Bernoulli, random=True),
    Row(masking.InverseKeep),
]
every_policy = pytest.mark.parametrize("row", POLICIES, ids=lambda row: row.policy.name)
few = settings(max_examples=20, deadline=None)


@st.composite
def teachers(draw: st.DrawFn) -> Tensor:
    """Draw p of a few tiles: two classes of logits, well or badly calibrated, sometimes tied."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (draw(st.integers(1, 3)), 1, 8, draw(st.integers(1, 9)))
    centre, scale = draw(st.floats(-6.0, 6.0)), draw(st.floats(0.0, 8.0))
    logit = centre + scale * torch.randn(shape, generator=generator)
    if draw(st.booleans()):
        logit = logit.round()
    if draw(st.booleans()):
        logit = logit.bfloat16().float()
    return torch.sigmoid(logit)


def two_classes(seed: int, confident: bool = True, tiles: int = 4) -> tuple[Tensor, Tensor]:
    """Return p and truth of a teacher that finds the 4 % particles, and is sure of it or not."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand((tiles, 1, 32, 32), generator=generator) < 0.04
    noise = torch.randn(truth.shape, generator=generator)
    mean = torch.where(truth, 6.0, -6.0) if confident else torch.where(truth, 0.2, -1.8)
    return torch.sigmoid(mean + noise), truth


def context_with_labels(seed: int = 7, **changes: Any) -> PolicyContext:
    prob, truth = two_classes(1000 + seed)
    context = PolicyContext(
        prior=0.04,
        progress=0.5,
        labelled_prob=prob,
        labelled_target=truth.float(),
        labelled_valid=torch.ones_like(truth),
        seed=seed,
        supervised_precision=0.8,
    )
    return replace(context, **changes)


def warmed(row: Row, **keywords: Any) -> MaskingPolicy:
    """Return the policy after three steps with an unsure teacher."""
    policy = row.build(**keywords)
    for step in range(3):
        prob, truth = two_classes(step, confident=False)
        policy.update(prob, torch.ones_like(truth), context_with_labels(step))
    return policy


def everywhere(prob: Tensor) -> Tensor:
    return torch.ones_like(prob, dtype=torch.bool)


def loss(labels: PseudoLabels, prob: Tensor) -> Tensor:
    """Return a weighted cross-entropy, as the student's unlabelled loss is."""
    logit = torch.logit(prob.float(), eps=1e-6)
    if labels.student_logit_shift is not None:
        logit = logit + labels.student_logit_shift
    pixel = torch.nn.functional.binary_cross_entropy_with_logits(
        logit, labels.target, reduction="none"
    )
    return (labels.weight * pixel).sum() / labels.weight.sum().clamp(min=1.0)


def same_labels(first: PseudoLabels, second: PseudoLabels) -> bool:
    return torch.equal(first.target, second.target) and torch.equal(first.weight, second.weight)


def same_state(first: MaskingPolicy, second: MaskingPolicy) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(
        a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]) for key in a
    )


@every_policy
@given(prob=teachers(), data=st.data())
@few
def test_targets_and_weights_are_in_range_and_invalid_pixels_weigh_nothing(
    row: Row, prob: Tensor, data: st.DataObject
) -> None:
    valid = torch.rand(prob.shape) < data.draw(st.sampled_from([0.0, 0.5, 1.0]))
    policy = row.build(**data.draw(st.sampled_from([{}, {"name": "other"}])))
    context = context_with_labels(progress=data.draw(st.floats(0.0, 1.0)))
    policy.update(prob, valid, context)
    labels = policy(prob.requires_grad_(), valid, context)
    for part in (labels.target, labels.weight):
        assert part.shape == prob.shape
        assert part.dtype == torch.float32
        assert not part.requires_grad
        assert torch.isfinite(part).all()
    assert ((labels.target >= 0) & (labels.target <= 1)).all()
    assert (labels.weight >= 0).all()
    assert (labels.weight[~valid] == 0).all()
    assert all(value.isfinite() and value.ndim == 0 for value in labels.scalars.values())
    assert torch.isfinite(loss(labels, prob))


@every_policy
@given(seed=st.integers(0, 10**6))
@few
def test_what_invalid_pixels_hold_changes_nothing(row: Row, seed: int) -> None:
    prob, truth = two_classes(seed)
    valid = torch.rand(prob.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    results = []
    for rubbish in (0.0, 1.0, float("nan")):
        policy = row.build()
        given_prob = torch.where(valid, prob, rubbish)
        context = context_with_labels(
            labelled_prob=given_prob, labelled_target=truth, labelled_valid=valid
        )
        policy.update(given_prob, valid, context)
        labels = policy(given_prob, valid, context)
        assert torch.isfinite(loss(labels, torch.where(valid, prob, 0.5)))
        results.append((policy, labels))
    for policy, labels in results[1:]:
        assert same_state(policy, results[0][0])
        assert same_labels(labels, results[0][1])


@pytest.mark.parametrize(
    "row", [row for row in POLICIES if not row.not_monotone], ids=lambda row: row.policy.name
)
@given(prob=teachers())
@few
def test_monotone_in_p(row: Row, prob: Tensor) -> None:
    """The surer a pixel is of the class it is given, the more it weighs; classes do not mix."""
    policy = row.build()
    policy.update(prob, everywhere(prob), context_with_labels())
    ranked = prob[:1].flatten().sort().values.view(1, 1, 1, -1)
    draws = 50 if row.random else 1
    target, weight = torch.zeros_like(ranked), torch.zeros_like(ranked)
    for seed in range(draws):
        labels = policy(ranked, everywhere(ranked), context_with_labels(seed=seed))
        target, weight = labels.target, weight + labels.weight / draws
    assert (target.flatten().diff() >= 0).all()
    slack = 0.45 if row.random else 1e-6
    particle = target.flatten() > 0.5
    assert (weight.flatten()[particle].diff() >= -slack).all()
    assert (weight.flatten()[~particle].diff() <= slack).all()


@every_policy
def test_no_class_is_silently_left_out_by_a_sure_teacher(row: Row) -> None:
    policy = row.build()
    for step in range(3):
        prob, _ = two_classes(step)
        context = context_with_labels(step)
        policy.update(prob, everywhere(prob), context)
        labels = policy(prob, everywhere(prob), context)
        for particle in (True, False):
            given_class = (labels.target > 0.5) == particle
            assert labels.weight[given_class].sum() > 0


@every_policy
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.3, 0.5, 1.0])
def test_one_class_alone_and_ignored_batches_are_finite(row: Row, level: float) -> None:
    policy = row.build()
    prob = torch.full((2, 1, 4, 4), level)
    empty = context_with_labels(
        labelled_prob=prob,
        labelled_target=torch.zeros_like(prob),
        labelled_valid=torch.zeros_like(prob, dtype=torch.bool),
    )
    for context in (empty, PolicyContext(supervised_precision=0.9), context_with_labels()):
        for valid in (everywhere(prob), ~everywhere(prob)):
            policy.update(prob, valid, context)
            labels = policy(prob, valid, context)
            assert torch.isfinite(loss(labels, prob))
            assert all(torch.isfinite(value).all() for value in policy.state_dict().values())


@every_policy
def test_an_ignored_batch_leaves_the_state_bit_for_bit(row: Row) -> None:
    policy, other = warmed(row), warmed(row)
    prob, _ = two_classes(5)
    nothing = ~everywhere(prob)
    policy.update(prob, nothing, context_with_labels(labelled_valid=nothing))
    assert same_state(policy, other)


@every_policy
def test_only_update_moves_the_state(row: Row) -> None:
    policy, other = warmed(row), warmed(row)
    prob, truth = two_classes(9)
    policy(prob, everywhere(prob), context_with_labels())
    assert same_state(policy, other)
    if policy.state_dict():
        policy.update(prob, everywhere(prob), context_with_labels(labelled_target=~truth))
        assert not same_state(policy, other)


@every_policy
def test_state_survives_a_checkpoint_bit_for_bit(row: Row) -> None:
    policy, file = warmed(row), io.BytesIO()
    torch.save(policy.state_dict(), file)
    file.seek(0)
    again = row.build()
    again.load_state_dict(torch.load(file, weights_only=True))
    assert same_state(policy, again)
    prob, _ = two_classes(11, confident=False)
    context = context_with_labels()
    for each in (policy, again):
        each.update(prob, everywhere(prob), context)
    assert same_state(policy, again)
    assert same_labels(
        policy(prob, everywhere(prob), context), again(prob, everywhere(prob), context)
    )


@every_policy
def test_half_precision_changes_neither_state_nor_arithmetic(row: Row) -> None:
    short, full = row.build().to(torch.bfloat16), row.build()
    prob, _ = two_classes(3, confident=False)
    half = prob.bfloat16()
    context = context_with_labels()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        short.update(half, everywhere(half), context)
        labels = short(half, everywhere(half), context)
    full.update(half.float(), everywhere(half), context)
    assert same_state(short, full)
    assert same_labels(labels, full(half.float(), everywhere(half), context))


@every_policy
def test_randomness_is_that_of_the_step_alone(row: Row) -> None:
    policy = warmed(row)
    prob, _ = two_classes(2, confident=False)
    before = torch.get_rng_state()
    first = policy(prob, everywhere(prob), context_with_labels(seed=1))
    torch.rand(3)
    torch.set_rng_state(before)
    second = policy(prob, everywhere(prob), context_with_labels(seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert same_labels(first, second)
    other = policy(prob, everywhere(prob), replace(context_with_labels(seed=1), seed=2**40 + 3))
    assert same_labels(first, other) != row.random


@every_policy
def test_logged_scalars_are_copies(row: Row) -> None:
    policy = warmed(row)
    prob, _ = two_classes(2)
    labels = policy(prob, everywhere(prob), context_with_labels())
    before = {key: value.item() for key, value in labels.scalars.items()}
    for step in range(20, 23):
        policy.update(1 - prob, everywhere(prob), context_with_labels(step))
    assert {key: value.item() for key, value in labels.scalars.items()} == before


@every_policy
def test_targets_are_the_same_choice_hard_or_soft(row: Row) -> None:
    hard: MaskingPolicy
    soft: MaskingPolicy
    if row.policy is masking.InverseKeep:
        hard = masking.InverseKeep(Symmetric(0.7))
        soft = masking.InverseKeep(Symmetric(0.7, target="soft", temperature=0.5))
    else:
        hard, soft = row.build(), row.build(target="soft", temperature=0.5)
    prob, _ = two_classes(2, confident=False)
    for policy in (hard, soft):
        policy.update(prob, everywhere(prob), context_with_labels())
    a, b = (policy(prob, everywhere(prob), context_with_labels()) for policy in (hard, soft))
    assert torch.equal(a.weight, b.weight)
    assert set(a.target.unique().tolist()) <= {0.0, 1.0}
    assert len(b.target.unique()) > 2
    assert "soft targets sharpened with temperature 0.5" in soft.describe()


@every_policy
def test_a_description_is_one_sentence(row: Row) -> None:
    words = row.build().describe()
    assert words.startswith(f"{row.policy.name}: ")
    assert words.endswith(".")
    assert "\n" not in words
    assert "no mask" not in words or row.policy is masking.NoMask


@every_policy
def test_the_configuration_holds_the_defaults_of_the_class(row: Row) -> None:
    config = OmegaConf.load(CONF / f"{row.policy.name}.yaml")
    policy = instantiate(config)
    assert type(policy) is row.policy
    assert plain(policy) == plain(row.build())
    parameters = inspect.signature(row.policy).parameters
    common = {"target", "temperature", "name"} if "common" in parameters else set()
    assert set(config) == {"_target_"} | common | set(parameters) - {"common"}


def plain(policy: MaskingPolicy) -> dict[str, Any]:
    """Return every setting and every buffer of a policy and of what it is made of."""
    found: dict[str, Any] = {}
    for path, module in policy.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, (str, int, float, bool)):
                found[f"{path}.{key}"] = value
        found[f"{path}.name"] = getattr(module, "name", None)
    return found | {key: value.tolist() for key, value in policy.state_dict().items()}


def test_every_configuration_has_its_row_and_every_class_is_public() -> None:
    names = {row.policy.name for row in POLICIES}
    assert {path.stem for path in CONF.glob("*.yaml")} == names
    public = {getattr(masking, name) for name in masking.__all__} - {MaskingPolicy}
    policies = {
        kind for kind in public if isinstance(kind, type) and issubclass(kind, MaskingPolicy)
    }
    assert policies <= {row.policy for row in POLICIES}


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_of_a_configuration_has_a_comment(path: Path) -> None:
    for line in path.read_text().splitlines():
        key = line.strip().split(":")[0]
        if not line.startswith("#") and key not in ("_target_", "name"):
            assert " # " in line, line


@pytest.mark.parametrize(
    ("policy", "bad"),
    [
        (masking.AdaMatch, {"threshold": 2.0}),
        (masking.AdaMatch, {"decay": 1.0}),
        (masking.Debiased, {"strength": -1.0}),
        (masking.LogitAdjusted, {"strength": -0.5}),
        (masking.FlexMatch, {"threshold": -0.1}),
        (masking.FreeMatch, {"decay": -0.1}),
        (masking.Adsh, {"decay": 1.5}),
        (masking.Cbst, {"share_start": 0.0}),
        (masking.Cbst, {"share_end": 1.1}),
        (masking.Dars, {"share": 0.0}),
        (masking.Quota, {"prior_factor": 0.0}),
        (masking.Quota, {"share_end": 1.2}),
        (masking.ImageWeight, {"threshold": 1.1}),
        (masking.SoftMatch, {"width": 0.0}),
        (masking.Bernoulli, {"gamma": -1.0}),
        (masking.InverseKeep, {"cap": 0.5}),
        (masking.InverseKeep, {"policy": masking.SoftWeight()}),
    ],
)
def test_bad_parameters_name_the_key(policy: type[MaskingPolicy], bad: dict[str, Any]) -> None:
    (key,) = bad
    with pytest.raises(CryofixError, match=rf"^mask\.{key} is .*: .*\.$"):
        policy(**bad)
