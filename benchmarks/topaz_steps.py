"""Topaz, installed beside cryofix: normalising, training and picking, each step once."""

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.commands import Commands
from cryofix.formats import MicrographInfo, Particles, write_coordinates

RELEASE = "topaz-em==0.3.20"
NETWORK = ("--model", "resnet8", "--units", "32", "--radius", "3")
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def installed(venv: Path) -> Path:
    """Return Topaz's program in an environment of its own, with the same PyTorch as ours."""
    program = venv / "bin" / "topaz"
    if not program.exists():
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([*pip, "--constraint", CONSTRAINTS, RELEASE], check=True)
    return program


@dataclass(frozen=True)
class Topaz:
    """Topaz's steps, all in one folder."""

    program: Path
    """From `installed`."""
    folder: Path
    """Each step has a folder in it; see `Commands`."""

    def normalise(self, images: Iterable[Path]) -> dict[str, Any]:
        """Normalise micrographs as Topaz wants them; return what it took."""
        folder = self.folder / "topaz_normalise"
        command: list[str | Path] = [self.program, "normalize", "-o", folder, *images]
        return Commands(self.folder).run(folder.name, command)

    def normalised(self, name: str) -> Path:
        """Return a normalised micrograph."""
        return self.folder / "topaz_normalise" / f"{name}.mrc"

    def train(
        self,
        name: str,
        labels: Mapping[str, Particles],
        images: Mapping[str, MicrographInfo],
        expected: float,
        budget: Sequence[str],
        downsample: float = 1,
    ) -> tuple[dict[str, Any], Path]:
        """Train on normalised micrographs.

        Parameters
        ----------
        name
            Of the step.
        labels
            What is labelled, by micrograph, in pixels of ``images``.
        images
            Headers of the micrographs before they were shrunk by ``downsample``.
        expected
            Particles that Topaz is told to expect in a micrograph.
        budget
            Options that say how long it trains.
        downsample
            By what the micrographs were shrunk before they were normalised.

        Returns
        -------
        What it took, and the model of the last epoch.
        """
        inputs, folder = self.folder / "inputs", self.folder / f"{name}_train"
        targets, listed = inputs / f"{name}.txt", inputs / f"{name}_images.txt"
        write_coordinates(targets, labels, images, format="topaz", downsample=downsample)
        table = {"image_name": list(labels), "path": [self.normalised(key) for key in labels]}
        pd.DataFrame(table).to_csv(listed, sep="\t", index=False)
        command: list[str | Path] = [self.program, "train", "--device", "-1", *NETWORK, *budget]
        command += ["--num-particles", f"{expected:.0f}"]
        command += ["--train-images", listed, "--train-targets", targets]
        command += ["--save-prefix", folder / "model", "--output", folder / "curve.txt"]
        training = Commands(self.folder).run(folder.name, command)
        return training, sorted(folder.glob("model_epoch*.sav"))[-1]

    def pick(
        self, name: str, model: str | Path, micrographs: Iterable[str], diameter_px: float
    ) -> tuple[dict[str, Any], Path]:
        """Pick in normalised micrographs.

        Picks are as far apart as cryofix's, and as the scorer asks for: half a diameter, which is
        given in pixels of the normalised micrographs.

        Returns
        -------
        What it took, and a file of all picks, beside the ``.coord`` of each micrograph.
        """
        folder = self.folder / f"{name}_pick"
        command: list[str | Path] = [self.program, "extract", "--device", "-1", "--model", model]
        command += ["--radius", str(int(diameter_px / 2)), "--per-micrograph", "--output", folder]
        command += map(self.normalised, micrographs)
        picking = Commands(self.folder).run(folder.name, command)
        files = sorted(folder.glob("*.coord"))
        table = pd.concat([pd.read_csv(file, sep="\t", dtype=str) for file in files])
        table.to_csv(folder / "picks.txt", sep="\t", index=False)
        return picking, folder / "picks.txt"
