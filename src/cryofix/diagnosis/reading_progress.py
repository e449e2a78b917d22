"""How far the files are read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def reading(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Show how far the files are read, on a terminal; give what to call for each segment."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=total)
        yield lambda: progress.advance(task)
