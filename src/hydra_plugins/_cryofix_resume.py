"""What launchers share: which jobs of a sweep have finished before, and what is said of it."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


def split(
    context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> tuple[dict[int, JobReturn], dict[int, list[str]]]:
    """Return what finished jobs returned, and the overrides of all others, by job number.

    Finished is a job whose folder holds results of the configuration that it has now. One that
    was started with other settings is left to ``cryofix.train``, which refuses it.
    """
    numbered = {first + index: list(words) for index, words in enumerate(job_overrides)}
    sweep = Path(str(config.hydra.sweep.dir))
    if next(sweep.rglob("results.json"), None) is None:  # spares composing every job
        return {}, numbered
    finished, left = {}, {}
    for number, words in numbered.items():
        if returned := _finished(context, config, words, number):
            finished[number] = returned
        else:
            left[number] = words
    return finished, left


def _finished(
    context: HydraContext, config: DictConfig, words: list[str], number: int
) -> JobReturn | None:
    from cryofix.config import to_plain
    from cryofix.experiment.run_folder import differences, finished, headline

    job = context.config_loader.load_sweep_config(config, words)
    with open_dict(job.hydra.job):
        job.hydra.job.id, job.hydra.job.num = f"job_id_for_{number}", number
    folder = Path(str(job.hydra.sweep.dir)) / str(job.hydra.sweep.subdir)
    results = finished(folder)
    if results is None or not (folder / "config.json").exists():
        return None
    holder = HydraConfig.instance()
    outer = holder.cfg
    try:
        holder.set_config(job)  # which makes it read-only
        with read_write(job.hydra.runtime), open_dict(job.hydra.runtime):
            job.hydra.runtime.output_dir = str(folder.absolute())
        task: Any = OmegaConf.masked_copy(job, [str(key) for key in job if key != "hydra"])
        if differences(folder, to_plain(task)):
            return None
    finally:
        holder.cfg = outer
    returned = JobReturn(words, status=JobStatus.COMPLETED)
    returned.return_value = headline(results)
    return returned


@contextmanager
def announced(config: DictConfig, left: int, finished: int = 0) -> Iterator[None]:
    """Print where a sweep is and how much of it is to do, and in the end what reports it."""
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    before = f", {finished} finished before" if finished else ""
    report = f"python -m cryofix.report {shlex.quote(f'sweep={folder}')}"
    print(
        f"sweep {folder}: {left} jobs to run{before}; to follow it: {report} watch=true", flush=True
    )
    try:
        yield
    finally:
        print(f"\nsweep {folder}: {report}", flush=True)
