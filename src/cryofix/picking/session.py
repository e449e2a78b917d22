"""A whole run of picking: what is left to do, doing it, and everything that is written."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from torch import nn

from cryofix.errors import CryofixError
from cryofix.files import A_DAY, remove_leftovers
from cryofix.learning.metadata import refuse_masks
from cryofix.picking.export import Export
from cryofix.picking.folder import FOLDERS, keep_to_this_run
from cryofix.picking.jobs import Outcome, Work, choose_device, choose_workers, run_jobs
from cryofix.picking.micrographs import Recipe
from cryofix.picking.page import write_page
from cryofix.picking.pick_summary import Summary, found, print_summary, summarise, write_tables
from cryofix.picking.picked import Job, PickSelection, file_digest, is_finished, settings_key
from cryofix.picking.planning import plan_jobs

log = logging.getLogger(__name__)

RESULTS = "results"
OF_THE_RECIPE = (
    "diameter_angstrom",
    "diameter_px",
    "pixel_size_angstrom",
    "min_distance",
    "border_px",
)
NUMBERS = (*OF_THE_RECIPE, "threshold", "keep_above", "min_size", "max_size")


class Advance(Protocol):
    """A phase of a progress display."""

    def advance(self, note: str | None = None) -> None:
        """Count one item."""


@dataclass
class Session:
    """One call of ``cryofix.pick``."""

    folder: Path
    """Where everything goes."""
    model: Path
    digest: str
    """File of the model, and the digest of its content."""
    work: Work
    workers: int | None
    """How to pick, and in how many processes."""
    selection: PickSelection
    export: Export
    shown: int
    """Which picks count, how they are written, and how many pictures the page has."""
    stop_file: Path | None = None
    """Picking ends when somebody makes this file."""
    jobs: list[Job] = field(default_factory=list)
    left: dict[Path, Job] = field(default_factory=dict)
    """All micrographs, and those that are not finished, by their file."""
    before: int = 0
    """How many an earlier run had finished."""
    failures: dict[Path, Outcome] = field(default_factory=dict)
    """What could not be picked, by its file."""
    seconds: float = 0.0

    @classmethod
    def prepare(
        cls,
        metadata: Mapping[str, Any],
        model: Path,
        build: Callable[[], nn.Module],
        keys: Mapping[str, Any],
        folder: Path,
    ) -> "Session":
        """Check all settings, before there are any micrographs.

        ``metadata`` and ``model`` are the checkpoint's, ``build`` makes the network in each
        process, and ``keys`` are those of ``pick.yaml``. Raises CryofixError for the first setting
        that does not work, naming it.
        """
        refuse_masks(metadata, model)
        numbers = {key: None if keys[key] is None else float(keys[key]) for key in NUMBERS}
        size = numbers["min_size"], numbers["max_size"]
        selection = PickSelection.choose(
            metadata["thresholds"], numbers["threshold"], numbers["keep_above"] or 0.0, size
        )
        recipe = Recipe.as_trained(
            metadata,
            floor=selection.lowest,
            sizes=size != (None, None),
            average_views=keys["average_views"],
            **{key: numbers[key] for key in OF_THE_RECIPE if numbers[key] is not None},
        )
        export = Export(
            *(as_list(keys["format"]), Path.cwd(), keys["y_origin"]),
            *(keys["low_scores"], keys["write"]),
        )
        parts = [f"{name}/**" for name in (RESULTS, *FOLDERS)]
        remove_leftovers(folder, *parts, older_than_s=A_DAY)  # tasks of an array may share it
        digest = file_digest(model)
        key = settings_key(recipe, digest)
        _, threads = choose_workers(keys["workers"], 1)
        device = choose_device(keys["device"])
        work = Work(build, recipe, key, selection.threshold, device, threads)
        if recipe.diameter_angstrom is None and not recipe.fixed_px:
            log.warning(
                "the model does not know the pixel size of its training: particles are "
                "taken to be %.1f pixels wide, as in training; give diameter_px if "
                "they are not",
                recipe.diameter_px,
            )
        stop_file = None if keys["stop_file"] is None else Path(keys["stop_file"]).expanduser()
        if stop_file is not None:
            stop_file.unlink(missing_ok=True)  # it ended the run before
        return cls(
            *(folder, model, digest, work, keys["workers"], selection, export, keys["shown"]),
            stop_file,
        )

    def add(self, found: Iterable[Path]) -> None:
        """Take up micrographs, new ones or such that have changed.

        Raises CryofixError if what is picked in them could not be written.
        """
        new, known = set(found), {job.source for job in self.jobs}
        jobs, root = plan_jobs(new | known, self.folder / RESULTS)
        export = replace(self.export, root=root)
        export.check_names([(job.name, job.source) for job in jobs], self.folder)
        its = [job for job in jobs if job.source in new]
        if "relion_particles" in export.formats:
            _check_pixel_sizes(its, self.work.recipe)
        self.jobs, self.export = jobs, export
        todo = {job.source: job for job in its if not is_finished(job, self.work.key)}
        self.before += len(new - known) - len(todo.keys() - known)
        self.left.update(todo)
        for path in new:
            self.failures.pop(path, None)

    @property
    def stopped(self) -> bool:
        """Whether somebody has made the stop file."""
        return self.stop_file is not None and self.stop_file.exists()

    def run(self, start: Callable[[str, int, int], Advance] | None = None) -> None:
        """Pick what is left, or until there is a stop file.

        ``start`` begins a phase of a display: title, total, done.
        """
        todo = list(self.left.values())
        workers, threads = choose_workers(self.workers, len(todo))
        phase = start and start("picking", len(self.jobs), len(self.jobs) - len(todo))
        began, picks = time.monotonic(), 0
        work = replace(self.work, threads=threads)
        with closing(run_jobs(todo, work, workers)) as outcomes:
            for outcome in outcomes:
                picks += outcome.picks
                del self.left[outcome.job.source]
                if outcome.error is not None:
                    self.failures[outcome.job.source] = outcome
                failed = f", {len(self.failures)} failed" if self.failures else ""
                if phase:
                    phase.advance(f"{picks} picks{failed}")
                if self.stopped:
                    break
        self.seconds += time.monotonic() - began

    def write(self, console: Console | None = None) -> Summary:
        """Write picks, tables and the page, and print what was found where there is a console."""
        missing = self.failures.keys() | self.left.keys()
        done = [job for job in self.jobs if job.source not in missing]
        selection, recipe = self.selection, self.work.recipe
        summary = summarise(done, list(self.failures.values()), selection)
        unknown = summary.rows["pixel_size_angstrom"].isna().sum()
        if unknown and recipe.diameter_angstrom is not None:
            log.warning(
                "%d micrographs do not say their pixel size: particles in them are taken to be %.1f"
                " pixels wide, as in training; give pixel_size_angstrom if that is wrong",
                unknown,
                recipe.diameter_px,
            )
        written, files = dict[str, Path](), list[Path]()
        if done:
            written, files = self.export.write(self.folder, found(done, selection))
        run = {
            "checkpoint": str(self.model),
            "checkpoint_digest": self.digest,
            "threshold": selection.threshold,
            "threshold_is": selection.source,
            "keep_above": selection.keep_above,
            "formats": list(self.export.formats),
            "micrographs": len(done),
        }
        keep_to_this_run(self.folder, files, run)
        write_tables(summary, self.folder)
        written["page"] = self.folder / "index.html"
        write_page(written["page"], summary, selection, done, self.model, self.shown)
        if console is not None:
            print_summary(
                *(summary, selection, written, console),
                skipped=self.before,
                wall_seconds=self.seconds,
                with_low_scores=self.export.low_scores,
            )
        return summary


def _check_pixel_sizes(jobs: Sequence[Job], recipe: Recipe) -> None:
    """Refuse micrographs without a pixel size, for a format that cannot be written without."""
    for job in jobs:
        try:
            unknown = recipe.info(job.source).pixel_size_angstrom is None
        except (CryofixError, OSError):
            continue  # it is reported when it is its turn
        if unknown:
            raise CryofixError(
                f"{job.source} does not say its pixel size, which format=particles needs: give"
                " pixel_size_angstrom, or leave that format out"
            )


def as_list(value: Any) -> list[str]:
    """Return one value or several as a list of text."""
    return [str(each) for each in (value if isinstance(value, list) else [value])]
