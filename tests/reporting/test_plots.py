"""What the pictures of runs have in common: rings around particles, and curves."""

import itertools

import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_hex, to_rgb
from skimage.color import rgb2lab

from cryofix.metrics.pixels import PixelHistogram
from cryofix.reporting.plots import LEAST_RECALL, RINGS, draw_precision_recall, draw_rings, panels

# Machado, Oliveira and Fernandes 2009, for complete loss of one kind of cone.
EYES: dict[str, list[list[float]]] = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


@pytest.mark.parametrize("eyes", EYES)
def test_rings_are_told_apart_by_all_eyes_and_stand_out_on_grey(eyes: str) -> None:
    colours = [to_rgb(colour) for colour, _, _ in RINGS.values()]
    colours.append((0.5, 0.5, 0.5))  # of a micrograph
    linear = np.array(colours) ** 2.2 @ np.array(EYES[eyes]).T
    seen = rgb2lab(np.clip(linear, 0, 1)[None] ** (1 / 2.2))[0]
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(one - other) > 30


def test_missed_particles_have_the_thickest_line_and_a_pattern_of_their_own() -> None:
    styles = {name: style for name, (_, style, _) in RINGS.items()}
    assert max(RINGS, key=lambda name: RINGS[name][2]) == "missed"
    assert styles["missed"] not in {style for name, style in styles.items() if name != "missed"}


def test_each_kind_has_its_rings_and_its_count_in_the_legend() -> None:
    _, (axis,) = panels(4, 4)
    counts = {"found": 3, "extra": 0, "missed": 2, "not scored": 1}
    draw_rings(axis, {name: np.zeros((n, 2)) for name, n in counts.items()}, 10.0)
    drawn = [each for each in axis.collections if isinstance(each, EllipseCollection)]
    assert [len(np.asarray(each.get_offsets())) for each in drawn] == list(counts.values())
    for name, each in zip(counts, drawn, strict=True):
        colour = np.asarray(each.get_edgecolor())
        assert not len(colour) or to_hex(colour[0]) == RINGS[name][0]
    legend = axis.get_legend()
    assert legend is not None
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["3 found", "0 extra", "2 missed", "1 not scored"]


def test_a_curve_has_no_spike_where_next_to_nothing_is_predicted() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(10_000) < 0.3
    # The highest of all are wrong, and nothing lies above them.
    score = np.where(truth, 0.6, 0.3) + 0.1 * rng.random(len(truth))
    score[np.flatnonzero(~truth)[:5]] = 0.9
    curve = PixelHistogram.from_arrays(score.astype(np.float32), truth)
    assert curve.precision(0.95) == curve.precision(0.8) == 0.0
    _, (axis,) = panels(4, 4)
    draw_precision_recall(axis, curve, "name", "red")
    recall, precision = (np.asarray(part) for part in axis.lines[0].get_data())
    assert recall.min() >= LEAST_RECALL
    assert precision[recall < 0.9].min() > 0.8
