"""What any program picked, brought to one scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles, read_coordinates
from cryofix.formats.option_keys import CommandKeys
from cryofix.metrics.curves import FloatArray


@dataclass(frozen=True)
class Program:
    """What one program picked."""

    name: str
    """As the user calls it."""
    picks: Mapping[str, Particles]
    """By micrograph; scores in [0, 1]."""
    levels: FloatArray | None
    """The program's own scores, ascending, where they had to be turned into ranks; else None."""

    def own_score(self, threshold: float) -> float:
        """Return a threshold on the scale of the program."""
        if self.levels is None:
            return threshold
        ranks = (np.arange(1, len(self.levels) + 1) / len(self.levels)).astype(np.float32)
        place = int(np.searchsorted(ranks, np.float32(threshold), side="left"))
        return float(self.levels[min(place, len(self.levels) - 1)])

    def unit_score(self, own: float) -> float:
        """Return in [0, 1] what a threshold on the program's scale is.

        Raises CryofixError if all scores lie below it.
        """
        scores = [each.score for each in self.picks.values() if each.score is not None]
        known = np.concatenate([*scores, np.empty(0)]) if self.levels is None else self.levels
        if known.size and own > (highest := float(known.max())):
            raise CryofixError(
                f"threshold={own:g} is above all scores of {self.name}, which reach {highest:g}:"
                " lower it, or leave it out to choose one on validation"
            )
        if self.levels is None:
            return own
        # Half a rank lower, because thresholds are rounded up to a fixed grid.
        return float(np.searchsorted(self.levels, own, side="left") + 0.5) / len(self.levels)


def read_programs(picks: Any, micrographs: Mapping[str, MicrographInfo]) -> list[Program]:
    """Read the picks of one program (called ``picks``), or of several by name.

    Parameters
    ----------
    picks
        A file or folder, or a mapping from names to them; see `read_program` for more.
    micrographs
        Headers of all micrographs of the data set, by name.
    """
    if not isinstance(picks, Mapping) or "path" in picks:
        return [read_program("picks", picks, micrographs)]
    return [read_program(str(name), source, micrographs) for name, source in picks.items()]


def read_program(name: str, source: Any, micrographs: Mapping[str, MicrographInfo]) -> Program:
    """Read the picks of one program.

    Raises CryofixError if they cannot be read.

    Scores outside [0, 1], which many programs give, are replaced by their rank among all of the
    program's scores: every threshold on them stays a threshold.

    Parameters
    ----------
    name
        As the user calls it.
    source
        A file or folder, or a mapping with ``path`` and options of
        :func:`~cryofix.formats.read_coordinates`: ``format``, ``y_origin``, ``downsample``, ...
    micrographs
        Headers of all micrographs of the data set, by name.
    """
    options = dict(source) if isinstance(source, Mapping) else {"path": source}
    if "path" not in options:
        raise CryofixError(
            f"picks.{name} has no path: give picks.{name}=FILE_OR_FOLDER or"
            f" picks={{{name}: {{path: FILE_OR_FOLDER, y_origin: top}}}}"
        )
    path = options.pop("path")
    if not isinstance(path, str | int | Path):
        raise CryofixError(
            f"picks.{name}={path} is no file or folder: give the path of one for each program"
        )
    path = str(path)
    for key in ("micrographs", "keys"):
        if key in options:
            raise CryofixError(f"picks.{name}.{key} is no option of a format: leave it out")
    prefix = "picks." if name == "picks" else f"picks.{name}."
    read = {"allow_empty": True, "keys": CommandKeys(prefix, prefix), **options}
    try:
        picks = _with_scores(read_coordinates(path, micrographs, **read))
    except CryofixError as error:
        if prefix not in str(error):
            raise
        given = f"{{path: {path}, OPTION: VALUE}}"
        given = given if name == "picks" else f"{{{name}: {given}}}"
        raise CryofixError(f"{error} (type it as picks='{given}')") from error
    scored = [each.score for each in picks.values() if each.score is not None]
    everything = np.concatenate([*scored, np.empty(0)])
    if not everything.size or (everything.min() >= 0 and everything.max() <= 1):
        return Program(name, picks, None)
    levels = np.unique(everything)

    def ranked(each: Particles) -> Particles:
        if each.score is None:
            return each
        place = np.searchsorted(levels, each.score) + 1
        return Particles(each.x, each.y, place / len(levels), each.diameter_px)

    return Program(name, {key: ranked(each) for key, each in picks.items()}, levels)


def _with_scores(picks: Mapping[str, Particles]) -> dict[str, Particles]:
    """Give picks without a score the lowest that the program gave any: it is least sure of them.

    Where no pick has a score, none gets one.
    """
    scores = {
        key: np.full(len(each), np.nan) if each.score is None else each.score
        for key, each in picks.items()
    }
    everything = np.concatenate([np.empty(0), *scores.values()])
    known = everything[~np.isnan(everything)]
    filled = {
        key: np.where(np.isnan(its), known.min(), its) if known.size else None
        for key, its in scores.items()
    }
    return {
        key: Particles(each.x, each.y, filled[key], each.diameter_px) for key, each in picks.items()
    }
