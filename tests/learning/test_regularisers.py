"""What holds predictions to the prior pulls the right way, and only where it should."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cryofix.errors import CryofixError
from cryofix.learning.regularisers import (
    GeneralisedExpectation,
    LabelledPart,
    NonNegativePU,
    Regulariser,
)

PRIOR = 0.04


def tiles(value: float, count: int = 2) -> Tensor:
    """Return logits that are the same everywhere."""
    return torch.full((count, 1, 4, 4), value, requires_grad=True)


def labelled(value: float = 0.0, particles: int = 4) -> LabelledPart:
    target = torch.zeros(2, 1, 4, 4)
    target.view(-1)[:particles] = 1
    return LabelledPart(tiles(value), target, torch.ones_like(target, dtype=torch.bool))


def everywhere(logits: Tensor) -> Tensor:
    return torch.ones_like(logits, dtype=torch.bool)


def slope(regulariser: Regulariser, logits: Tensor, part: LabelledPart) -> float:
    """Return the sum of the gradient over the unlabelled logits."""
    term = regulariser(logits, everywhere(logits), part, PRIOR)
    (gradient,) = torch.autograd.grad(term, logits)
    return float(gradient.sum())


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


@settings(max_examples=30, deadline=None)
@given(st.floats(-8, 8))
def test_the_mean_is_pulled_towards_the_prior_from_both_sides(logit: float) -> None:
    pull = slope(GeneralisedExpectation(decay=0.0), tiles(logit), labelled())
    mean = 1 / (1 + math.exp(-logit))
    assert pull * (mean - PRIOR) >= 0  # a step against the gradient goes towards the prior
    assert abs(mean - PRIOR) < 1e-3 or pull != 0


def test_the_divergence_is_that_of_the_formula_and_0_at_the_prior() -> None:
    regulariser = GeneralisedExpectation(decay=0.0)
    logits = tiles(0.0)
    found = regulariser(logits, everywhere(logits), labelled(), PRIOR)
    expected = PRIOR * math.log(PRIOR / 0.5) + (1 - PRIOR) * math.log((1 - PRIOR) / 0.5)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)
    logits = tiles(math.log(PRIOR / (1 - PRIOR)))
    found = regulariser(logits, everywhere(logits), labelled(), PRIOR)
    assert float(found.detach()) == pytest.approx(0, abs=1e-6)


def test_an_empty_batch_among_full_ones_is_not_pulled_up() -> None:
    """The mean over batches is held to the prior, not that of each batch."""
    regulariser = GeneralisedExpectation(decay=0.9)
    for _ in range(20):
        logits = tiles(0.0)
        regulariser(logits, everywhere(logits), labelled(), PRIOR)
    assert slope(regulariser, tiles(-8.0), labelled()) > 0
    assert slope(GeneralisedExpectation(decay=0.0), tiles(-8.0), labelled()) < 0


def test_the_moving_average_travels_in_checkpoints() -> None:
    first, second = GeneralisedExpectation(), GeneralisedExpectation()
    for logit in (0.0, -3.0):
        logits = tiles(logit)
        first(logits, everywhere(logits), labelled(), PRIOR)
    second.load_state_dict(first.state_dict())
    logits = tiles(1.0)
    one, other = (each(logits, everywhere(logits), labelled(), PRIOR) for each in (first, second))
    assert torch.equal(one, other)


def test_nnpu_on_a_case_done_by_hand() -> None:
    logits = tiles(-1.0)
    found = NonNegativePU()(logits, everywhere(logits), labelled(2.0), PRIOR)
    negative = softplus(-1.0) - PRIOR * softplus(2.0)
    assert negative > 0
    expected = PRIOR * softplus(-2.0) + negative
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


def test_nnpu_lowers_unlabelled_logits_until_the_risk_is_negative_and_then_raises_them() -> None:
    part = labelled(4.0)
    assert slope(NonNegativePU(), tiles(0.0), part) > 0
    assert slope(NonNegativePU(), tiles(-12.0), part) < 0  # more background than there can be
    assert slope(NonNegativePU(gamma=0.0), tiles(-12.0), part) == 0
    assert slope(NonNegativePU(beta=1.0), tiles(-12.0), part) > 0  # still tolerated


def test_nnpu_is_never_below_the_positive_risk() -> None:
    logits, part = tiles(-12.0), labelled(4.0)
    found = NonNegativePU()(logits, everywhere(logits), part, PRIOR)
    assert float(found.detach()) == pytest.approx(PRIOR * softplus(-4.0), rel=1e-5)


def test_nnpu_raises_labelled_particles_and_leaves_labelled_background_alone() -> None:
    logits, part = tiles(-1.0), labelled(0.0)
    term = NonNegativePU()(logits, everywhere(logits), part, PRIOR)
    (gradient,) = torch.autograd.grad(term, part.logits)
    assert (gradient[part.target == 1] < 0).all()
    assert not gradient[part.target == 0].any()


def test_nnpu_says_nothing_without_a_labelled_particle() -> None:
    assert slope(NonNegativePU(), tiles(0.0), labelled(particles=0)) == 0


def test_nnpu_says_nothing_without_an_unlabelled_pixel() -> None:
    logits, part = tiles(0.0), labelled(0.0)
    term = NonNegativePU()(logits, ~everywhere(logits), part, PRIOR)
    assert not any(each.any() for each in torch.autograd.grad(term, (logits, part.logits)))


@pytest.mark.parametrize("regulariser", [GeneralisedExpectation(), NonNegativePU()])
def test_invalid_pixels_are_left_alone_and_none_valid_is_finite(regulariser: Regulariser) -> None:
    logits = tiles(0.0)
    valid = everywhere(logits)
    valid[0] = False
    (gradient,) = torch.autograd.grad(regulariser(logits, valid, labelled(), PRIOR), logits)
    assert not gradient[0].any()
    assert gradient[1].any()
    term = regulariser(logits, valid & False, labelled(), PRIOR)
    (gradient,) = torch.autograd.grad(term, logits)
    assert torch.isfinite(term)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("regulariser", [GeneralisedExpectation(decay=0.0), NonNegativePU()])
def test_terms_keep_their_precision_under_autocast(regulariser: Regulariser) -> None:
    logits = tiles(-3.3)
    alone = regulariser(logits, everywhere(logits), labelled(), PRIOR)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = regulariser(logits, everywhere(logits), labelled(), PRIOR)
    torch.testing.assert_close(mixed, alone)


def test_wrong_settings_are_said() -> None:
    with pytest.raises(CryofixError, match=r"regulariser.weight=-1"):
        GeneralisedExpectation(weight=-1)
    with pytest.raises(CryofixError, match=r"regulariser.decay=1"):
        GeneralisedExpectation(decay=1.0)
    with pytest.raises(CryofixError, match=r"regulariser.gamma=2"):
        NonNegativePU(gamma=2.0)
