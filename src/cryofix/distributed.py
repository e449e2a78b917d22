"""One training in several processes: which rank each has, and what they do together.

``srun`` or ``torchrun`` starts a process for each device; nothing here starts any. Outside such a
group every function does what one process alone has to do. The file is long because a group is one
idea: how it is checked and joined says what its members may rely on afterwards.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from torch import Tensor

from cryofix.errors import CryofixError, reason

T = TypeVar("T")

OF_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
# Processes may wait for another job's burn-in, or for preprocessing. Whoever started a process
# notices that it has died; no clock has to.
PATIENCE = timedelta(days=1)
SECONDS_UNTIL_SAID = 10.0  # before the user reads that other processes have not come
SECONDS_TO_COME = 600.0  # on a slow file system, importing torch takes minutes
PORTS = range(12_000, 28_000)  # below those that systems hand out


@dataclass(frozen=True)
class Ranks:
    """Rank and world size of this process, as in torch.distributed, and its number on its node."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @staticmethod
    def started() -> "Ranks":
        """Read from the environment what ``torchrun`` or ``srun`` has started."""
        known = os.environ
        if known.keys() >= set(OF_TORCHRUN):
            return Ranks(*(int(known[key]) for key in OF_TORCHRUN))
        # Of the step, not of the job: a script in a job of four tasks may be one process.
        tasks = int(known.get("SLURM_STEP_NUM_TASKS", 1))
        if tasks == 1:
            return Ranks()
        return Ranks(int(known["SLURM_PROCID"]), tasks, int(known["SLURM_LOCALID"]))

    def check(self, config: Mapping[str, Any], output: str) -> None:
        """Compare the processes that there are with what a training's configuration asks for.

        ``output`` is the run folder before interpolation. Raises CryofixError with the key to
        change, or how to start the processes.
        """
        trainer, count = config["trainer"], self.world_size
        if count == 1:
            devices = trainer.get("devices", 1)
            wanted = len(devices) if isinstance(devices, list) else devices
            if not (isinstance(wanted, int) and wanted > 1):
                return
            raise CryofixError(
                f"trainer.devices={devices} needs {wanted} processes, and one was "
                f"started: start them with `torchrun --nproc-per-node={wanted} -m "
                "cryofix.train trainer=ddp ...`, or with srun as in docs/cluster.md"
            )
        strategy = trainer.get("strategy", "auto")
        if not str(strategy).startswith("ddp"):
            raise CryofixError(
                f"{count} processes were started, and trainer.strategy={strategy} "
                "trains in one: add trainer=ddp, or start one process; "
                f"{self._if_alone()}"
            )
        if "${now" in output:
            raise CryofixError(
                f"{count} processes were started, and they have to use the same run "
                "folder: give output=FOLDER, which a job that is requeued finds again "
                "too"
            )
        for key in ("batch_labelled", "batch_unlabelled"):
            if config["data"][key] % count:
                raise CryofixError(
                    f"data.{key}={config['data'][key]} cannot be shared by {count} processes:"
                    f" give a multiple of {count}; it is the batch of all together"
                )
        on_cpu = trainer.get("accelerator") == "cpu"
        if on_cpu and trainer.get("sync_batchnorm") and config["model"].get("norm") == "batch":
            raise CryofixError(
                "trainer.sync_batchnorm=true needs GPUs: give model.norm=group, or"
                " trainer.sync_batchnorm=false to normalise in each process alone"
            )

    def join(self, accelerator: str, check: Callable[[], None]) -> None:
        """Make this process one of the group, until :func:`end_group`.

        When the others let this one wait, ``check`` is called, which raises what is wrong with it,
        see :meth:`check`. A process that fails just ends: to take the group down it would wait for
        the others. Raises CryofixError when the other processes do not come.
        """
        if self.world_size == 1:
            return
        if "RANK" not in os.environ:  # srun's
            node = "127.0.0.1"
            if os.environ.get("SLURM_STEP_NUM_NODES", "1") != "1":
                nodes = os.environ["SLURM_STEP_NODELIST"]
                node = SLURMEnvironment.resolve_root_node_address(nodes)
            # A port that all tasks of a step know, and few other steps use.
            job, step = (int(os.environ.get(f"SLURM_{key}_ID", 0)) for key in ("JOB", "STEP"))
            os.environ.setdefault("MASTER_ADDR", node)
            os.environ.setdefault("MASTER_PORT", str(PORTS[(7 * job + step) % len(PORTS)]))
        backend = "gloo"
        if on_gpu(accelerator):
            torch.cuda.set_device(self._gpu())
            backend = "cpu:gloo,cuda:nccl"
        outcome: list[Exception] = []

        def meet() -> None:
            try:
                dist.init_process_group(
                    backend, rank=self.rank, world_size=self.world_size, timeout=PATIENCE
                )
            except Exception as error:  # for the main thread
                outcome.append(error)

        # In a thread, because torch hears no Ctrl-C while it waits.
        meeting = threading.Thread(target=meet, daemon=True)
        meeting.start()
        meeting.join(SECONDS_UNTIL_SAID)
        if meeting.is_alive():
            check()
            said = f"{self.world_size} processes train together and not all have come"
            print(f"{said}; {self._if_alone()}", file=sys.stderr, flush=True)
            meeting.join(SECONDS_TO_COME)
        if meeting.is_alive() or outcome:
            why = f" ({reason(outcome[0])})" if outcome else ""
            raise CryofixError(
                f"{self.world_size} processes should train together, but cannot "
                f"connect{why}: {self._if_alone()}"
            )

    def _if_alone(self) -> str:
        """Return what to do where the environment speaks of processes that do not exist."""
        torchrun = os.environ.keys() >= set(OF_TORCHRUN)
        names = OF_TORCHRUN if torchrun else ("SLURM_STEP_NUM_TASKS",)
        values = " ".join(f"{name}={os.environ.get(name)}" for name in names)
        left = f"if there is one only, {values} is left over in the environment"
        return f"{left}: unset {' '.join(names)}"

    def trainer_settings(self, settings: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Return the keywords of Lightning's trainer, and its plugin that knows the ranks.

        For Lightning every process is a node with one device, so that it makes no difference how
        they are spread over nodes, or whether a process sees all GPUs of its node or its own.
        Its own handling of SLURM, requeueing included, stays off in both cases.
        """
        if self.world_size == 1:
            group = ("strategy", "sync_batchnorm", "num_nodes")
            return {k: v for k, v in settings.items() if k not in group}, LightningEnvironment()
        devices = [self._gpu()] if on_gpu(settings["accelerator"]) else 1
        mine = {"devices": devices, "num_nodes": self.world_size}
        return {**settings, **mine}, _OneDeviceEach(self)

    def _gpu(self) -> int:
        return self.local_rank % max(1, torch.cuda.device_count())


class _OneDeviceEach(LightningEnvironment):
    """Lightning's picture of the group: each process is a node with one device."""

    creates_processes_externally = True

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._rank = ranks.rank
        self.set_world_size(ranks.world_size)

    def global_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return self._rank

    def local_rank(self) -> int:
        return 0

    def teardown(self) -> None:
        """Leave the environment as torchrun made it; the next stage needs it."""


def on_gpu(accelerator: str) -> bool:
    """Say whether a training with this accelerator runs on a GPU of this machine."""
    return accelerator != "cpu" and torch.cuda.is_available()


def world_size() -> int:
    """Return the number of processes that train together now."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this is."""
    return dist.get_rank() if world_size() > 1 else 0


def is_first() -> bool:
    """Say whether this process is the one that writes files and speaks."""
    return rank() == 0


def end_group() -> bool:
    """Wait for all, dissolve the group, and say whether this was the first process of it."""
    first = is_first()
    if world_size() > 1:
        dist.barrier()
        dist.destroy_process_group()
    return first


def on_first(function: Callable[[], T]) -> T:
    """Call a function on the first process and return its result on all.

    An exception is raised on the first process; the others leave with code 1.
    """
    if world_size() == 1:
        return function()
    outcome: list[list[T]] = [[]]
    try:
        outcome = [[function()]] if is_first() else outcome
    finally:
        dist.broadcast_object_list(outcome)
    if not outcome[0]:
        raise SystemExit(1)
    return outcome[0][0]


def barrier() -> None:
    """Wait until all processes are here."""
    if world_size() > 1:
        dist.barrier()


def gathered(part: T) -> list[T]:
    """Return what every process has, by rank, on all of them."""
    parts: list[Any] = [part]
    if world_size() > 1:
        parts = [None] * world_size()
        dist.all_gather_object(parts, part)
    return parts


def any_rank(flag: bool) -> bool:
    """Say whether a flag is set on any rank."""
    if world_size() == 1:
        return flag
    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


def sum_over_processes(local: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, fit for a loss.

    Its gradient is the local tensor's times the number of processes: their gradients are averaged
    afterwards, and so are those of the sum, as if one process had had the whole batch.
    """
    if world_size() == 1:
        return local
    total = local.detach().clone()
    dist.all_reduce(total)
    return total + world_size() * (local - local.detach())
