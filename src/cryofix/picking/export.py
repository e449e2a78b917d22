"""Picks in the formats of other programs: which file, which picks, which names."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from cryofix.errors import CryofixError
from cryofix.formats import (
    FORMATS,
    MicrographInfo,
    Particles,
    YOrigin,
    write_coordinates,
)
from cryofix.formats.names import image_stem
from cryofix.formats.option_keys import CommandKeys

ALIASES = {
    "star": "relion",
    "box": "eman",
    "cbox": "cryolo",
    "tsv": "topaz",
    "csv": "cryoppp",
    "cs": "cryosparc",
    "particles": "relion_particles",
}
"""What people call formats by their suffix."""

FILES = {
    "topaz": "topaz.tsv",
    "cryosparc": "cryosparc.cs",
    "json": "points.json",
    "coco": "coco.json",
    "relion_particles": "particles.star",
}
"""Formats of one file for all micrographs; the others get a folder of their name."""

FOLDERS = {
    "relion": ".star",
    "relion_low_scores": ".star",
    "eman": ".box",
    "cryolo": ".cbox",
    "cryoppp": ".csv",
}
"""Folders of the other formats, and how the names of their files end."""

KEEP_LOW_SCORES = ("cryolo", "topaz", "cryosparc", "cryoppp", "json", "coco")
"""Formats whose readers can raise the threshold: they get low scores too."""

NAMES_ONLY = ("topaz", "json", "coco")
"""Formats that name micrographs without their folder."""

LOW_SCORES = "relion_low_scores"
"""RELION 3.1 extracts whatever a STAR lists, so low scores stand in a folder beside it."""

KEYS = CommandKeys("write.", named={key: key for key in ("pixel_size_angstrom", "diameter_px")})
"""What the configuration calls the options of formats."""

AT_A_TIME = 256  # micrographs whose coordinates are in memory together, where formats allow it

Found = Callable[[Literal["good", "all"]], Iterable[tuple[str, MicrographInfo, Particles]]]
"""Gives name, header and particles of each micrograph: the good ones, or those of low score too."""


@dataclass(frozen=True)
class Export:
    """What to write.

    Attributes
    ----------
    formats
        Names of :data:`cryofix.formats.FORMATS`, or their aliases; one or several.
    y_origin
        For formats that do not say where they count y from (cryosparc).
    low_scores
        Write picks under the threshold to formats that carry scores.
    options
        Of the formats, those that are None left out.
    root
        Folder that the micrographs lie below.
    """

    formats: Sequence[str]
    root: Path
    y_origin: str | None = None
    low_scores: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [ALIASES.get(name, name) for name in self.formats]
        object.__setattr__(self, "formats", list(dict.fromkeys(names)))
        if self.y_origin not in (None, "top", "bottom"):
            raise CryofixError(f"y_origin={self.y_origin} is not known: choose top or bottom")
        for name in self.formats:
            if name not in FORMATS:
                known = [*FORMATS, *ALIASES]
                raise CryofixError(
                    f"format={name} is not known: choose one or several of {', '.join(known)}"
                )
            if FORMATS[name].y_origin is None and self.y_origin is None:
                raise CryofixError(
                    f"format={name} needs y_origin=top or y_origin=bottom, because programs"
                    " disagree on where it counts y from: try one and look at the particles"
                )
        given = {key for key, value in self.options.items() if value is not None}
        for key in given:
            if not any(key in _options(name) for name in self.formats):
                raise CryofixError(
                    f"write.{key} is an option of none of the formats {', '.join(self.formats)}:"
                    " leave it out"
                )

    def check_names(self, micrographs: Iterable[tuple[str, Path]]) -> None:
        """Refuse micrographs whose picks could not be told apart, before any work is done.

        Parameters
        ----------
        micrographs
            Name (path below the root) and file of each.
        """
        by_name = next((name for name in self.formats if name in NAMES_ONLY), None)
        seen: dict[str, Path] = {}
        for name, source in micrographs:
            stem = image_stem(name)
            if by_name is None:
                stem = str(PurePosixPath(name).parent / stem)
            if stem in seen:
                because = "would share the files of their picks"
                if by_name is not None:
                    because = f"have one name, and the format {by_name} knows nothing else of them"
                raise CryofixError(
                    f"{seen[stem]} and {source} {because}: rename one, or narrow micrographs="
                )
            seen[stem] = source

    def write(self, folder: Path, found: Found) -> tuple[dict[str, Path], list[Path]]:
        """Write all formats.

        Parameters
        ----------
        folder
            Where to.
        found
            Gives the micrographs, in order of their names, as often as needed.

        Returns
        -------
        What to open for each format, a file or a folder; and all files that were written.
        """
        targets = []
        for name in self.formats:
            keeps = self.low_scores and name in KEEP_LOW_SCORES
            targets.append((name, FILES.get(name, name), found("all" if keeps else "good")))
            if name == "relion" and self.low_scores:
                targets.append((name, LOW_SCORES, found("all")))
        to_open: dict[str, Path] = {}
        files: list[Path] = []
        for name, target, its in targets:
            written = self._write_one(name, folder / target, its)
            one_for_all = name == "relion" or name in FILES
            shown = LOW_SCORES if target == LOW_SCORES else name
            to_open[shown] = written[0] if one_for_all else folder / target
            files += written
        return to_open, files

    def _write_one(
        self, name: str, target: Path, found: Iterable[tuple[str, MicrographInfo, Particles]]
    ) -> list[Path]:
        options = {
            key: value
            for key, value in self.options.items()
            if value is not None and key in _options(name)
        }
        if name == "relion" or name in FILES:
            if "project" in _options(name):
                options.setdefault("project", self.project)
            return self._call(name, target, found, options)
        # One file for each micrograph: by folder, so that subfolders are kept, and not too many
        # at a time, since nothing has to be known of the others.
        files = []
        for parent, group in groupby(found, key=lambda one: PurePosixPath(one[0]).parent):
            while some := list(islice(group, AT_A_TIME)):
                files += self._call(name, target / parent, some, options)
        return files

    def _call(
        self,
        name: str,
        target: Path,
        found: Iterable[tuple[str, MicrographInfo, Particles]],
        options: Mapping[str, Any],
    ) -> list[Path]:
        entries = list(found)
        particles = {key: each for key, _, each in entries}
        infos = {key: info for key, info, _ in entries}
        own = FORMATS[name].y_origin is None
        return write_coordinates(
            target,
            particles,
            infos,
            format=name,
            y_origin=cast(YOrigin, self.y_origin) if own else None,
            keys=KEYS,
            **options,
        )

    @property
    def project(self) -> Path:
        """RELION's project: the working folder where it holds the micrographs, else the root."""
        here = Path.cwd()
        return here if self.root.is_relative_to(here) else self.root


def _options(name: str) -> list[str]:
    write = FORMATS[name].write
    if write is None:
        return []
    return [key for key in inspect.signature(write).parameters if key not in ("path", "entries")]
