"""The one class of ours that needs hydra-submitit-launcher when it is defined."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import (
    SlurmLauncher,
)


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
