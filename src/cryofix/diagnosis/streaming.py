"""Counting probability maps of any size: piece by piece, on all cores, in constant memory."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryofix.diagnosis.arrays import StoredArray
from cryofix.errors import CryofixError
from cryofix.metrics.bins import BINS, CHUNK, Checked, Counter, IntArray
from cryofix.processes import cores_at_hand

SEGMENT = 256 * CHUNK  # values that one thread takes at a time
MOST_THREADS = 8  # a disk hardly feeds more


@dataclass(frozen=True)
class Pair:
    """Probabilities, and the truth of the same pixels if there is one."""

    probability: StoredArray
    truth: StoredArray | None


def pair_up(probabilities: list[StoredArray], truths: list[StoredArray]) -> list[Pair]:
    """Find each map's truth: the only one, or the one of the same name.

    Raises CryofixError if a truth belongs to no map, or its shape or order is another.
    """
    if len(probabilities) == len(truths) == 1:
        return [_checked(Pair(probabilities[0], truths[0]))]
    by_name = {_name(truth): truth for truth in truths}
    pairs = [Pair(array, by_name.pop(_name(array), None)) for array in probabilities]
    if by_name:
        name, array = next(iter(by_name.items()))
        raise CryofixError(
            f"truth={array.title} belongs to no probability map: none is called {'/'.join(name)};"
            " name both files alike"
        )
    return [_checked(pair) for pair in pairs]


def _name(array: StoredArray) -> tuple[str, ...]:
    return (array.path.stem,) if array.member is None else (array.path.stem, array.member)


def _checked(pair: Pair) -> Pair:
    probability, truth = pair.probability, pair.truth
    if truth is None:
        return pair
    shapes = [tuple(side for side in part.shape if side != 1) for part in (probability, truth)]
    if shapes[0] != shapes[1]:
        raise CryofixError(
            f"{probability.title} has shape {probability.shape} and its truth {truth.title}"
            f" {truth.shape}: give maps of the same pixels"
        )
    if probability.by_column != truth.by_column and len(shapes[0]) > 1:
        raise CryofixError(
            f"{probability.title} and its truth {truth.title} store rows and columns in different"
            " order: save both with numpy.ascontiguousarray"
        )
    return pair


def count_arrays(
    pairs: Iterable[Pair], tick: Callable[[], None] = lambda: None, threads: int | None = None
) -> IntArray:
    """Return the counts of a `ProbabilityHistogram` of all pixels, shape (3, BINS).

    Needs NumPy alone, so that it can run while heavier packages are still being imported. ``tick``
    is called once for each of the `segments`. ``threads`` do not change the counts; None takes the
    cores that this process may use.

    Raises CryofixError if a value is NaN or outside [0, 1]: the file, and how many.
    """
    threads = threads or min(cores_at_hand(), MOST_THREADS)
    total = np.zeros((3, BINS), np.int64)
    with ThreadPoolExecutor(threads) as pool:
        for pair in pairs:
            wrong = [Checked(), Checked()]
            for part, *found in _mapped(pool, threads, pair):
                total += part
                for known, new in zip(wrong, found, strict=True):
                    known.add(new)
                tick()
            _refuse(pair.probability, wrong[0], "probabilities")
            if pair.truth is not None:
                _refuse(pair.truth, wrong[1], "truth")
    return total


def segments(pairs: Iterable[Pair]) -> int:
    """Return how many segments `count_arrays` will read."""
    return sum(len(_starts(pair)) for pair in pairs)


def _starts(pair: Pair) -> range:
    """Return where segments begin; an archive is one, for it can only be read in a row."""
    arrays = (pair.probability, pair.truth)
    size = pair.probability.size
    in_a_row = any(array is not None and array.member is not None for array in arrays)
    return range(0, size, max(size, 1) if in_a_row else SEGMENT)


_Part = tuple[IntArray, Checked, Checked]


def _mapped(pool: ThreadPoolExecutor, threads: int, pair: Pair) -> Iterator[_Part]:
    """Count segments in threads, with few results waiting at a time."""
    starts = _starts(pair)
    jobs = (pool.submit(_count_segment, pair, start, starts.step) for start in starts)
    running = list(islice(jobs, threads))
    while running:
        done = running.pop(0).result()
        running += islice(jobs, 1)
        yield done


def _count_segment(pair: Pair, start: int, length: int) -> _Part:
    probability, truth = pair.probability, pair.truth
    stop = min(start + length, probability.size)
    counter, wrong_truth = Counter(), Checked()
    labels = repeat(None) if truth is None else truth.pieces(start, stop, CHUNK)
    for piece, its in zip(probability.pieces(start, stop, CHUNK), labels, strict=False):
        counter.add(_float32(piece), None if its is None else _particle(its, wrong_truth))
    return counter.counts(), counter.wrong, wrong_truth


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        return values.astype(np.float32, copy=False)


def _particle(labels: NDArray[Any], wrong: Checked) -> NDArray[np.bool_]:
    if labels.dtype == np.bool_:
        return labels
    if not (labels.min() >= 0 and labels.max() <= 1):
        wrong.add(Checked.of(_float32(labels)))
    return labels >= 0.5


def _refuse(array: StoredArray, wrong: Checked, what: str) -> None:
    """Say what is wrong with a file's values, if anything is."""
    if wrong.nan:
        raise CryofixError(
            f"{array.title} holds {wrong.nan} NaN among {array.size} values: look for a diverged"
            " model, or set pixels without a prediction aside before saving"
        )
    if not wrong.outside:
        return
    if array.dtype.kind in "iu":
        raise CryofixError(
            f"{array.title} holds {array.dtype} from {wrong.low:g} to {wrong.high:g}, and"
            f" {what} lie in [0, 1]: divide by {np.iinfo(array.dtype).max} and save as float32"
        )
    raise CryofixError(
        f"{array.title} holds {wrong.outside} of {array.size} values outside [0, 1] (from"
        f" {wrong.low:g} to {wrong.high:g}), which are no {what}: apply the sigmoid to logits"
    )
