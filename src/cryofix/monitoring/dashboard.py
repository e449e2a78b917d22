"""Pictures for TensorBoard while a stage trains."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from cryofix.learning.evaluation import Prediction, predict
from cryofix.learning.fixmatch import FixMatch
from cryofix.masking import PolicyContext

FINAL_SCORES = (
    ("pixel", "f1"),
    ("pixel", "recall"),
    ("pixel", "average_precision"),
    ("particle", "f1"),
    ("particle", "average_precision"),
)

KEPT_PARTICLE, KEPT_BACKGROUND, IGNORED = (0.95, 0.45, 0.1), (0.15, 0.35, 0.75), (0.8, 0.8, 0.8)


class ShowMaps(Callback):
    """After each validation, one micrograph: image, truth, prediction, pseudo-label mask."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the row of maps of the first validation micrograph."""
        assert isinstance(pl_module, FixMatch)
        if not trainer.is_global_zero:
            return
        annotated = pl_module.data.part("validation")[0]
        prediction = predict(pl_module.average.network, pl_module.data, annotated, pl_module.device)
        row = maps_row(prediction, pl_module)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    "maps/micrograph_truth_prediction_mask",
                    row,
                    pl_module.first_step + trainer.global_step,
                    dataformats="HWC",
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
    scores = {
        f"test/{branch}/{kind}_{name}": results[branch][kind][name]
        for branch in ("supervised", "fixmatch")
        if results[branch] is not None
        for kind, name in FINAL_SCORES
    }
    with SummaryWriter(str(folder)) as writer:
        writer.add_hparams(choices, scores, run_name=".")


def maps_row(prediction: Prediction, module: FixMatch) -> NDArray[np.float32]:
    """Return the maps of one micrograph side by side, (rows, 3 or 4 x columns, 3) in [0, 1]."""
    image: NDArray[np.float32] = np.clip(prediction.annotated.read() / 6 + 0.5, 0, 1)
    grey = (image, prediction.target.astype(np.float32), prediction.probability)
    panels: list[NDArray[np.float32]] = [np.repeat(each[..., None], 3, axis=2) for each in grey]
    panels[1][~prediction.valid] = 0.35
    if module.active_policy() is not None:
        panels.append(_mask_panel(prediction, module))
    return np.concatenate(panels, axis=1).astype(np.float32)


def _mask_panel(prediction: Prediction, module: FixMatch) -> NDArray[np.float32]:
    """Colour what the policy keeps as particle, as background, and ignores."""
    policy = module.active_policy()
    assert policy is not None
    progress = min(1.0, module.global_step / module.steps.stage)
    context = PolicyContext(
        prior=module.prior,
        progress=progress,
        supervised_precision=module.supervised_precision,
    )
    prob = torch.from_numpy(prediction.probability)[None, None].to(module.device)
    valid = torch.from_numpy(prediction.valid)[None, None].to(module.device)
    pseudo = policy(prob, valid, context)
    weight = pseudo.weight[0, 0].cpu().numpy()
    weight = np.clip(weight / max(float(weight.max()), 1e-6), 0, 1)[..., None]
    particle = (pseudo.target[0, 0] >= 0.5).cpu().numpy()[..., None]
    colour = np.where(particle, KEPT_PARTICLE, KEPT_BACKGROUND)
    panel: NDArray[np.float32] = weight * colour + (1 - weight) * np.asarray(IGNORED)
    return panel
