"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere."""

import io
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.control import Control
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

SHORT_NOTE = 12  # characters to which a note is cut before it is left out
LINE_WIDTH = 110  # where there is no terminal to ask


log = logging.getLogger(__name__)


class LoggedConsole(Console):
    """A console whose lines stand in the log too."""

    def print(self, *objects: Any, **how: Any) -> None:
        """Print, and log the same without colours; bars that move are no lines."""
        super().print(*objects, **how)
        if not self.quiet and not (objects and isinstance(objects[0], Control)):
            plain = Console(file=io.StringIO(), width=LINE_WIDTH, color_system=None)
            plain.print(*objects, **how)
            _log_lines(plain.file.getvalue())  # type: ignore[attr-defined]  # of a StringIO


def _log_lines(text: str) -> None:
    if text.strip():
        log.info("%s", text.strip("\n"))


class _Left(TimeRemainingColumn):
    """The time that is left, with a word that says so."""

    def render(self, task: Task) -> Text:
        """Return it."""
        return super().render(task) + Text(" left", style="progress.remaining")


class _Note(ProgressColumn):
    """What stands behind the bar; alone of all columns it may be cut."""

    def get_table_column(self) -> Column:
        """Return a column that gives way."""
        return Column(no_wrap=False)

    def render(self, task: Task) -> Text:
        """Return it."""
        return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


class _Fitting(Progress):
    """A line for each task from which columns go until it fits, the least important first."""

    def __init__(self, console: Console) -> None:
        spinner, title = SpinnerColumn(), TextColumn("{task.description:<12}")
        bar, elapsed, left = BarColumn(bar_width=24), TimeElapsedColumn(), _Left()
        self._note, self._terminal = _Note(), console
        self._going: list[ProgressColumn] = [spinner, elapsed, bar, self._note, left]
        columns = (spinner, title, bar, MofNCompleteColumn(), elapsed, left, self._note)
        super().__init__(*columns, console=console)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """Return the tasks as a table that is not wider than the terminal."""
        every, tasks = self.columns, list(tasks)
        options = self._terminal.options.update(max_width=10_000)
        try:
            for column in self._going:
                table = super().make_tasks_table(tasks)
                width = Measurement.get(self._terminal, options, table).maximum
                if column is self._note:  # it is cut before it goes
                    longest = max((len(task.fields["note"]) for task in tasks), default=0)
                    width -= max(0, longest - SHORT_NOTE)
                if width <= self._terminal.width:
                    return table
                self.columns = tuple(each for each in self.columns if each is not column)
            return super().make_tasks_table(tasks)
        finally:
            self.columns = every


class Display:
    """Named phases with a number of items each.

    On a terminal each phase is a bar with the time left; elsewhere a line at its start, one at
    most every ``seconds_between_lines``, and one at its end; ``quiet`` shows nothing at all.
    """

    def __init__(
        self,
        console: Console | None = None,
        seconds_between_lines: float = 15.0,
        quiet: bool = False,
    ) -> None:
        self.console = console or LoggedConsole()
        if not self.console.is_terminal:
            self.console = LoggedConsole(width=LINE_WIDTH)
        if quiet:
            self.console = Console(width=LINE_WIDTH, quiet=True, force_terminal=False)
        self.seconds_between_lines = seconds_between_lines
        self._progress: Progress | None = None

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self._progress = _Fitting(self.console)
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def phase(self, title: str, total: int, done: int = 0) -> "Phase":
        """Begin a phase of ``total`` items, ``done`` of which are done already."""
        return Phase(self, title, total, done)

    def counter(self, title: str, total: int) -> Callable[[], None]:
        """Begin a phase and return a function to call once for each item."""
        return self.phase(title, total).advance


class Phase:
    """One phase of a :class:`Display`."""

    def __init__(self, display: Display, title: str, total: int, done: int) -> None:
        self._display, self._title, self._total = display, title, total
        self._done = self._first = done
        self._note = ""
        self._began = self._said = time.monotonic()
        progress = display._progress
        self._task: TaskID | None = None
        if progress is not None:
            self._task = progress.add_task(title, total=total, completed=done, note="")

    def advance(self, note: str | None = None) -> None:
        """Count one item; ``note`` replaces what stands behind the bar."""
        self._done += 1
        self._note = self._note if note is None else note
        progress, on_terminal = self._display._progress, self._task is not None
        if progress is not None and self._task is not None:
            progress.update(self._task, completed=self._done, note=self._note)
        now = time.monotonic()
        if self._done >= self._total or now - self._said >= self._display.seconds_between_lines:
            self._said = now
            rate = (self._done - self._first) / max(now - self._began, 1e-9)
            left = (self._total - self._done) / max(rate, 1e-9)
            time_text = (
                f"{left:.0f} s left" if self._done < self._total else f"{now - self._began:.0f} s"
            )
            parts = [f"{self._title} {self._done}/{self._total}", time_text, self._note]
            line = " | ".join(filter(None, parts))
            if on_terminal:
                _log_lines(line)
            else:
                self._display.console.print(line, soft_wrap=True)


class ShowProgress(Callback):
    """Show a training stage in a :class:`Display`, with the latest scores on validation."""

    def __init__(self, display: Display, title: str) -> None:
        self._display, self._title = display, title
        self._phase: Phase | None = None
        self._note = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the phase at the step the stage starts from."""
        self._phase = self._display.phase(self._title, int(trainer.max_steps), trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count one step."""
        if self._phase is not None:
            self._phase.advance(self._note)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the latest scores."""
        scores = getattr(pl_module, "validated", {})
        if "particle_positive_unlabelled_f1" in scores:
            self._note = (
                f"positive-unlabelled F1 {scores['particle_positive_unlabelled_f1']:.3f},"
                f" pixel recall {scores['pixel_recall']:.3f}"
            )
        elif scores:
            particle = f" particle {scores['particle_f1']:.3f}" if "particle_f1" in scores else ""
            pixel, recall = scores["pixel_f1"], scores["pixel_recall"]
            self._note = f"F1{particle} pixel {pixel:.3f}, pixel recall {recall:.3f}"
