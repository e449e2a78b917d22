"""Probabilities whose keep rates are known."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from support import PARTICLE_SHARE, UNROUNDED


@pytest.fixture(scope="session")
def reference() -> NDArray[np.float32]:
    """Give probabilities with the shares of the reference run, spread evenly between them."""
    parts = []
    for column, share in ((3, PARTICLE_SHARE), (4, 1 - PARTICLE_SHARE)):
        keep = [row[column] for row in UNROUNDED] + [0.0]
        for (low, high), (more, less) in zip(
            pairwise([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]), pairwise(keep), strict=True
        ):
            pixels = round((more - less) / 100 * share * 400_000)
            confidence = np.linspace(low, high, pixels, endpoint=False) + 1e-6
            parts.append(confidence if column == 3 else 1 - confidence)
    return np.concatenate(parts).astype(np.float32)


@pytest.fixture(scope="session")
def teacher() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Give p and truth of the first-order teacher: logits N(0.2, 0.7) and N(-1.8, 1), pi 4 %."""
    rng = np.random.default_rng(0)
    truth = np.zeros(200_000, np.bool_)
    truth[:8000] = True
    logits = np.where(truth, rng.normal(0.2, 0.7, truth.size), rng.normal(-1.8, 1, truth.size))
    return (1 / (1 + np.exp(-logits))).astype(np.float32), truth
