"""What changes with the step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryofix.errors import CryofixError
from cryofix.learning.schedule import learning_rate_factor, ramp
from cryofix.learning.settings import RAMPS, Steps


@pytest.mark.parametrize("kind", RAMPS)
@given(step=st.integers(0, 500), length=st.integers(0, 300))
def test_ramps_grow_from_nothing_to_one(kind: str, step: int, length: int) -> None:
    now, later = ramp(kind, step, length), ramp(kind, step + 1, length)
    assert 0 <= now <= later <= 1
    assert step < length or now == 1


def test_ramps_differ_where_they_should() -> None:
    assert ramp("linear", 25, 100) == 0.25
    assert ramp("sigmoid", 0, 100) == pytest.approx(0.0067, abs=1e-4)
    assert ramp("constant", 0, 100) == 1
    with pytest.raises(CryofixError, match=r"unlabelled\.ramp=cosine"):
        ramp("cosine", 0, 100)


def test_learning_rate_warms_up_peaks_and_ends_at_its_final_value() -> None:
    rates = [learning_rate_factor(step, 10, 100, 0.05) for step in range(101)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.05)


def test_each_of_the_first_steps_is_audited_and_then_every_so_many() -> None:
    steps = Steps(stage=40, audit_every=10, audit_first=3)
    assert [step for step in range(1, 41) if steps.audits(step)] == [1, 2, 3, 10, 20, 30, 40]
    assert steps.audited_share() == 7 / 40
    assert not Steps(audit_first=0).audits(1)
