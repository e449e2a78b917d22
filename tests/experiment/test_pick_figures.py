"""What the picture of picks says of each of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from cryofix.data.array_cache import CachedMicrograph
from cryofix.data.datamodule import CryoDataModule
from cryofix.data.tiles import Annotated
from cryofix.experiment.run_figures import draw_picks
from cryofix.formats import Particles
from cryofix.learning.evaluation import Prediction
from cryofix.reporting.plots import panels

SIDE = 64


def places(xy: list[tuple[float, float]], score: list[float] | None = None) -> Particles:
    x, y = np.array(xy, float).T
    return Particles(x=x, y=y, score=None if score is None else np.array(score))


@pytest.mark.parametrize(
    ("partial", "said"),
    [
        (False, ["1 found", "1 extra", "1 missed", "2 not scored"]),
        (True, ["1 found", "1 missed", "3 not scored"]),
    ],
)
def test_a_pick_without_a_label_is_not_called_wrong_where_labels_are_partial(
    partial: bool, said: list[str], tmp_path: Path
) -> None:
    np.save(tmp_path / "m.npy", np.zeros((SIDE, SIDE), np.float16))
    size = (SIDE, SIDE)
    cached = CachedMicrograph("m", tmp_path / "m.mrc", tmp_path / "m.npy", size, size, None)
    inside = (8.0, 8.0, 55.0, 55.0)
    truth = places([(20, 20), (40, 20), (2, 30)])
    shown = Annotated(cached, truth, Particles.empty(), inside, partial=partial)
    picks = places([(21, 20), (30, 45), (62, 50), (45, 45)], [0.9, 0.8, 0.7, 0.1])
    flat = np.zeros(size, np.float32)
    prediction = Prediction(shown, flat, picks, flat > 1, flat == 0)
    validates_otherwise = not partial
    data: Any = SimpleNamespace(
        scored_partially=validates_otherwise, dataset=SimpleNamespace(particle_px=10.0)
    )
    _, (axis,) = panels(4, 4)
    draw_picks(axis, prediction, cast(CryoDataModule, data), 0.5)
    legend = axis.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == said
