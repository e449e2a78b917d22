"""Our classes that need hydra-submitit-launcher when they are defined."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher, SlurmLauncher

GRACE_SECONDS = 30  # for a job to keep where it is


class JobOfALauncher(LocalLauncher):
    """hydra-submitit's job on this machine, which stops when the launcher has been killed."""

    launcher = 0  # its process

    def __call__(self, *arguments: object) -> JobReturn:
        """Run one job in a process of its own."""
        from cryofix.processes import end_with

        end_with(self.launcher, GRACE_SECONDS)
        returned: JobReturn = super().__call__(*arguments)
        return returned


class NumberedSlurm(SlurmLauncher):
    """hydra-submitit's launcher, for jobs of any numbers.

    Its jobs are numbered through from a first one; an array of those that are left of a sweep has
    gaps.
    """

    numbers: Sequence[int] = ()

    def __call__(
        self, overrides: list[str], dir_key: str, index: int, job_id: str, state: object
    ) -> JobReturn:
        """Run one job on its node, under its own number."""
        number = self.numbers[index]
        returned: JobReturn = super().__call__(
            overrides, dir_key, number, f"job_id_for_{number}", state
        )
        return returned
