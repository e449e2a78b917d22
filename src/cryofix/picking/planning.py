"""Which micrographs there are to pick, and which of them nobody writes any more."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.formats import find_micrographs
from cryofix.picking.picked import Job, stamp_of


def find_all(patterns: Iterable[str], none_yet: bool = False) -> set[Path]:
    """Return the micrographs of files, folders or patterns such as ``/data/**/*.mrc``, absolute.

    Raises CryofixError if a pattern finds nothing, unless there may be ``none_yet``.
    """
    found: set[Path] = set()
    for where in patterns:
        try:
            # Not resolved: links are how RELION's projects hold their micrographs, and names count.
            paths = find_micrographs(Path(where).expanduser())
        except CryofixError:
            if not none_yet:
                raise
        else:
            found.update(Path(os.path.abspath(path)) for path in paths)  # noqa: PTH100
    if not found and not none_yet:
        raise CryofixError("micrographs=[] is empty: give a file, a folder or a quoted pattern")
    return found


def plan_jobs(found: Iterable[Path], results: Path) -> tuple[list[Job], Path]:
    """Return the jobs of micrographs, in the order of their paths, and the folder of them all.

    Below ``results`` each has the whole path of its micrograph, so that another pattern in the next
    run finds what this one has done.
    """
    paths = sorted(found)
    root = Path(os.path.commonpath([path.parent for path in paths]) if paths else Path.cwd())

    def job(path: Path) -> Job:
        result = results / f"{path.relative_to(path.anchor)}.npz"
        return Job(path, path.relative_to(root).as_posix(), result)

    return list(map(job, paths)), root


class Arrivals:
    """Tells which files are whole: their size and time have not changed for a while.

    Parameters
    ----------
    steady_seconds
        For how long a file has to stay as it is. One that was last changed long before counts at
        once.
    """

    def __init__(self, steady_seconds: float) -> None:
        self._steady_seconds = steady_seconds
        self._since: dict[Path, tuple[list[int], float]] = {}  # when it was first seen like this
        self._given: dict[Path, list[int]] = {}

    @property
    def waiting(self) -> bool:
        """Whether a file has been seen that is not whole yet."""
        return any(self._given.get(path) != stamp for path, (stamp, _) in self._since.items())

    def new(self, paths: Iterable[Path]) -> list[Path]:
        """Return those of the files that are whole and were not returned as they are now."""
        now, whole, known = time.monotonic(), [], self._since
        self._since = {}  # without those that have gone again
        for path in paths:
            try:
                stamp = stamp_of(path)
            except OSError:
                continue
            before, since = known.get(path, (stamp, now))
            since = since if before == stamp else now
            self._since[path] = stamp, since
            since_change = time.time() - stamp[1] / 1e9
            age = max(now - since, since_change / 10)  # clocks may differ a little
            if self._given.get(path) != stamp and age >= self._steady_seconds:
                self._given[path] = stamp
                whole.append(path)
        return whole
