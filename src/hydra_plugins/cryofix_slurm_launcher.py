"""``hydra/launcher=slurm``: the jobs of a sweep as one SLURM array, without those that are done.

hydra-submitit does the work; this adds that a sweep started again into its folder submits only
what is missing or failed, under the numbers and in the folders that it had.

Hydra accepts launchers only from the package ``hydra_plugins``; it imports this module whenever
any Hydra program starts, so nothing heavy is imported at the top.
"""

import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

SECONDS_TO_START = 60  # from a job's start until it hears signals, with imports over a network


class SlurmLauncher(Launcher):
    """Submit jobs as one array; ``params`` are keywords of hydra-submitit's ``SlurmLauncher``."""

    def __init__(self, **params: Any) -> None:
        self.params = params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what a job needs to compose its configuration and run."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit what is left of the sweep, wait for it, and return what became of each job.

        Raises CryofixError: hydra-submitit-launcher is not installed, or a job would be told of its
        time limit at its start.
        """
        from cryofix.errors import CryofixError
        from hydra_plugins._cryofix_resume import announced, split

        try:
            from hydra_plugins import _cryofix_submitit  # noqa: F401 - only whether it is there
        except ImportError as error:
            raise CryofixError(
                "hydra/launcher=slurm needs hydra-submitit-launcher: in the clone,"
                " pip install '.[slurm]'"
            ) from error
        if absent := [program for program in ("sbatch", "srun") if shutil.which(program) is None]:
            raise CryofixError(
                f"hydra/launcher=slurm needs SLURM's {absent[0]}, which this machine has not: start"
                " the sweep on a login node, or give hydra/launcher=local"
            )
        limit, delay = self.params["timeout_min"], self.params["signal_delay_s"]
        if limit * 60 <= delay + SECONDS_TO_START:
            raise CryofixError(
                f"hydra.launcher.timeout_min={limit}: SLURM would tell a job of its time limit"
                f" while it is still starting, hydra.launcher.signal_delay_s={delay} before the"
                f" end; give at least {(delay + SECONDS_TO_START) // 60 + 1} minutes or a shorter"
                " delay"
            )
        finished, left = split(self.hydra_context, self.config, job_overrides, initial_job_idx)
        with announced(self.config, len(left), len(finished)):
            returned = finished | (self._submit(left) if left else {})
        return [returned[number] for number in sorted(returned)]

    def _submit(self, left: dict[int, list[str]]) -> dict[int, JobReturn]:
        """Submit jobs of these numbers and wait for them."""
        from submitit.core.utils import FailedJobError

        from cryofix.errors import CryofixError
        from hydra_plugins._cryofix_submitit import NumberedSlurm

        # For jobs of several processes: none waits for one that is dead, and the first may
        # go on scoring when the others have left.
        srun = ["--kill-on-bad-exit=1", "--wait=0"]
        launcher = NumberedSlurm(**self.params, srun_args=srun)
        launcher.setup(
            hydra_context=self.hydra_context, task_function=self.task_function, config=self.config
        )
        launcher.numbers = list(left)
        try:
            new = launcher.launch(list(left.values()), initial_job_idx=0)
        except FailedJobError as error:
            if not isinstance(error.__cause__, subprocess.CalledProcessError):
                raise  # a job of the sweep, not its submission
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise CryofixError(
                f"sbatch refused the jobs of hydra/launcher=slurm ({said[-1]}): check"
                " hydra.launcher.partition, account and what the jobs ask for, or give"
                " hydra/launcher=local"
            ) from error
        return dict(zip(left, new, strict=True))
