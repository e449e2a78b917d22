"""``hydra/launcher=local``: the jobs of a sweep side by side on one machine, so many at a time.

submitit's own local executor starts all jobs of a sweep at once, whatever the number of cores,
and Hydra's ``max_batch_size`` waits for the slowest job of each batch and stops the sweep at the
first batch with a failure. This launcher gives each job one of a fixed number of slots, a slot
being some cores and some GPUs of its own, and lets the rest of the sweep go on after a failure.
The jobs themselves are submitit's, as on a cluster: same logs, same requeueing.

Hydra accepts launchers only from the package ``hydra_plugins``; it imports this module whenever
any Hydra program starts, so nothing heavy is imported at the top.
"""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

POLL_SECONDS = 0.2
HIDDEN = ("", "-1", "NoDevFiles")  # what CUDA_VISIBLE_DEVICES is set to where there shall be no GPU


class LocalLauncher(Launcher):
    """Run jobs as processes of this machine, each in a slot of its own.

    Parameters
    ----------
    submitit_folder
        Where logs go; ``%j`` is the number of the job's process.
    jobs_at_once
        Number of slots; None gives one to each ``gpus_per_node`` GPUs, or without GPUs to each
        ``cpus_per_task`` cores.
    cpus_per_task
        Threads of each job (``OMP_NUM_THREADS``).
    gpus_per_node
        GPUs of each job; None means 1 where there is a GPU.
    timeout_min
        Minutes after which a job is told to save itself and is started again.
    max_num_timeout
        How often that may happen to one job.
    """

    def __init__(
        self,
        submitit_folder: str,
        jobs_at_once: int | None = None,
        cpus_per_task: int = 2,
        gpus_per_node: int | None = None,
        timeout_min: int = 43_200,
        max_num_timeout: int = 3,
    ) -> None:
        self.submitit_folder = submitit_folder
        self.jobs_at_once = jobs_at_once
        self.cpus_per_task = cpus_per_task
        self.gpus_per_node = gpus_per_node
        self.timeout_min = timeout_min
        self.max_num_timeout = max_num_timeout
        self._setup: dict[str, Any] = {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what a job needs to compose its configuration and run; check the launcher's keys."""
        from cryofix.checking import check_types

        check_types(config.hydra.launcher, type(self), key="hydra.launcher")
        self._setup = {
            "hydra_context": hydra_context,
            "task_function": task_function,
            "config": config,
        }

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs and return what became of each, in order.

        Raises CryofixError: hydra-submitit-launcher is not installed, or there are fewer GPUs than
        one job needs.
        """
        from cryofix.errors import CryofixError
        from hydra_plugins._cryofix_resume import announced, split

        try:
            import submitit

            from hydra_plugins._cryofix_submitit import JobOfALauncher
        except ImportError as error:
            raise CryofixError(
                "hydra/launcher=local needs hydra-submitit-launcher: pip install 'cryofix[slurm]'"
            ) from error
        job = JobOfALauncher(submitit_folder=self.submitit_folder)
        job.launcher = os.getpid()
        job.setup(**self._setup)
        executor = submitit.LocalExecutor(self.submitit_folder, self.max_num_timeout)
        slots = deque(self._slots())
        returns, left = split(
            self._setup["hydra_context"], self._setup["config"], job_overrides, initial_job_idx
        )
        with announced(self._setup["config"], len(left), len(returns)):
            jobs = "1 job" if len(slots) == 1 else f"{len(slots)} jobs"
            print(f"{jobs} at a time, {'with GPUs' if slots[0] else 'on the CPU'}")
            returns |= self._run(executor, job, left, slots)
        return [returns[number] for number in sorted(returns)]

    def _run(
        self, executor: Any, job: Any, left: dict[int, list[str]], slots: deque[tuple[str, ...]]
    ) -> dict[int, JobReturn]:
        """Run jobs of these numbers in the slots, and return what became of each."""
        returns: dict[int, JobReturn] = {}
        running: dict[int, tuple[Any, tuple[str, ...]]] = {}
        todo = deque(left.items())
        before_us = signal.signal(signal.SIGTERM, _leave)
        try:
            while todo or running:
                while todo and slots:
                    number, overrides = todo.popleft()
                    gpus = slots.popleft()
                    print(
                        f"job #{number} starts: {' '.join(filter_overrides(overrides))}", flush=True
                    )
                    running[number] = self._submit(executor, job, overrides, number, gpus), gpus
                over = [number for number, (submitted, _) in running.items() if submitted.done()]
                for number in over:
                    submitted, gpus = running.pop(number)
                    slots.append(gpus)
                    returns[number] = _outcome(submitted, left[number])
                    done = f"{len(returns)} of {len(left)} jobs are over"
                    how = returns[number].status.name.lower()
                    print(f"job #{number} {how}; {done}", flush=True)
                time.sleep(POLL_SECONDS)
        finally:
            for submitted, _ in running.values():  # interrupted: leave no process behind
                submitted.cancel(check=False)
            signal.signal(signal.SIGTERM, before_us)
        return returns

    def _submit(
        self, executor: Any, job: Any, overrides: Sequence[str], number: int, gpus: tuple[str, ...]
    ) -> Any:
        """Start one job in a slot and return submitit's handle of it."""
        from hydra.core.singleton import Singleton

        executor.update_parameters(timeout_min=self.timeout_min, gpus_per_node=len(gpus))
        executor.parameters["visible_gpus"] = gpus  # update_parameters knows numbers only
        with _threads(self.cpus_per_task), _hearing_interrupts():
            return executor.submit(
                job,
                list(overrides),
                "hydra.sweep.dir",
                number,
                f"job_id_for_{number}",
                Singleton.get_state(),
            )

    def _slots(self) -> list[tuple[str, ...]]:
        """Return the GPUs of each slot, none at all on a machine without."""
        from cryofix.errors import CryofixError
        from cryofix.processes import cores_at_hand

        devices = _gpus() if self.gpus_per_node != 0 else []
        each = self.gpus_per_node if self.gpus_per_node is not None else min(len(devices), 1)
        if each == 0:
            cores = cores_at_hand()
            return [()] * (self.jobs_at_once or max(1, cores // self.cpus_per_task))
        groups = [tuple(devices[i : i + each]) for i in range(0, len(devices) - each + 1, each)]
        if not groups:
            raise CryofixError(
                f"hydra.launcher.gpus_per_node={each}, but this machine shows {len(devices)} "
                "GPUs; give fewer, or 0 to train on the CPU."
            )
        wanted = self.jobs_at_once or len(groups)
        return [groups[slot % len(groups)] for slot in range(wanted)]


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """End the process by an exception, so that its jobs are cancelled."""
    sys.exit(128 + number)


def _gpus() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Raises CryofixError: the variable holds a name that CUDA would take for the end of the list.
    """
    from cryofix.errors import CryofixError

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        import torch

        return [str(number) for number in range(torch.cuda.device_count())]
    names = [name.strip() for name in visible.split(",")]
    if names[0] in HIDDEN:
        return []
    for name in names:
        if not name.isdecimal() and not name.startswith(("GPU-", "MIG-")):
            raise CryofixError(
                f"CUDA_VISIBLE_DEVICES={visible}: {name!r} names no GPU; give numbers, or the names"
                " of `nvidia-smi -L`, or hydra.launcher.gpus_per_node=0 to train on the CPU"
            )
    return names


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set the number of threads that a process started meanwhile will use."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _hearing_interrupts() -> Iterator[None]:
    """Let processes started meanwhile hear SIGINT, by which submitit cancels them.

    A script that starts its command with ``&`` has it ignored, and so would they.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _outcome(submitted: Any, overrides: Sequence[str]) -> JobReturn:
    """Return what a job returned, or its death as a failure like any other."""
    error = submitted.exception()
    if error is None:
        returned: JobReturn = submitted.result()
        return returned
    failed = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
    failed.return_value = error
    return failed
