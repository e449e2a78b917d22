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
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

POLL_SECONDS = 0.2
HIDDEN = ("", "-1", "NoDevFiles")  # what CUDA_VISIBLE_DEVICES is set to where there shall be no GPU


@dataclass(eq=False)
class LocalLauncher(Launcher):
    """Run jobs as processes of this machine, each in a slot of its own."""

    submitit_folder: str
    """Where logs go; ``%j`` is the number of the job's process."""
    jobs_at_once: int | None = None
    """Number of slots; None gives one to each ``gpus_per_node`` GPUs, or without GPUs to each
    ``cpus_per_task`` cores."""
    cpus_per_task: int = 2
    """Threads of each job (``OMP_NUM_THREADS``)."""
    gpus_per_node: int | None = None
    """GPUs of each job; None means 1 where there is a GPU."""
    timeout_min: int = 43_200
    max_num_timeout: int = 3
    """Minutes after which a job is told to save itself and is started again, and how often."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what a job needs to compose its configuration and run; check the launcher's keys."""
        from cryofix.checking import check_types

        check_types(config.hydra.launcher, type(self), key="hydra.launcher")
        self._setup = hydra_context, task_function, config

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
                "hydra/launcher=local needs hydra-submitit-launcher: in the clone,"
                " pip install '.[slurm]'"
            ) from error
        context, task, config = self._setup
        job = JobOfALauncher(submitit_folder=self.submitit_folder)
        job.launcher = os.getpid()
        job.setup(hydra_context=context, task_function=task, config=config)
        executor = submitit.LocalExecutor(self.submitit_folder, self.max_num_timeout)
        slots = deque(self._slots())
        returns, left = split(context, config, job_overrides, initial_job_idx)
        with announced(config, len(left), len(returns)):
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
                    words = " ".join(filter_overrides(overrides))
                    print(f"job #{number} starts: {words}", flush=True)
                    running[number] = self._submit(executor, job, overrides, number, gpus), gpus
                over = [number for number, (submitted, _) in running.items() if submitted.done()]
                for number in over:
                    submitted, gpus = running.pop(number)
                    slots.append(gpus)
                    if (error := submitted.exception()) is None:
                        returns[number] = submitted.result()
                    else:  # its death is a failure like any other
                        returns[number] = JobReturn(left[number], status=JobStatus.FAILED)
                        returns[number].return_value = error
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
        from submitit.core.utils import environment_variables

        executor.update_parameters(timeout_min=self.timeout_min, gpus_per_node=len(gpus))
        executor.parameters["visible_gpus"] = gpus  # update_parameters knows numbers only
        words = list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}"
        with environment_variables(OMP_NUM_THREADS=self.cpus_per_task), _hearing_interrupts():
            return executor.submit(job, *words, Singleton.get_state())

    def _slots(self) -> list[tuple[str, ...]]:
        """Return the GPUs of each slot, none at all on a machine without."""
        from cryofix.errors import CryofixError, check_range
        from cryofix.processes import cores_at_hand

        check_range("hydra.launcher.cpus_per_task", self.cpus_per_task, 1, 10_000)
        check_range("hydra.launcher.jobs_at_once", self.jobs_at_once, 1, 10_000)
        devices = _gpus() if self.gpus_per_node != 0 else []
        each = self.gpus_per_node if self.gpus_per_node is not None else min(len(devices), 1)
        if each == 0:
            return [()] * (self.jobs_at_once or max(1, cores_at_hand() // self.cpus_per_task))
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
def _hearing_interrupts() -> Iterator[None]:
    """Let processes started meanwhile hear SIGINT, by which submitit cancels them.

    A script that starts its command with ``&`` has it ignored, and so would they.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
