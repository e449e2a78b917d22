"""The prior, estimated or given."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import expit

from cryofix.data.labelling import Labelling
from cryofix.errors import CryofixError
from cryofix.learning.prior import Prior, estimate_prior, label_shift, region_counts
from cryofix.metrics.histogram import ProbabilityHistogram

Maps = tuple[NDArray[np.bool_], NDArray[np.bool_]]


@dataclass
class Labelled:
    """Stands for a data module: micrographs are their (target, valid) maps."""

    micrographs: list[Maps]
    tiling: Any = field(default_factory=lambda: SimpleNamespace(tile_px=16))
    labelling: Labelling = field(default_factory=Labelling)
    has_particles: bool = True

    scored_partially: bool = False
    validation: list[float] = field(default_factory=lambda: [0.03, 0.05])

    @property
    def split(self) -> Any:
        return SimpleNamespace(labelled=[f"m{number}" for number in range(len(self.micrographs))])

    def prior_per_micrograph(self, part: str = "labelled") -> list[float]:
        if part == "validation":
            return self.validation
        return [float(target[valid].mean()) for target, valid in self.micrographs]

    def part(self, name: str) -> list[Maps]:
        assert name == "labelled"
        return self.micrographs

    def maps(self, micrograph: Maps) -> Maps:
        return micrograph


def micrographs(*shares: float) -> Any:
    """Return a data module with micrographs that have these shares of particle pixels."""
    result = []
    for number, share in enumerate(shares):
        random = np.random.default_rng(number)
        result.append((random.uniform(size=(64, 64)) < share, random.uniform(size=(64, 64)) < 0.9))
    return Labelled(result)


def test_of_several_micrographs_the_interval_is_over_them() -> None:
    prior = estimate_prior(micrographs(0.02, 0.04, 0.06))
    assert prior.ci95 is not None
    low, high = prior.ci95
    assert low < 0.01  # Student's t over three goes 2.5 times their spread either way
    assert 0.07 < high < 0.1
    assert prior.resampled == "3 labelled micrographs"


def test_of_two_micrographs_there_is_no_interval_and_it_says_so() -> None:
    prior = estimate_prior(micrographs(0.02, 0.05))
    assert prior.ci95 is None
    assert "2 labelled micrographs, too few for an interval" in prior.describe()


def test_of_one_micrograph_the_interval_is_over_its_regions_and_it_says_so() -> None:
    prior = estimate_prior(micrographs(0.05))
    assert prior.ci95 is not None
    assert prior.ci95[0] < prior.value < prior.ci95[1]
    assert "16 regions of the only labelled micrograph" in prior.describe()
    assert "too narrow" in prior.as_dict()["labels"]["resampled"]


def test_the_same_labels_give_the_same_interval() -> None:
    assert estimate_prior(micrographs(0.02, 0.05)) == estimate_prior(micrographs(0.02, 0.05))


def test_what_is_given_counts_and_what_labels_say_is_told() -> None:
    prior, labels = (
        estimate_prior(micrographs(0.02, 0.05), 0.1),
        estimate_prior(micrographs(0.02, 0.05)),
    )
    assert prior.value == 0.1
    assert prior.labelled == labels.value
    assert prior.as_dict()["source"] == "given"
    assert prior.as_dict()["labels"] == labels.as_dict()["labels"]
    assert "10.00 % as given" in prior.describe()


def test_validation_widens_what_the_guard_takes_for_healthy_and_nothing_else() -> None:
    labels = estimate_prior(micrographs(0.02, 0.03))
    assert labels.labelled is not None
    assert labels.value == labels.labelled < 0.03
    assert list(labels.span) == pytest.approx([labels.value, 0.04])
    assert list(estimate_prior(micrographs(0.02), 0.1).span) == pytest.approx([0.04, 0.1])
    assert "validation says 4.00 %" in labels.describe()


def test_validation_without_a_particle_says_nothing() -> None:
    data = micrographs(0.02, 0.03)
    data.validation = [0.0]
    prior = estimate_prior(data)
    assert prior.span == (prior.value, prior.value)


@pytest.mark.parametrize("value", [0, 1, 4])
def test_a_share_outside_0_and_1_is_refused(value: float) -> None:
    with pytest.raises(CryofixError, match=rf"prior\.value={value}"):
        Prior(0.04, None, "", 0.04, given=value)


def test_labels_without_a_particle_are_refused() -> None:
    with pytest.raises(CryofixError, match="m0"):
        estimate_prior(micrographs(0.0))


@given(arrays(np.bool_, (21, 33)), arrays(np.bool_, (21, 33)), st.integers(1, 40))
def test_regions_hold_every_valid_pixel_once(
    target: NDArray[np.bool_], valid: NDArray[np.bool_], side: int
) -> None:
    counts = region_counts(target, valid, side)
    assert sum(total for _, total in counts) == valid.sum()
    assert sum(particle for particle, _ in counts) == (target & valid).sum()
    assert all(0 <= particle <= total > 0 for particle, total in counts)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2])
def test_a_calibrated_model_finds_the_share_of_another_set(share: float) -> None:
    random = np.random.default_rng(0)
    trained_at, pixels = 0.05, 200_000
    particle = random.uniform(size=pixels) < share
    evidence = random.normal(
        np.where(particle, 1.5, -1.5), 1.5
    )  # log-odds are 2 x 1.5 / 1.5^2 of it
    log_odds = 2 * evidence / 1.5 + np.log(trained_at / (1 - trained_at))
    found = label_shift(ProbabilityHistogram.from_arrays(expit(log_odds)), trained_at)
    assert found == pytest.approx(share, rel=0.06)


def test_without_pixels_the_unlabelled_side_says_nothing() -> None:
    assert label_shift(ProbabilityHistogram.empty(), 0.05) is None


def test_the_estimate_from_the_unlabelled_side_is_taken_if_asked_for_and_nothing_is_given() -> None:
    labels = estimate_prior(micrographs(0.02, 0.05))
    asked = replace(estimate_prior(micrographs(0.02, 0.05), estimate="em"), unlabelled=0.08)
    assert asked.value == 0.08
    assert asked.of_labels == labels.value
    assert asked.as_dict()["source"] == "em"
    assert replace(labels, unlabelled=0.08).value == labels.value
    assert replace(asked, given=0.1).value == 0.1
    assert replace(asked, unlabelled=0.5).value == labels.value
    assert replace(asked, unlabelled=0.001).as_dict()["source"] == "labels"
