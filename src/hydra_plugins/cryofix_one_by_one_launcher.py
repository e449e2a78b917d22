"""The jobs of a sweep one after the other in this process, which says how far it is.

Hydra accepts launchers only from the package ``hydra_plugins``; it imports this module whenever
any Hydra program starts, so nothing heavy is imported at the top.
"""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus, filter_overrides


class OneByOneLauncher(BasicLauncher):
    """Hydra's own launcher, with a line before each job and one about what it failed at."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs, whatever becomes of single ones, and return what became of each."""
        from cryofix.explaining import explain
        from hydra_plugins._cryofix_resume import announced

        assert self.config is not None  # since setup
        shared = set.intersection(*map(set, job_overrides)) if len(job_overrides) > 1 else set()
        returned: list[JobReturn] = []
        with announced(self.config, len(job_overrides)):
            for number, overrides in enumerate(job_overrides):
                name = f"job {number + 1} of {len(job_overrides)}"
                own = [word for word in filter_overrides(overrides) if word not in shared]
                print(f"\n{name}: {' '.join(own)}", flush=True)
                (job,) = super().launch([overrides], initial_job_idx + number)
                if job.status is JobStatus.FAILED:
                    reason = explain(job._return_value, "train")
                    print(f"{name} failed: {reason}", flush=True)
                returned.append(job)
        return returned
