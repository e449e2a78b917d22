"""A whole run: burn-in, the fork into control and FixMatch, scores, files.

Control and FixMatch continue from the same weights and optimiser, for the same number of steps,
with the same labelled batches; only the unlabelled loss differs.

The file is long because a run is read here from top to bottom, in the order in which it happens.
"""

import copy
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import Logger

import cryofix
from cryofix.data.blocks import describe
from cryofix.data.datamodule import CryoDataModule
from cryofix.distributed import Ranks, end_group, on_first, on_gpu
from cryofix.errors import CryofixError
from cryofix.experiment.checkpointing import KeepCheckpoints
from cryofix.experiment.dashboard import Dashboard
from cryofix.experiment.guard import CollapseGuard
from cryofix.experiment.outcome import (
    COUNTED_IN,
    averaged_network,
    environment,
    score_branch,
    selection_scores,
)
from cryofix.experiment.progress import Display, ShowProgress
from cryofix.experiment.sharing import stage_folder, stage_lock
from cryofix.experiment.stage_trainer import (
    begin_logging,
    check_trainer,
    end_logging,
    fitting,
    make_parts,
)
from cryofix.files import write_json
from cryofix.learning.auxiliary import Auxiliary
from cryofix.learning.checkpoint import (
    SELECTED,
    AtomicCheckpointIO,
    about,
    load_checkpoint,
    save_picker,
)
from cryofix.learning.evaluation import confidence_histogram, expectation, score_all
from cryofix.learning.module import FixMatch
from cryofix.learning.network import UNTRAINED, build_network
from cryofix.learning.prior import estimate_prior, label_shift
from cryofix.learning.regularisers import Regulariser
from cryofix.learning.settings import StageSettings, Steps
from cryofix.learning.views import check_labels, check_pairs
from cryofix.masking import MaskingPolicy
from cryofix.metrics.histogram import ProbabilityHistogram
from cryofix.metrics.particles import Thresholds, pooled_particles, pooled_pixels
from cryofix.reporting.console import say
from cryofix.reporting.numbers import percent
from cryofix.stopping import StopRequests

SCHEMA = 1
KEEP_RATE_MICROGRAPHS = 8  # enough pixels for three digits, little time


@dataclass
class Experiment:
    """Everything of one run."""

    config: dict[str, Any]
    """The resolved configuration in plain containers; written into checkpoints and results."""
    folder: Path
    """Run folder."""
    shared: Path | None
    """Folder where burn-in and control are kept for all runs that need the same; None keeps them in
    the run folder."""
    data: CryoDataModule
    policy: MaskingPolicy
    """As configured."""
    display: Display
    """Where progress is shown."""
    guard: CollapseGuard
    """Watches FixMatch."""
    regulariser: Regulariser | None = None
    """Of the semi-supervised stage, if any."""
    auxiliary: Auxiliary | None = None
    """Of the same stage, if any."""
    tell: Callable[..., None] = lambda **changes: None
    """Is called with what ``status.json`` should say."""
    stop: StopRequests = field(default_factory=StopRequests)
    """Where requests to stop arrive."""
    ranks: Ranks = field(default_factory=Ranks)
    """Which of how many processes this is; the group is joined before and left in :meth:`run`."""
    named: Collection[str] = ()
    """Classes that the user has typed, which callbacks and loggers may be of."""
    seconds: dict[str, float] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)  # steps of each stage

    def __post_init__(self) -> None:
        check_pairs(self.config, self.ranks.world_size)
        check_labels(self.policy, self.config["data"], self.data.labelling.partial)
        settings, _ = self.ranks.trainer_settings(self.config["trainer"])
        check_trainer(settings, alone=self.ranks.world_size == 1)
        self._users_parts("burn_in")  # says what is wrong with them before anything is trained
        self.steps = Steps(**self.config["steps"])

    @property
    def device(self) -> torch.device:
        """Where validation and test micrographs are scored."""
        return torch.device("cuda" if on_gpu(self.config["trainer"]["accelerator"]) else "cpu")

    def run(self) -> dict[str, Any] | None:
        """Train, score, and return the content of ``results.json``.

        All processes train; the first one then scores alone, and the others get None.
        """
        on_first(self.data.setup)  # the others find the cache filled
        self.data.setup()
        on_first(lambda: self._reached(self._stage_folder("burn_in") / "last.ckpt"))
        on_first(lambda: self.data.write_split(self.folder / "splits.json"))
        prior = self.config["prior"]
        self.prior = estimate_prior(self.data, prior["value"], prior["estimate"])
        self.guard.prior = self.prior
        self.tell(prior=self.prior.as_dict())
        lines = (*self.data.labelling.describe(), *describe(self.data.blocks))
        say(self.display.console, *lines, self.prior.describe())
        if self.shared is not None:  # while this one waits for them, what happens is there
            self.tell(stages=os.path.relpath(self._stage_folder("burn_in").parent, self.folder))
        with stage_lock(self.shared, self.config, self.ranks.world_size):
            burn_in = self.train_stage("burn_in", None, self.steps.burn_in, None)
            control = self.train_stage("supervised", burn_in, self.steps.stage, None)
        stages = {"supervised": control}
        self.at_fork = on_first(lambda: self._unlabelled_at_fork(burn_in))
        if self.config["method"] != "supervised":
            self._ask_the_unlabelled()
            stages["fixmatch"] = self.train_stage(
                "fixmatch", burn_in, self.steps.stage, self.policy
            )
        if not end_group():
            return None
        self.scored = {
            name: score_branch(
                name,
                averaged_network(self.config, checkpoint, self.device),
                self.data,
                self.prior.value,
                self.device,
                self.display.counter,
                self.config["average_views"],
            )
            for name, checkpoint in stages.items()
        }
        self.keep_rates = self.at_fork.table(prior=self.prior.value) if self.at_fork.pixels else []
        validation = {name: branch.validation_scores() for name, branch in self.scored.items()}
        selected_by = selection_scores(validation)
        selected = max(self.scored, key=selected_by.__getitem__)  # of equal ones the control
        self._keep_selected(selected)
        complete = self.data.has_particles and not self.data.labelling.partial
        self.counted = self._labels_and_picks(selected) if complete else None
        return self._results(validation, selected, selected_by)

    # -- stages ---------------------------------------------------------------------------------

    def _stage_folder(self, name: str) -> Path:
        if self.shared is not None and name != "fixmatch":
            return stage_folder(self.shared, self.config, self.ranks.world_size) / name
        return self.folder / "checkpoints" / name

    def _module(self, policy: MaskingPolicy | None, first_step: int, new: bool = True) -> FixMatch:
        """Build a stage's module; unless it is ``new``, a checkpoint will give it its weights."""
        torch.manual_seed(self.config["seed"])
        # By the labels if they say it, so that a given prior changes neither burn-in nor control.
        first = self.prior.labelled or self.prior.value
        start = {} if new else UNTRAINED
        network = build_network(**{**self.config["model"], **start}, prior=first)
        if self.config["compute"]["channels_last"]:
            network = network.to(memory_format=torch.channels_last)
        module = FixMatch(
            network,
            policy,
            self.data,
            StageSettings.of(self.config, self.prior.value, first_step, self.prior.of_labels),
            regulariser=self.regulariser if policy is not None else None,
            auxiliary=self.auxiliary,
            metadata=self._metadata(),
        )
        if self.config["compute"]["compile"]:
            module.network.compile()  # in place, so that weights keep their names
        return module

    def _metadata(self, thresholds: Thresholds | None = None) -> dict[str, Any]:
        diameters = self.data.dataset.diameters
        found = None if thresholds is None else asdict(thresholds)
        if found is not None and diameters is None:
            del found["particle"]
        return {
            "schema": SCHEMA,
            "version": cryofix.__version__,
            "config": self.config,
            "prior": self.prior.value,
            "labels": self.data.labels_digest(),
            **({} if diameters is None else asdict(diameters)),
            "thresholds": found,
        }

    def _reached(self, last: Path) -> tuple[int | None, Mapping[str, Any]]:
        """Return the step of a stage's last checkpoint and what its callbacks remember."""
        if not last.exists():
            return None, {}
        try:
            checkpoint = load_checkpoint(last)
        except CryofixError as error:
            raise CryofixError(
                f"{last} is damaged: delete it, and the same command trains its stage again"
            ) from error
        # Micrographs that this run would test on may have taught that stage.
        if checkpoint["cryofix"].get("labels", labels := self.data.labels_digest()) != labels:
            raise CryofixError(
                f"{last} was trained on other labels, or another split, than the data have now:"
                f" delete {last.parent.parent} to train all stages on what they have now"
            )
        return checkpoint["global_step"], checkpoint["callbacks"]

    def train_stage(
        self, name: str, start: Path | None, steps: int, policy: MaskingPolicy | None
    ) -> Path:
        """Train one stage, or what is left of it, and return its last checkpoint."""
        folder = self._stage_folder(name)
        last = folder / "last.ckpt"
        began = time.monotonic()
        # Read by one: a file system of a cluster may show the others an older file.
        done, states = on_first(lambda: self._reached(last))
        first_step = 0 if start is None else self.steps.burn_in
        if policy is not None and "CollapseGuard" in states:
            self.guard.load_state_dict(states["CollapseGuard"])
        ended = states.get("KeepCheckpoints", {}).get("ended", False)
        if done is None or (done < steps and not ended):
            module = self._module(policy, first_step, new=start is None and done is None)
            if start is not None:
                before = on_first(lambda: load_checkpoint(start))
                with about(start):
                    module.continue_from(before)
            if policy is not None:
                at_fork = on_first(lambda: self._pixels_at_fork(module))
                module.supervised_precision = at_fork.pop("precision")
                self.guard.best = at_fork
            self.data.first_step = first_step
            self.data.with_unlabelled = policy is not None
            trainer = self._trainer(name, folder, steps)
            begin_logging(trainer, self.config)
            with fitting():
                trainer.fit(module, self.data, ckpt_path=last if done is not None else None)
            if steps == 0:  # then Lightning calls no callback
                trainer.save_checkpoint(last)
            end_logging(trainer)
            done = trainer.global_step
        self.taken[name] = done
        self.seconds[name] = round(time.monotonic() - began, 3)
        return last

    def _users_parts(self, stage: str) -> tuple[list[Callback], list[Logger]]:
        """Make the callbacks and the loggers of one stage that the configuration asks for."""
        places = {"run_folder": str(self.folder), "stage": stage}
        return (
            make_parts(self.config["callbacks"], "callbacks", Callback, self.named, **places),
            make_parts(self.config["logger"], "logger", Logger, self.named, **places),
        )

    def _trainer(self, name: str, folder: Path, steps: int) -> Trainer:
        callbacks, loggers = self._users_parts(name)
        every = self.steps.checkpoint_every, self.steps.validate_every
        settings, environment_of_ranks = self.ranks.trainer_settings(self.config["trainer"])
        return Trainer(
            **{"log_every_n_steps": self.steps.log_every, **settings},
            max_steps=steps,
            max_epochs=-1,
            val_check_interval=self.steps.validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            logger=loggers,
            callbacks=[
                *([self.guard] if name == "fixmatch" else []),
                *callbacks,
                ShowProgress(self.display, name.replace("_", "-")),
                Dashboard(),
                KeepCheckpoints(folder, *every, self.stop),
            ],
            plugins=[AtomicCheckpointIO(), environment_of_ranks],
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
            default_root_dir=self.folder,
        )

    # -- scores ---------------------------------------------------------------------------------

    def _pixels_at_fork(self, module: FixMatch) -> dict[str, float]:
        """Return the averaged burn-in model's pixel scores on validation, where 0.5 is the cut.

        They are ``precision``, and what the guard compares with, by its names. Of partial labels
        they are estimated.
        """
        network = module.average.network.to(self.device)
        records = score_all(network, self.data, self.data.part("validation"), self.device)
        pixels = pooled_pixels(records)
        expected = expectation(self.data, self.prior.value)
        counts = pixels.counts_at(0.5) if expected is None else expected.pixels_at_half(pixels)
        scores = {"precision": float(counts.precision)}
        if expected is not None:
            return {**scores, "pixel_estimated_f1": float(counts.f1)}
        ranks = pixels.average_precision()
        return {**scores, "pixel_f1": float(counts.f1), "pixel_average_precision": ranks}

    def _unlabelled_at_fork(self, burn_in: Path) -> ProbabilityHistogram:
        """Count p of what FixMatch starts from, over some unlabelled micrographs."""
        micrographs = self.data.part("unlabelled")[:KEEP_RATE_MICROGRAPHS]
        network = averaged_network(self.config, burn_in, self.device)
        return confidence_histogram(network, self.data, micrographs, self.device)

    def _ask_the_unlabelled(self) -> None:
        """Add to the prior what the unlabelled micrographs say at the fork."""
        start = self.prior.labelled or self.prior.value
        found = label_shift(self.at_fork, start)
        self.prior = replace(self.prior, unlabelled=found)
        self.guard.prior = self.prior
        self.tell(prior=self.prior.as_dict())
        if found is None and self.prior.estimate == "em":
            line = "prior.estimate=em finds nothing: there is no unlabelled micrograph to look at"
            say(self.display.console, line, style="yellow")
        if found is not None:
            odds = [factor * start / (1 - start) for factor in (0.5, 2)]
            range_ = [label_shift(self.at_fork, each / (1 + each)) for each in odds]
            low, high = (percent(share, 2) for share in range_)
            known = percent(start, 2)
            doubt = f", which is too far from {known} to be believed"
            doubt = "" if self.prior.believed else doubt
            say(
                self.display.console,
                f"prior: EM on unlabelled micrographs finds {percent(found, 2)} ({low} or {high},"
                f" if the model were calibrated to half or twice the odds of {known}){doubt};"
                f" training uses {percent(self.prior.value, 2)}, from {self.prior.source}.",
            )

    def _labels_and_picks(self, selected: str) -> dict[str, int]:
        """Count labels of labelled micrographs, and the picks of the selected model there."""
        branch, micrographs = self.scored[selected], self.data.to_count_in(COUNTED_IN, "labelled")
        views = branch.average_views
        records = score_all(branch.network, self.data, micrographs, self.device, views)
        right, wrong, labels = pooled_particles(records).counts_at(branch.thresholds.particle)
        return {"labels": labels, "picks": right + wrong}

    def _keep_selected(self, name: str) -> None:
        """Write the model that a user should use, by itself."""
        branch = self.scored[name]
        metadata = self._metadata(branch.thresholds) | {"stage": name}
        network = copy.deepcopy(branch.network).cpu()
        save_picker(self.folder / "checkpoints" / SELECTED, network, metadata)
        curve = branch.validation_curve()
        if curve is not None:
            write_json(self.folder / "validation_curve.json", curve)

    def _results(
        self,
        validation: Mapping[str, Mapping[str, float | None]],
        selected: str,
        selected_by: Mapping[str, Any],
    ) -> dict[str, Any]:
        control, fixmatch = self.scored["supervised"], self.scored.get("fixmatch")
        return {
            "schema": SCHEMA,
            "data": self.config["names"]["data"],
            "method": self.config["method"],
            "mask": self.config["names"]["mask"],
            "mask_config": self.config["mask"],
            **{key: self.config[key] for key in ("ratio", "seed", "split_seed", "label_draw")},
            "micrographs": self.data.split.counts(),
            "validation_blocks": sum(len(each.held_out) for each in self.data.blocks.values()),
            "prior": self.prior.value,
            "prior_estimate": self.prior.as_dict(),
            "checkpoint": "last",
            "supervised": control.scores(),
            "fixmatch": None if fixmatch is None else fixmatch.scores(),
            "gain": None if fixmatch is None else fixmatch.gain_over(control),
            "selected": selected,
            "selected_by": selected_by,
            "on_labelled": self.counted,
            "thresholds_from": self.scored[selected].thresholds.source,
            "validation": validation,
            "keep_rates": self.keep_rates,
            "mask_keep_rates": self.guard.latest,
            "collapse": asdict(self.guard.record),
            "stopped_by_guard": self.guard.has_stopped,
            "steps": {"burn_in": self.steps.burn_in, "stage": self.steps.stage} | self.taken,
            "seconds": self.seconds,
            "environment": environment(self.device) | {"processes": self.ranks.world_size},
        }
