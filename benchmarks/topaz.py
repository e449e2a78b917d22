"""cryofix against Topaz on EMPIAR-10017, from one and from two labelled micrographs.

    python -m benchmarks.topaz --root ../shared/data/empiar-10017 [KEY=VALUE ...]

benchmarks/README.md says what is compared, and how. KEY=VALUE are overrides of `cryofix.train`,
beside or instead of those in OURS. Every finished step is kept in the output folder, so that the
same command does only what is missing.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import Commands, pace
from benchmarks.topaz_data import binned_data_set, composed
from benchmarks.topaz_report import write_report
from benchmarks.topaz_steps import Topaz, installed
from cryofix.config import build
from cryofix.data.datamodule import CryoDataModule
from cryofix.experiment.comparison import annotated_part, compare, headers
from cryofix.formats import read_coordinates
from cryofix.metrics.programs import read_programs

OURS = (
    "mask=quota",
    "data.tile_px=128",
    "steps.burn_in=500",
    "steps.stage=500",
    "trainer.accelerator=cpu",
    "trainer.precision=bf16-mixed",
    "split_seed=3",  # the first that labels ..14_33_35_0, which Topaz's known scores are for
    "data.limit=null",  # all 20, also with trainer=smoke
)
LABELS = (1, 2)
LOWEST_SCORE = 0.0025  # of picks that are kept; Topaz's own limit, a log-likelihood ratio of -6
PRETRAINED = "resnet16_u64"


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of EMPIAR-10017")
    parser.add_argument("--output", type=Path, default=Path("runs/topaz"))
    parser.add_argument("--venv", type=Path, help="virtual environment of Topaz, made if missing")
    parser.add_argument("--epochs", type=int, default=4, help="of Topaz's training")
    parser.add_argument("--updates", type=int, default=150, help="in each of these epochs")
    told = "particles that Topaz is told to expect, relative to the labels"
    parser.add_argument("--expected", type=float, default=1.1, help=told)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of cryofix.train")
    options = parser.parse_args()
    folder = options.output.absolute()
    given = {each.partition("=")[0]: each for each in (*OURS, *options.overrides)}
    settings = binned_data_set(options.root.absolute(), folder / "binned", list(given.values()))
    data = build(composed([*settings, "ratio=1"]).data)
    comparison = Comparison(
        folder=folder,
        settings=settings,
        data=data,
        topaz=Topaz(installed((options.venv or folder / "venv").absolute()), folder),
        budget=("--num-epochs", str(options.epochs), "--epoch-size", str(options.updates)),
        expected=options.expected,
    )
    write_report(folder, comparison.measure())


@dataclass(frozen=True)
class Comparison:
    """Both programs on the same micrographs."""

    folder: Path
    """Where all steps are."""
    settings: Sequence[str]
    """Overrides of `cryofix.train` but for the ratio."""
    data: CryoDataModule
    """The data set with all training micrographs labelled."""
    topaz: Topaz
    """Topaz's steps."""
    budget: Sequence[str]
    """Its options that say how long it trains."""
    expected: float
    """Particles that it is told to expect in a micrograph, relative to the labels."""

    @property
    def commands(self) -> Commands:
        """What runs each step, once."""
        return Commands(self.folder)

    @property
    def scored(self) -> list[str]:
        """Names of the micrographs to pick: validation's choose the threshold of test's."""
        return [*self.data.split.validation, *self.data.split.test]

    def measure(self) -> dict[str, Any]:
        """Train, pick and score; return all figures."""
        images = sorted(info.path for info in headers(self.data).values())
        normalising = self.topaz.normalise(images)
        rows = {}
        for count in LABELS:
            rows[f"cryofix_{count}"] = self.ours(count)
            rows[f"topaz_{count}"] = self.topaz_trained(count)
        rows["topaz_pretrained"] = self.topaz_picks("topaz_pretrained", PRETRAINED)
        programs = read_programs(
            {name: row["picks"] for name, row in rows.items()}, headers(self.data)
        )
        test, validation = (annotated_part(self.data, part) for part in ("test", "validation"))
        scored = compare(programs, test, validation, self.data.dataset.particle_px)
        return {
            "rows": rows,
            "scored": {one.program.name: one for one in scored},
            "normalise_seconds": normalising["seconds"] / len(images),
            "settings": list(self.settings),
            "topaz": {"budget": list(self.budget), "expected": self.expected},
        }

    def ours(self, count: int) -> dict[str, Any]:
        """Train with so many labelled micrographs, and pick."""
        pool, name = len(self.data.split.labelled), f"cryofix_{count}"
        run, picks = self.folder / f"{name}_train" / "run", self.folder / f"{name}_pick" / "picks"
        train = [sys.executable, "-m", "cryofix.train", "data=empiar10017", *self.settings]
        train += [f"ratio={count / pool}", f"output={run}"]
        training = self.commands.run(f"{name}_train", train)
        links = self.links()
        pick = [sys.executable, "-m", "cryofix.pick", f"checkpoint={run}", f"micrographs={links}"]
        # One process with all cores, as Topaz works.
        pick += ["workers=1", "device=cpu", "format=csv", f"keep_above={LOWEST_SCORE}"]
        self.commands.run(f"{name}_pick", [*pick, f"output={picks}"])
        results = json.loads((run / "results.json").read_text())
        return {
            "training": training,
            "control_seconds": results["seconds"]["supervised"],
            "selected": results["selected"],
            "branches": {key: results[key]["particle"]["f1"] for key in ("supervised", "fixmatch")},
            "seconds_per_micrograph": pace(list((picks / "results").rglob("*.npz"))),
            "picks": str(picks / "cryoppp"),
        }

    def links(self) -> Path:
        """Return a folder with links to the micrographs that are scored."""
        folder = self.folder / "scored"
        for name in self.scored:
            link = folder / f"{name}.mrc"
            link.parent.mkdir(exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(headers(self.data)[name].path)
        return folder

    def topaz_trained(self, count: int) -> dict[str, Any]:
        """Train Topaz with the labels that our run of so many had, and pick."""
        name = f"topaz_{count}"
        split = json.loads((self.folder / f"cryofix_{count}_train/run/splits.json").read_text())
        if len(split["labelled"]) != count or set(self.scored) & set(split["labelled"]):
            sys.exit(
                f"the run with {count} labels had {split['labelled']}: give another split_seed"
            )
        images = headers(self.data)
        every = read_coordinates(self.folder / "binned" / "coordinates", images, y_origin="top")
        labels = {key: every[key] for key in split["labelled"]}
        expected = self.expected * sum(map(len, labels.values())) / count
        training, model = self.topaz.train(name, labels, images, expected, self.budget)
        return {"training": training, **self.topaz_picks(name, model)}

    def topaz_picks(self, name: str, model: str | Path) -> dict[str, Any]:
        """Pick with one of Topaz's models."""
        diameter = self.data.dataset.of_particles.diameter_px
        _, picks = self.topaz.pick(name, model, self.scored, diameter)
        files = list(picks.parent.glob("*.coord"))
        return {"seconds_per_micrograph": pace(files), "picks": str(picks)}


if __name__ == "__main__":
    main()
