"""Many micrographs, picked in several processes.

Results go to disk as they come and only a few numbers come back, so memory does not grow with the
number of micrographs. A file that cannot be picked is reported and does not stop the others, not
even when the system kills the process that read it.
"""

import logging
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from cryofix.errors import CryofixError, reason
from cryofix.files import explain_os_error
from cryofix.learning.network import folded
from cryofix.picking.micrographs import Recipe, pick_micrograph
from cryofix.picking.picked import Job, identity, scores, write_result
from cryofix.processes import cores_at_hand, end_with

log = logging.getLogger(__name__)

MOST_WORKERS = 8  # beyond that a file system is the limit
WAITING = 2  # jobs handed out for each worker, so that none is idle


@dataclass(frozen=True)
class Outcome:
    """How one micrograph went."""

    job: Job
    picks: int = 0
    """How many reach the threshold."""
    error: str | None = None
    """Why it could not be picked; None if it was."""


@dataclass(frozen=True)
class Work:
    """All that a worker needs; it is sent to each process once."""

    build: Callable[[], nn.Module]
    """Makes the network; called in each process, and has to be small itself: one that dies while it
    reads more than a pipe holds would keep the first process waiting."""
    recipe: Recipe
    key: str
    """How to pick, and the name of all that the picks depend on."""
    threshold: float
    """Only for counting picks on the way."""
    device: str
    """``cpu`` or ``cuda``."""
    threads: int
    """Of each process."""


def choose_workers(asked: Any, jobs: int) -> tuple[int, int]:
    """Return the number of processes, for so many micrographs, and of threads in each.

    ``asked`` is what the user typed, and None chooses by the cores. Raises CryofixError if it is
    not a whole number of at least one.
    """
    cores = cores_at_hand()
    if asked is not None and not (isinstance(asked, int) and asked >= 1):
        raise CryofixError(f"workers={asked} must be a whole number of at least 1")
    # Starting a process takes as long as picking several micrographs.
    wanted = (min(cores, MOST_WORKERS) if jobs >= 4 else 1) if asked is None else asked
    workers = max(1, min(wanted, jobs))
    return workers, max(1, cores // workers)


def choose_device(asked: str | None) -> str:
    """Return the device asked for (a CryofixError where it is not there), else GPU or CPU."""
    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(asked).type
    except RuntimeError as error:
        raise CryofixError(f"device={asked} is not known; use cpu or cuda") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise CryofixError(f"device={asked} is not there: torch sees no GPU; use device=cpu")
    return asked


def run_jobs(jobs: Sequence[Job], work: Work, workers: int) -> Generator[Outcome, None, None]:
    """Pick micrographs in so many processes, or with 1 in this one; yield how each went.

    The processes end when the generator is closed.
    """
    if not jobs:
        return
    if workers == 1:
        worker = Worker(work)
        yield from map(worker.pick, jobs)
        return
    remaining, suspects = iter(jobs), list[Job]()
    while True:
        lost: list[Job] = []
        yield from _in_processes(remaining, work, workers, lost)
        if not lost:
            break
        suspects += lost
        workers = max(1, workers // 2)  # memory is what processes most often die of
    for job in suspects:
        # One of the jobs in hand took its process down; alone it can do no harm to the others.
        lost = []
        yield from _in_processes(iter([job]), work, 1, lost)
        for each in lost:
            yield Outcome(
                each,
                error=f"{each.source}: the system ended the process that read it, most likely for"
                " lack of memory; try workers=1",
            )


def _in_processes(
    jobs: Iterator[Job], work: Work, workers: int, lost: list[Job]
) -> Iterator[Outcome]:
    """Take jobs until none is left or a process dies; ``lost`` gets those then in hand."""
    context = multiprocessing.get_context("spawn")  # threads and CUDA do not survive a fork
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(work,))
    pending: dict[Future[Outcome], Job] = {}
    try:
        while True:
            room = 0 if lost else WAITING * workers - len(pending)
            for job in islice(jobs, room):
                try:
                    with _starting_processes():  # one, if there are too few
                        pending[pool.submit(_pick, job)] = job
                except BrokenProcessPool:
                    lost.append(job)
                    break
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                job = pending.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    lost.append(job)
    except BaseException:  # nobody waits for the processes, and a result is whole or not there
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _starting_processes() -> Iterator[None]:
    """Hold signals back while processes start: a process that has only half started would complain.

    The processes never hear Ctrl-C, which a terminal sends to all of them: only the first process
    answers it, and says what has become of the work.
    """
    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, lambda each, _: heard.append(each)) for each in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which they inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in heard:
            signal.raise_signal(number)


class Worker:
    """Picks one micrograph after the other with one network."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._device = torch.device(work.device)
        network = folded(work.build().eval()).to(self._device)
        self._network = network.to(memory_format=torch.channels_last)

    def pick(self, job: Job) -> Outcome:
        """Pick a micrograph and keep the result; an error becomes part of the outcome.

        Raises OSError if the result cannot be written, because no other result can be either.
        """
        try:
            # Before it is read: one that comes or changes meanwhile is not finished.
            file = identity(job) if job.source.exists() else []
            picked = pick_micrograph(self._network, job.source, self._work.recipe, self._device)
        except CryofixError as error:
            return Outcome(job, error=str(error))
        except OSError as error:
            return Outcome(job, error=explain_os_error(error))
        except Exception as error:  # the other micrographs go on, whatever is wrong with this one
            log.exception("%s", job.source)
            why = f"{type(error).__name__}: {reason(error)}"
            return Outcome(job, error=f"{job.source} could not be picked ({why})")
        write_result(job, self._work.key, picked, file)
        good = scores(picked.particles) >= self._work.threshold
        return Outcome(job, picks=int(good.sum()))


_worker: Worker | None = None


def _start(work: Work) -> None:
    """Make this process a worker."""
    global _worker
    parent = multiprocessing.parent_process()
    assert parent is not None
    assert parent.pid is not None
    end_with(parent.pid)
    torch.set_num_threads(work.threads)
    _worker = Worker(work)


def _pick(job: Job) -> Outcome:
    assert _worker is not None
    return _worker.pick(job)
