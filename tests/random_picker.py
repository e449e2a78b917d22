"""A model of random weights that picks something, which is enough where it is files that matter."""

from pathlib import Path

import torch

from cryofix.learning.checkpoint import save_picker
from cryofix.learning.network import build_network

MODEL = {
    "architecture": "unet",
    "encoder": "cryofix_small",
    "encoder_weights": None,
    "norm": "batch",
    "options": {"encoder_depth": 4, "decoder_channels": [64, 32, 16, 8]},
}
DATA = {
    "particle_px": 24.0,
    "target_size": None,
    "radius_fraction": 0.5,
    "highpass_diameters": 4.0,
    "clip_sigma": 6.0,
}
THRESHOLD = 0.515


def save_random_picker(folder: Path) -> None:
    """Make a run folder with a model for particles of 40 pixels or 60 Angstrom."""
    torch.manual_seed(1)
    metadata = {
        "config": {"model": MODEL, "data": DATA},
        "prior": 0.04,
        "particle_px": 24.0,
        "diameter_px": 40.0,
        "diameter_angstrom": 60.0,
        "thresholds": {"pixel": 0.5, "particle": THRESHOLD},
    }
    network = build_network(**MODEL, prior=0.5).eval()  # type: ignore[arg-type]  # as in a config
    save_picker(folder / "checkpoints" / "selected.ckpt", network, metadata)
