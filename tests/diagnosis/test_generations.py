import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryofix.diagnosis.generations import AT_REST, MOST_GENERATIONS, follow
from cryofix.diagnosis.observation import Observation
from cryofix.masking import (
    Adsh,
    Bernoulli,
    ClassAware,
    FreeMatch,
    NoMask,
    PolicyContext,
    Quota,
    Symmetric,
)
from cryofix.metrics.histogram import ProbabilityHistogram

CONTEXT = PolicyContext(prior=0.04, progress=1.0)
Teacher = tuple[NDArray[np.float32], NDArray[np.bool_]]


def test_the_reference_run_collapses_in_two_generations(reference: NDArray[np.float32]) -> None:
    course = follow(Symmetric(0.7), ProbabilityHistogram.from_arrays(reference), CONTEXT)
    today, first, second = course.generations
    assert (course.outcome, course.until) == ("collapses", 2)
    assert today.step == pytest.approx(math.log(0.242 / 0.829), abs=0.005)
    assert (today.shift, today.recall) == (0, 1)
    # What lay above sigmoid(1.23) = 0.774 is above 0.5 now.
    assert first.shift == pytest.approx(today.step)
    left = (reference >= 0.774).sum() / (reference >= 0.5).sum()
    assert first.recall == pytest.approx(left, rel=0.02)
    assert first.step < today.step  # that feedback is the collapse
    assert second.recall is not None
    assert second.recall < 0.01


def test_a_generation_is_the_shift_applied_to_the_pixels(teacher: Teacher) -> None:
    p, truth = teacher
    course = follow(ClassAware(0.6, 0.2), ProbabilityHistogram.from_arrays(p, truth), CONTEXT)
    logits = np.log(p.astype(float) / (1 - p.astype(float)))
    shift = 0.0
    for generation in course.generations[:3]:
        moved = 1 / (1 + np.exp(-(logits + shift)))
        particle = moved >= 0.5
        keep = (moved[particle] >= 0.6).mean(), (moved[~particle] <= 0.2).mean()
        assert generation.shift == pytest.approx(shift, abs=0.03)
        assert generation.recall == pytest.approx(particle[truth].mean(), abs=0.01)
        assert (generation.particle_keep, generation.background_keep) == pytest.approx(
            keep, abs=0.01
        )
        assert generation.step == pytest.approx(math.log(keep[0] / keep[1]), abs=0.02)
        shift += math.log(keep[0] / keep[1])


@pytest.mark.parametrize("policy", [NoMask(), NoMask(target="soft"), Adsh(0.7)])
def test_masks_without_drift_hold(policy: NoMask | Adsh, reference: NDArray[np.float32]) -> None:
    course = follow(policy, ProbabilityHistogram.from_arrays(reference), CONTEXT)
    assert (course.outcome, course.until) == ("holds", 0)
    assert course.generations[0].step == pytest.approx(0, abs=0.01)


def test_a_small_step_that_grows_is_no_rest(teacher: Teacher) -> None:
    """Keep rates that are nearly equal today are the collapse at its beginning."""
    p, truth = teacher
    keep = (p[p >= 0.5] >= 0.6).mean()
    low = float(np.quantile(p[p < 0.5], keep * math.exp(0.006)))
    histogram = ProbabilityHistogram.from_arrays(p, truth)
    course = follow(ClassAware(0.6, low), histogram, CONTEXT)
    first = course.generations[0]
    assert -AT_REST < first.step < 0
    assert course.outcome == "collapses"
    assert course.grows
    assert first.recall == pytest.approx((p[truth] >= 0.5).mean(), abs=0.01)


def test_a_quota_comes_to_rest_at_the_prior_from_wherever_it_starts(teacher: Teacher) -> None:
    p, truth = teacher
    for move in (0.0, 0.4):
        moved = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + move)))
        course = follow(
            Quota(share_end=0.5), ProbabilityHistogram.from_arrays(moved, truth), CONTEXT
        )
        assert course.outcome == "holds"
        shares = [generation.predicted_share for generation in course.generations[-2:]]
        assert np.mean(shares) == pytest.approx(0.04, rel=0.1)


def test_a_runaway_to_particles_is_seen(teacher: Teacher) -> None:
    course = follow(FreeMatch(), ProbabilityHistogram.from_arrays(*teacher), CONTEXT)
    assert course.outcome == "floods"
    assert course.generations[-1].predicted_share > 0.5


def test_labelled_tiles_are_seen_by_each_new_teacher(teacher: Teacher) -> None:
    p, truth = teacher
    policy = Bernoulli(decay=0.0)
    histogram = ProbabilityHistogram.from_arrays(p, truth)
    observation = Observation("x", histogram, None, 0.04, histogram, histogram, None)
    course = follow(policy, histogram, observation.context(1.0))
    last = course.generations[-1]
    moved = 1 / (1 + np.exp(-(np.log(p.astype(float) / (1 - p.astype(float))) + last.shift)))
    # What the mask knows of each class: the mean of 1 - p on background and of p on particles.
    missing = moved[~truth].mean(), 1 - moved[truth].mean()
    keep = np.array(missing) / max(missing)
    assert last.background_keep == pytest.approx(keep[0], abs=0.02)
    assert last.particle_keep == pytest.approx(keep[1], abs=0.02)


def test_a_teacher_that_finds_nothing_has_collapsed_already() -> None:
    p = np.full(1000, 0.1, np.float32)
    for histogram in (
        ProbabilityHistogram.from_arrays(p),
        ProbabilityHistogram.from_arrays(p, np.arange(1000) < 40),
    ):
        course = follow(Symmetric(0.7), histogram, CONTEXT)
        assert (course.outcome, course.until) == ("collapses", 0)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 0.99), st.integers(0, 2**32 - 1))
def test_every_course_ends_with_finite_shifts(threshold: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(rng.normal(-1, 2), abs(rng.normal(0, 2)) + 0.1, 200)
    histogram = ProbabilityHistogram.from_arrays((1 / (1 + np.exp(-logits))).astype(np.float32))
    course = follow(Symmetric(threshold), histogram, CONTEXT)
    assert len(course.generations) == course.until + 1 <= MOST_GENERATIONS + 1
    assert all(math.isfinite(generation.shift) for generation in course.generations)
    assert all(not math.isnan(generation.step) for generation in course.generations)
