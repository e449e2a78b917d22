"""Single lines about a finished run, for the terminal and for its page."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryofix.reporting.numbers import percent, signed

MANY_TIMES = 3  # as many picks as labels, and labels are missing rather than picks wrong


def pick_command(folder: Path, images: str | None = None) -> str:
    """Return the command that picks with a run's model, in the run's own ``images`` if known."""
    where = (f"checkpoint={folder}", f"micrographs={images or '/data/*.mrc'}")
    return shlex.join(["python", "-m", "cryofix.pick", *where, f"output={folder / 'picks'}"])


def keep_rate_line(results: Mapping[str, Any]) -> str:
    """Return what the policy keeps of each class, from the last audits of FixMatch."""
    kept = results["mask_keep_rates"]
    if kept is None:
        return ""
    if kept["particle_keep"] is None:
        return "keep rates at the end: no pixel was predicted to be particle"
    drift = "undefined" if kept["drift"] is None else signed(kept["drift"], 2)
    if kept["background_keep"] and kept["particle_keep"] == 0:
        drift = "minus infinity"
    if kept["particle_keep"] and kept["background_keep"] == 0:
        drift = "plus infinity"
    particle, background, share = (
        percent(kept[key], 1) or "unknown"
        for key in ("particle_keep", "background_keep", "particle_share")
    )
    alarm = results["collapse"]["first_step"]
    return (
        f"keep rates at the end: {particle} of predicted particles,"
        f" {background} of background; drift {drift}; particle share"
        f" {share} of what is kept, prior {percent(results['prior'], 1)}"
        + (f"; collapse alarm at step {alarm}" if alarm is not None else "")
    )


def warn_of_missing_labels(results: Mapping[str, Any]) -> list[str]:
    """Return a line where the model finds far more than is labelled; else none."""
    counted = results["on_labelled"]
    if counted is None or counted["picks"] <= MANY_TIMES * counted["labels"]:
        return []
    return [
        f"the model picks {counted['picks']} particles in labelled micrographs with"
        f" {counted['labels']} labels: if particles there have no label, train with"
        " data.labels=partial and data.particles_per_micrograph, so that they are not taught as"
        " background"
    ]
