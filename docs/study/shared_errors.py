"""Which errors of one model others make too (docs/study.md).

    python docs/study/shared_errors.py CONTROL.ckpt OTHER.ckpt...

Checkpoints or finished run folders of the same data and split. Each picks the test micrographs at
the threshold of its own validation, as in `results.json`. An error is shared when the other has
one within half a particle diameter.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from scipy.spatial import cKDTree

from cryofix.config import build
from cryofix.data.datamodule import CryoDataModule
from cryofix.learning.checkpoint import Picker, load_picker
from cryofix.learning.evaluation import predict, score_all
from cryofix.metrics.matching import match
from cryofix.metrics.scores import choose_thresholds

CPU = torch.device("cpu")
SAME = 0.5  # pixels; misses are labels, which all models share
Points = NDArray[np.float64]  # (n, 2), x and y in network pixels


@dataclass(frozen=True)
class Errors:
    """Of one model on one micrograph."""

    false_picks: Points
    misses: Points


def errors(picker: Picker, data: CryoDataModule) -> list[Errors]:
    """Return those of each test micrograph."""
    diameter = data.dataset.particle_px
    records = score_all(picker.network, data, data.part("validation"), CPU)
    threshold = choose_thresholds(records).particle or 0.0
    found = []
    for annotated in data.part("test"):
        picks = predict(picker.network, data, annotated, CPU).picks
        assert picks.score is not None
        x0, y0, x1, y1 = annotated.interior
        inside = (picks.x >= x0) & (picks.x <= x1) & (picks.y >= y0) & (picks.y <= y1)
        chosen = picks.select(inside & (picks.score >= threshold))
        assert annotated.particles is not None
        ours, truth = (np.stack([part.x, part.y], axis=1) for part in (chosen, annotated.particles))
        matched = match(ours, truth, diameter / 2)
        found.append(
            Errors(np.delete(ours, matched.pick, axis=0), np.delete(truth, matched.truth, axis=0))
        )
    return found


def shared(ours: Points, others: Points, reach: float) -> int:
    """Return how many of our points have one of the others within reach."""
    if not len(ours) or not len(others):
        return 0
    return int(np.count_nonzero(cKDTree(others).query(ours)[0] <= reach))


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("checkpoints", nargs="+")
    given = options.parse_args()
    pickers = [load_picker(path) for path in given.checkpoints]
    data = build(OmegaConf.create(pickers[0].metadata["config"]["data"]))
    reach = data.dataset.particle_px / 2
    first, *others = [errors(picker, data) for picker in pickers]
    for path, each in zip(given.checkpoints, [first, *others], strict=True):
        pairs = list(zip(first, each, strict=True))
        false_picks = sum(shared(one.false_picks, other.false_picks, reach) for one, other in pairs)
        misses = sum(shared(one.misses, other.misses, SAME) for one, other in pairs)
        print(
            f"{path}: {sum(len(one.false_picks) for one in each)} false picks, {false_picks} of the"
            f" first's; {sum(len(one.misses) for one in each)} misses, {misses} of the first's"
        )


if __name__ == "__main__":
    main()
