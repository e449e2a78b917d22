"""Splits by micrograph."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryofix.data.split import Split, Splitting
from cryofix.errors import CryofixError

NAMES = [f"m{i:03d}" for i in range(60)]


def split(ratio: float = 0.1, **changes: object) -> Split:
    options = {"test": 0.2, "validation": 0.1, "split_seed": 0, **changes}
    return Splitting(ratio=ratio, **options).split(NAMES)  # type: ignore[arg-type] # loose for brevity


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 50), st.integers(0, 50))
def test_every_micrograph_is_in_one_part_and_sets_are_nested_in_the_ratio(
    low: float, high: float, seed: int, draw: int
) -> None:
    low, high = sorted((low, high))
    few = split(low, split_seed=seed, label_draw=draw)
    many = split(high, split_seed=seed, label_draw=draw)
    for each in (few, many):
        parts = each.test + each.validation + each.labelled + each.unlabelled
        assert sorted(parts) == NAMES
        assert len(each.labelled) >= 1
    assert (few.test, few.validation) == (many.test, many.validation)
    assert set(few.labelled) <= set(many.labelled)


def test_a_label_draw_changes_the_labelled_and_nothing_else() -> None:
    one, other = split(label_draw=0), split(label_draw=1)
    assert one.test == other.test
    assert one.labelled != other.labelled


def test_ratio_is_the_share_of_what_is_not_held_out() -> None:
    assert split(0.05).counts() == {"test": 12, "validation": 6, "labelled": 2, "unlabelled": 40}
    assert split(1.0).counts()["unlabelled"] == 0


def test_a_micrograph_without_coordinates_is_unlabelled() -> None:
    each = Splitting(ratio=0.1, test=2, validation=1).split(NAMES, ["extra"])
    assert "extra" in each.unlabelled
    assert len(each.test) == 2


def test_no_test_micrograph_is_held_out_where_none_is_wanted() -> None:
    each = Splitting(ratio=1, test=0).split(["a", "b", "c"])
    assert each.counts() == {"test": 0, "validation": 1, "labelled": 2, "unlabelled": 0}


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_fewer_than_three_micrographs_are_all_learnt_from(names: list[str]) -> None:
    each = Splitting(ratio=1).split(names, ["c"])
    assert (each.test, each.validation) == ((), ())
    assert sorted(each.labelled) == names
    assert Splitting(ratio=1, test=1).split(["a", "b"]).counts()["test"] == 1


def test_validation_may_hold_out_no_micrograph() -> None:
    each = split(1.0, validation=0)
    assert (len(each.test), each.validation) == (12, ())


def test_a_badly_labelled_micrograph_is_never_scored_on() -> None:
    for seed in range(20):
        for name in ("m003", "m003.mrc"):
            each = split(split_seed=seed, never_scored=[name])
            assert "m003" not in each.test + each.validation


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ratio": 1.5}, "ratio=1.5"),
        ({"ratio": 0.0}, "ratio=0.0"),
        ({"test": 55}, "data.test=55"),
        ({"test": 1.5}, "data.test=1.5 is no whole number"),
        ({"never_scored": NAMES, "test": 0, "validation": 0}, "data.never_scored names all"),
        ({"test": float("inf")}, "data.test=inf is no whole number"),
        ({"validation": float("nan")}, "data.validation=nan is no whole number"),
        ({"validation": -1}, "data.validation=-1"),
    ],
)
def test_what_cannot_be_split_is_said(changes: dict[str, float], named: str) -> None:
    with pytest.raises(CryofixError, match=named):
        split(**changes)


def test_no_coordinates_at_all_are_said() -> None:
    with pytest.raises(CryofixError, match="0 labelled"):
        Splitting(ratio=0.1, test=1, validation=1).split([], NAMES)
