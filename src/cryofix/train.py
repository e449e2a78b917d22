"""``python -m cryofix.train``: burn-in, supervised control, FixMatch, scores."""

import logging
import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cryofix.config import (
    again,
    build,
    entry_point,
    refuse_idle,
    runs_a_whole_sweep,
    to_plain,
    typed_targets,
)
from cryofix.errors import CryofixError, Stopped
from cryofix.experiment.run_folder import claimed, finished, headline, holds_a_run, refuse_another
from cryofix.files import write_json
from cryofix.sweeps.resume import resumed

if TYPE_CHECKING:
    from cryofix.distributed import Ranks


FROM_THE_TOP = ("data.ratio", "data.seed", "data.split_seed", "data.label_draw")
"""Keys that take their value from the one of the same name at the top level."""


@entry_point("train", arguments=resumed)
def main(config: DictConfig) -> float:
    """Train, write the run folder, and return the score that selected the model."""
    from cryofix.distributed import Ranks, end_group, on_first  # after --help has been answered
    from cryofix.reporting.console import quieten

    quieten()
    ranks = Ranks.started()
    if ranks.rank > 0:
        logging.getLogger().setLevel(logging.ERROR)  # the first process says the rest
    folder = Path(HydraConfig.get().runtime.output_dir)
    if not holds_a_run(folder):
        refuse_idle_keys(to_plain(config))
    ranks.join(
        config.trainer.accelerator,
        lambda: ranks.check(to_plain(config), output_as_written(config, folder)),
    )
    with ExitStack() as held:

        def results_of_before() -> dict[str, Any] | None:
            held.enter_context(claimed(folder))
            if not holds_a_run(folder):
                return None
            in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
            key = "hydra.sweep.dir" if in_sweep else "output"
            refuse_another(folder, to_plain(config), key)
            return finished(folder)

        results = on_first(results_of_before)
        if results is not None:
            if end_group():
                print(f"{folder} has finished before; remove its results.json to score it again")
            return headline(results)
        try:
            return train(config, folder, ranks)
        except Stopped:
            if ranks.rank == 0:
                raise
            # Without an error, which might end the first one before it has spoken.
            if runs_a_whole_sweep():
                sys.exit(0)
            return math.nan


def refuse_idle_keys(config: dict[str, Any]) -> None:
    """Refuse keys that were typed and do nothing beside the others."""
    from cryofix.data.labelling import Labelling

    data, prior = config["data"], config["prior"]["value"]
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        refuse_idle(["output"], "a sweep writes to hydra.sweep.dir")
    for word in HydraConfig.get().overrides.task:
        key, _, value = word.lstrip("+").partition("=")
        if key in FROM_THE_TOP:
            short = key.removeprefix("data.")
            raise CryofixError(f"{word} is given as {short}={value}, which results and tables name")
    if data.get("labels") == "partial" and data.get("test"):
        reason = "of partial labels no pick can be called wrong, so that nothing can be tested"
        refuse_idle(["data.test"], reason)
    if Labelling.of(data).partial:
        reason = "partial labels are taught by the positive-unlabelled risk of the cross entropy"
        refuse_idle(["loss"], reason)
    if prior is not None:
        refuse_idle(["prior.estimate"], f"prior.value={prior} is taken as it is")


def train(config: DictConfig, folder: Path, ranks: "Ranks") -> float:
    """Train what is left of a run; processes other than the first return NaN."""
    from cryofix.distributed import barrier, on_first
    from cryofix.experiment.dashboard import write_hyperparameters
    from cryofix.experiment.progress import Display
    from cryofix.experiment.run_figures import write_run_figures
    from cryofix.experiment.run_page import write_run_page
    from cryofix.experiment.stages import Experiment
    from cryofix.experiment.status import run_status
    from cryofix.reporting.console import print_run_summary, result_line, say
    from cryofix.reporting.run_lines import warn_of_missing_labels

    hydra_config = HydraConfig.get()
    sweep = Path(hydra_config.sweep.dir) if hydra_config.mode == RunMode.MULTIRUN else None
    quiet = ranks.rank > 0
    goes_on = again(folder) if ranks.world_size == 1 else "the same command"
    with run_status(folder, ranks.rank, goes_on) as status, Display(quiet=quiet) as display:
        say(display.console, f"run folder: {folder}")
        status.update(overrides=list(hydra_config.overrides.task))
        barrier()
        plain = to_plain(config)
        on_first(lambda: ranks.check(plain, output_as_written(config, folder)))
        on_first(lambda: write_json(folder / "config.json", plain))
        experiment = Experiment(
            config=plain,
            folder=folder,
            shared=sweep / "stages" if sweep is not None and config.share_stages else None,
            data=build(config.data, progress=display.counter),
            policy=build(config.mask),
            guard=build(config.guard),
            regulariser=build(config.regulariser),
            auxiliary=build(config.auxiliary),
            tell=status.update,
            stop=status.stop,
            display=display,
            ranks=ranks,
            named=typed_targets(),
        )
        experiment.guard.console = display.console
        experiment.guard.listener = lambda alarm: status.update(alarm=alarm)
        say(display.console, experiment.policy.describe())
        results = experiment.run()
        if results is None:
            return math.nan
        write_run_figures(experiment)
        if "tensorboard" in (plain.get("logger") or {}):
            write_hyperparameters(folder / "tensorboard", results)
        write_json(folder / "results.json", results)
        write_run_page(folder, results, hydra_config.overrides.task, images_of(plain))
    if sweep is None:
        print_run_summary(results, folder, display.console, images_of(plain))
    else:
        display.console.print(result_line(results), highlight=False, soft_wrap=True)
    say(display.console, *warn_of_missing_labels(results), style="yellow")
    return headline(results)


def images_of(config: dict[str, Any]) -> str | None:
    """Return where a run's own micrographs are; None where they were simulated."""
    from cryofix.data.origin import Files

    data = config["data"]
    return Files(root=data.get("root"), images=data.get("images")).path("images")


def output_as_written(config: DictConfig, folder: Path) -> str:
    """Return ``output`` before interpolation, or in a sweep the folder, which is the job's."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return str(folder)
    return str(OmegaConf.to_container(config)["output"])  # type: ignore[index,call-overload]  # a mapping


if __name__ == "__main__":
    main()
