"""What an audit says of a batch whose numbers are known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cryofix.errors import CryofixError
from cryofix.learning.audit import LOG_ODDS_BINS, LOG_ODDS_LIMIT, LOG_ODDS_STEPS, Audit, audit
from cryofix.learning.losses import NORMALISERS, UNLABELLED, unlabelled_loss
from cryofix.masking import PolicyContext, PseudoLabels, Symmetric
from cryofix.metrics.rates import WeightTally

P = (0.9, 0.6, 0.1, 0.4)  # of the teacher: kept as particle, unsure, kept as background, unsure
TRUTH = (1.0, 1.0, 1.0, 0.0)
STUDENT = (0.2, 0.2, 0.3, 0.7)


def tiles(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[None, None, None]


def batch(known: bool = True) -> dict[str, Tensor]:
    yes = torch.ones(1, 1, 1, 4, dtype=torch.bool)
    return {"target": tiles(TRUTH), "valid": yes, "known": yes & known, "visible": yes}


def audited(
    parts: dict[str, Tensor],
    pseudo: PseudoLabels | None = None,
    normaliser: str = "valid",
    p: tuple[float, ...] = P,
    kind: str = "bce",
) -> Audit:
    pseudo = pseudo or Symmetric(0.8)(tiles(p), parts["valid"], PolicyContext())
    logits = torch.logit(tiles(STUDENT))
    return audit(parts, tiles(p), pseudo, logits, prior=0.25, normaliser=normaliser, loss=kind)


def test_rates_of_four_pixels() -> None:
    rates = audited(batch()).rates
    assert rates["particle_keep"] == rates["background_keep"] == 0.5
    assert rates["drift"] == 0
    assert rates["share_over_prior"] == pytest.approx(2)
    assert rates["mean_p"] == pytest.approx(0.5)
    assert rates["predicted_positive"] == 0.5
    assert rates["disagreement"] == 0.75  # all but the third pixel
    assert rates["true_particle_keep"] == pytest.approx(2 / 3)
    assert rates["true_background_keep"] == 0
    assert rates["pseudo_precision"] == 1
    assert rates["pseudo_recall"] == pytest.approx(1 / 3)


def test_counts_and_weights_are_those_of_the_tally_of_arrays() -> None:
    torch.manual_seed(0)
    p, target, weight = torch.rand(3, 2, 1, 20, 20)
    weight = weight * (weight > 0.3)
    truth, valid, known = (
        torch.rand(3, 2, 1, 20, 20) > torch.tensor([0.7, 0.2, 0.5])[:, None, None, None, None]
    )
    parts = {"target": truth.float(), "valid": valid, "known": known, "visible": valid}
    found = audit(
        parts,
        p,
        PseudoLabels(target, weight, {}),
        torch.zeros_like(p),
        prior=0.25,
        normaliser="valid",
    ).rates
    labelled = WeightTally.from_arrays(p, target, weight, truth, valid & known)
    hidden = WeightTally.from_arrays(p, target, weight, None, valid & ~known)
    expected = (labelled + hidden).rates(prior=0.25)
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("target", "weight", "words"),
    [(float("nan"), 1.0, "diverged"), (1.5, 1.0, "targets"), (1.0, -1.0, "negative")],
)
def test_pseudo_labels_that_are_none_are_refused(target: float, weight: float, words: str) -> None:
    parts = batch()
    labels = PseudoLabels(tiles((target, 0, 0, 0)), tiles((weight, 1, 1, 1)), {})
    with pytest.raises(CryofixError, match=words):
        audited(parts, labels)
    parts["valid"][..., 0] = False
    rates = audited(parts, labels).rates
    assert (rates["kept"], rates["particle_share"]) == (1, 0)


def test_without_hidden_labels_nothing_is_said_of_true_classes() -> None:
    found = audited(batch(known=False))
    assert not {"true_particle_keep", "pseudo_precision"} & found.rates.keys()
    assert found.log_odds.sum(axis=1).tolist() == [0, 0, 4]


@pytest.mark.parametrize("kind", UNLABELLED)
@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_gradient_shares_are_those_of_the_loss(normaliser: str, kind: str) -> None:
    """Against the gradient that autograd finds, on a batch with soft weights."""
    parts = batch()
    parts["visible"] = tiles((1, 1, 1, 0)).bool()
    target, weight = tiles((1, 1, 0, 0)), tiles((1.0, 0.5, 2.0, 1.0))
    pseudo = PseudoLabels(target, weight, {})
    logits = torch.logit(tiles(STUDENT)).requires_grad_()
    seen = parts["valid"] & parts["visible"]
    loss = unlabelled_loss(logits, target, weight, seen, normaliser, kind)
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = gradient.abs()[target >= 0.5].sum() / gradient.abs().sum()
    rates = audited(parts, pseudo, normaliser, kind=kind).rates
    assert rates["gradient_particle_share"] == pytest.approx(float(expected))
    assert rates["gradient_background_share"] == pytest.approx(1 - float(expected))


def test_where_nothing_is_taught_there_is_no_share_of_it() -> None:
    nothing = PseudoLabels(tiles(P), tiles((0.0,) * 4), {})
    rates = audited(batch(), nothing).rates
    assert rates["gradient_particle_share"] is None
    assert rates["drift"] is None
    empty = {key: part & False if key != "target" else part for key, part in batch().items()}
    assert audited(empty).rates["mean_p"] is None


def test_a_margin_on_the_students_logits_is_no_disagreement() -> None:
    logits = torch.logit(tiles(P)) - 5
    pseudo = PseudoLabels(tiles(P), tiles((1.0,) * 4), {}, student_logit_shift=torch.tensor(-5.0))
    found = audit(batch(), tiles(P), pseudo, logits, prior=0.25, normaliser="valid")
    assert found.rates["disagreement"] == 0


def test_the_histogram_counts_every_valid_pixel_by_true_class() -> None:
    parts = batch()
    parts["valid"] = tiles((1, 1, 1, 0)).bool()
    counts = audited(parts, p=(0.0, 0.5, 1.0, 0.9)).log_odds
    assert counts.shape == (3, LOG_ODDS_BINS)
    assert np.argwhere(counts).tolist() == [
        [1, 0],
        [1, int(LOG_ODDS_LIMIT * LOG_ODDS_STEPS)],  # the bin that begins at p = 0.5
        [1, LOG_ODDS_BINS - 1],
    ]
