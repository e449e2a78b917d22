"""What TensorBoard shows of a stage besides scalars: page, histograms, curves, pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from cryofix.diagnosis.overlay import Overlay, grey, paint
from cryofix.experiment.dashboard_layout import KEEP, layout
from cryofix.experiment.tile_pictures import micrograph_and_truth, with_legend
from cryofix.learning.audit import LOG_ODDS_BINS, LOG_ODDS_LIMIT
from cryofix.learning.module import FixMatch
from cryofix.learning.validation import ValidationExample
from cryofix.masking import MaskingPolicy, PolicyContext
from cryofix.metrics.curves import Counts, Curve, IntArray
from cryofix.metrics.rates import BACKGROUND, PARTICLE

FINAL_SCORES = (
    ("pixel", "f1"),
    ("pixel", "recall"),
    ("pixel", "average_precision"),
    ("particle", "f1"),
    ("particle", "average_precision"),
)
CURVE_THRESHOLDS = np.linspace(0, 1, 101)  # even steps, as the page expects; at most 127


class Dashboard(Callback):
    """Write the page when a stage starts, histograms at audits, the rest after validations."""

    def __init__(self) -> None:
        self._introduced = False  # whether micrograph and truth, which stay the same, were shown

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say which scalars share a chart; every stage does, so that none has to be waited for."""
        for writer in writers(trainer):
            writer.add_custom_scalars(layout())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the histogram of p and the two keep rates of the latest audit."""
        assert isinstance(pl_module, FixMatch)
        counts, step = pl_module.log_odds, pl_module.first_step + trainer.global_step
        if counts is not None and pl_module.steps.audits(trainer.global_step):
            rates = {name: pl_module.audited[f"{name}_keep"] for name in ("particle", "background")}
            kept = {name: rate for name, rate in rates.items() if rate is not None}
            for writer in writers(trainer):
                write_log_odds(writer, counts, step)
                # As runs of their own: TensorBoard gives all lines of a run one colour.
                writer.add_scalars(KEEP, kept, step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the curves over all validation micrographs, and pictures of one."""
        assert isinstance(pl_module, FixMatch)
        step = pl_module.first_step + trainer.global_step
        for writer in writers(trainer):
            for name, scored in pl_module.validation.curves.items():
                write_curve(writer, f"precision_recall/{name}", scored, step)
            for name, picture in self.pictures(pl_module).items():
                writer.add_image(f"maps/{name}", picture, step, dataformats="HWC")

    def pictures(self, module: FixMatch) -> dict[str, NDArray[Any]]:
        """Return what to show of one validation micrograph, (rows, columns, 3) each."""
        shown, policy = module.validation.example, module.active_policy()
        if shown is None:
            return {}
        prediction = shown.prediction
        found: dict[str, NDArray[Any]] = {"p": grey(prediction.probability, 0, 1)}
        if not self._introduced:
            found["micrograph_and_truth"] = micrograph_and_truth(prediction)
            self._introduced = True
        if policy is not None:
            found["pseudo_labels"] = with_legend(pseudo_labels(module, shown, policy))
        return found


def writers(trainer: Trainer) -> list[SummaryWriter]:
    """Return what writes TensorBoard events: nothing on processes other than the first."""
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]


def write_log_odds(writer: SummaryWriter, counts: IntArray, step: int) -> None:
    """Write the histogram of p, of all pixels and by true class where that is known.

    Parameters
    ----------
    writer
        Of the stage's events.
    counts
        As in :class:`~cryofix.learning.audit.Audit`.
    step
        Counted from the very first stage.
    """
    edges = np.linspace(-LOG_ODDS_LIMIT, LOG_ODDS_LIMIT, LOG_ODDS_BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    for name, row in (
        ("unlabelled", counts.sum(axis=0)),
        ("true_particle", counts[PARTICLE]),
        ("true_background", counts[BACKGROUND]),
    ):
        if row.any():
            writer.add_histogram_raw(
                f"log_odds_of_p/{name}",
                min=edges[0],
                max=edges[-1],
                num=int(row.sum()),
                sum=float(row @ middles),
                sum_squares=float(row @ middles**2),
                bucket_limits=edges[1:].tolist(),
                bucket_counts=row.tolist(),
                global_step=step,
            )


def write_curve(writer: SummaryWriter, tag: str, scored: Curve, step: int) -> None:
    """Write precision over recall for TensorBoard's PR CURVES page."""
    right, wrong, truth = np.array([scored.counts_at(at) for at in CURVE_THRESHOLDS]).T
    precision = Counts(right, wrong, truth).precision
    # The page draws all thresholds: where nothing is found it has no spike to 0 at recall 0.
    precision[right == 0] = precision[right > 0][-1:].sum()
    writer.add_pr_curve_raw(
        tag,
        true_positive_counts=right,
        false_positive_counts=wrong,
        true_negative_counts=wrong[0] - wrong,  # at threshold 0 all is predicted to be particle
        false_negative_counts=truth - right,
        precision=precision,
        recall=Counts(right, wrong, truth).recall,
        global_step=step,
        num_thresholds=len(CURVE_THRESHOLDS),
    )


def pseudo_labels(module: FixMatch, shown: ValidationExample, policy: MaskingPolicy) -> Overlay:
    """Paint what the policy would make of a validation micrograph in training."""
    prediction = shown.prediction
    context = PolicyContext(
        prior=module.prior,
        progress=min(1.0, module.global_step / module.steps.stage),
        supervised_precision=module.supervised_precision,
    )
    return paint(
        grey(prediction.annotated.read()),
        shown.student if module.teacher.kind == "self" else prediction.probability,
        prediction.target if prediction.annotated.complete else None,
        prediction.valid,
        policy,
        context,
    )


def write_hyperparameters(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the run's choices with its final scores, for TensorBoard's HPARAMS page.

    Parameters
    ----------
    folder
        Of the TensorBoard events.
    results
        Content of ``results.json``.
    """
    choices = {key: results[key] for key in ("data", "mask", "ratio", "seed", "label_draw")}
    choices |= {
        f"mask.{key}": value
        for key, value in results["mask_config"].items()
        if isinstance(value, bool | int | float | str) and not key.startswith("_")
    }
    scores: dict[str, float] = {}
    for branch, validation in results["validation"].items():
        scores |= {
            f"validation/{branch}/{name}": validation[name]
            for name in ("particle_recall_at_expected", "particle_positive_unlabelled_f1")
            if name in validation
        }
        for kind, name in FINAL_SCORES:
            if kind not in results[branch]:  # masks know of no particles
                continue
            tested = results[branch][kind][name]
            validated = validation[f"{kind}_{name}"]
            if tested is None and validated is not None:  # there is no test micrograph
                scores[f"validation/{branch}/{kind}_{name}"] = validated
            elif tested is not None:
                scores[f"test/{branch}/{kind}_{name}"] = tested
    with SummaryWriter(str(folder)) as writer:
        writer.add_hparams(choices, scores, run_name=".")
