"""Coordinates to maps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cryofix.data.targets import discs, target_maps
from cryofix.formats import Particles
from cryofix.metrics.area import Area

EVERYTHING = Area((-1e9, -1e9, 1e9, 1e9))


def particles(*centres: tuple[float, float]) -> Particles:
    xy = np.array(centres, dtype=float).reshape(-1, 2)
    return Particles(x=xy[:, 0], y=xy[:, 1])


@given(
    centres=st.lists(st.tuples(st.floats(-10, 40), st.floats(-10, 30)), min_size=0, max_size=5),
    radius=st.floats(0.5, 9),
)
def test_a_pixel_is_inside_exactly_when_it_is_near_a_centre(
    centres: list[tuple[float, float]], radius: float
) -> None:
    part = particles(*centres)
    drawn = discs(part.x, part.y, radius, (20, 30))
    row, column = np.mgrid[:20, :30]
    expected = np.zeros((20, 30), bool)
    for x, y in centres:
        expected |= (column - x) ** 2 + (row - y) ** 2 <= radius**2
    np.testing.assert_array_equal(drawn, expected)


def test_x_is_the_column() -> None:
    target, _ = target_maps(particles((20, 5)), particles(), 2, 4, (0, 0, 10, 30), EVERYTHING)
    assert target[5, 20]
    assert target.sum() == 13


def test_ignored_particles_count_for_neither_side_and_labels_win() -> None:
    target, valid = target_maps(
        particles((10, 10)), particles((13, 10)), 2, 5, (0, 0, 20, 30), EVERYTHING
    )
    assert target[10, 10]
    assert valid[10, 10]
    assert not valid[10, 14]
    assert valid[10, 20]


def test_outside_the_interior_nothing_is_known() -> None:
    area = Area((4.0, 3.0, 25.0, 16.0))
    _, valid = target_maps(particles(), particles(), 2, 5, (0, 0, 20, 30), area)
    rows, columns = np.nonzero(valid)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (4, 3, 25, 16)
    assert valid.sum() == 22 * 14


@given(row=st.integers(0, 14), column=st.integers(0, 19))
def test_a_part_is_what_the_whole_has_there(row: int, column: int) -> None:
    known = particles((3, 4), (12.5, 7), (22, 14)), particles((14, 9), (27, 2))
    settings = 3.0, 5.0
    area = Area((2.0, 1.5, 26.2, 17.0), closed=((8.0, 5.5, 14.5, 11.0),))
    whole = target_maps(*known, *settings, (0, 0, 20, 30), area)
    part = target_maps(*known, *settings, (row, column, 6, 11), area)
    for all_of_it, some in zip(whole, part, strict=True):
        np.testing.assert_array_equal(some, all_of_it[row : row + 6, column : column + 11])
