"""Picks in the formats of other programs: which file, which picks, which names."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from cryofix.errors import CryofixError
from cryofix.formats import FORMATS, MicrographInfo, Particles, write_coordinates
from cryofix.formats.names import image_stem
from cryofix.formats.option_keys import CommandKeys, check_option, keys_of_command
from cryofix.formats.registry import ALIASES, find_writer
from cryofix.formats.relion import plain, relative_name, relion_files
from cryofix.formats.star import star_name

LOW_SCORES = "relion_low_scores"
"""RELION 3.1 extracts whatever a STAR lists, so low scores stand in a folder beside it."""

KEYS = CommandKeys("write.", named={key: key for key in ("pixel_size_angstrom", "diameter_px")})
"""What the configuration calls the options of formats."""

LENGTHS = ("box_size_px", "downsample", "voltage_kv")
"""Options that are numbers above 0."""

LONGEST_NAME = 255 - len("_manualpick.star")
"""Bytes: file systems allow 255, and the picks' files are called after their micrograph."""

AT_A_TIME = 256  # micrographs whose coordinates are in memory together, where formats allow it

Entry = tuple[str, MicrographInfo, Particles]
"""Name, header and particles of a micrograph."""

Found = Callable[[Literal["good", "all"]], Iterable[Entry]]
"""Gives the micrographs with their good particles, or with those of low score too."""


@dataclass(frozen=True)
class Export:
    """What to write."""

    formats: Sequence[str]
    """Names of :data:`cryofix.formats.FORMATS`, or their aliases; one or several."""
    root: Path
    """Folder that the micrographs lie below."""
    y_origin: str | None = None
    """For formats that do not say where they count y from (cryosparc)."""
    low_scores: bool = True
    """Write picks under the threshold to formats that carry scores."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the formats, those that are None left out."""

    def __post_init__(self) -> None:
        names = [ALIASES.get(name, name) for name in self.formats]
        given = {key: value for key, value in self.options.items() if value is not None}
        object.__setattr__(self, "formats", list(dict.fromkeys(names)))
        object.__setattr__(self, "options", given)
        known = ", ".join([*FORMATS, *ALIASES])
        if not self.formats:
            raise CryofixError(f"format=[] writes nothing: choose one or several of {known}")
        with keys_of_command(KEYS):
            for name in self.formats:
                if name not in FORMATS:
                    raise CryofixError(
                        f"format={name} is not known: choose one or several of {known}"
                    )
                find_writer(name, self.y_origin, self._options_of(name))
            for key, value in given.items():
                if key in LENGTHS:
                    check_option(value, key)
                if not any(key in FORMATS[name].write_options for name in self.formats):
                    raise CryofixError(
                        f"write.{key} is an option of none of the formats"
                        f" {', '.join(self.formats)}: leave it out"
                    )

    def check_names(self, micrographs: Sequence[tuple[str, Path]], folder: Path) -> None:
        """Refuse micrographs whose picks cannot be written, before any work is done.

        ``micrographs`` gives the name (path below the root) and the file of each, ``folder`` is
        where the picks will go.

        Raises CryofixError if a name is not text or too long, two micrographs cannot be told apart,
        or a format cannot hold a name.
        """
        by_name = next((name for name in self.formats if FORMATS[name].names_only), None)
        seen: dict[str, Path] = {}
        for name, source in micrographs:
            _check_name(source)
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
        relion = self._options_of("relion")
        sources = [source for _, source in micrographs]
        if "relion" in self.formats:
            with keys_of_command(KEYS):
                relion_files(folder / "relion", sources, **relion)
        if "relion_particles" in self.formats:
            for source in sources:
                star_name(relative_name(source, plain(relion["project"])))

    def write(self, folder: Path, found: Found) -> tuple[dict[str, Path], list[Path]]:
        """Write all formats into ``folder``.

        ``found`` gives the micrographs, in order of their names, as often as needed. Returns what
        to open for each format, a file or a folder, and all files that were written.
        """
        to_open: dict[str, Path] = {}
        files: list[Path] = []
        for name in self.formats:
            targets = {name: self.low_scores and FORMATS[name].takes_low_scores}
            if name == "relion" and self.low_scores:
                targets[LOW_SCORES] = True
            for shown, low in targets.items():
                target = folder / (FORMATS[name].file or shown)
                written = self._write_one(name, target, found("all" if low else "good"))
                to_open[shown] = written[0] if name == "relion" else target
                files += written
        return to_open, files

    def _write_one(self, name: str, target: Path, found: Iterable[Entry]) -> list[Path]:
        options, chosen = self._options_of(name), FORMATS[name]
        if chosen.from_bottom is None:
            options["y_origin"] = self.y_origin

        def write(path: Path, entries: Sequence[Entry]) -> list[Path]:
            particles = {key: each for key, _, each in entries}
            infos = {key: info for key, info, _ in entries}
            return write_coordinates(path, particles, infos, format=name, keys=KEYS, **options)

        if name == "relion" or chosen.file:
            return write(target, list(found))
        # These formats have a file for each micrograph. Subfolders are kept, and only so many
        # micrographs are in memory, because no file depends on another.
        files = []
        for parent, group in groupby(found, key=lambda one: PurePosixPath(one[0]).parent):
            while some := list(islice(group, AT_A_TIME)):
                files += write(target / parent, some)
        return files

    def _options_of(self, name: str) -> dict[str, Any]:
        """Return those of the options that a format has."""
        known, given = FORMATS[name].write_options, {"project": self.project, **self.options}
        return {key: value for key, value in given.items() if key in known}

    @property
    def project(self) -> Path:
        """RELION's project: the working folder where it holds the micrographs, else the root."""
        here = Path.cwd()
        return here if self.root.is_relative_to(here) else self.root


def _check_name(micrograph: Path) -> None:
    """Refuse a name that is no text, or that leaves no room for the endings of other files."""
    try:
        str(micrograph).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(micrograph).decode(errors="backslashreplace")
        raise CryofixError(
            f"{shown}: the name is not in UTF-8, which tables and other programs need: rename the"
            " file or the folder, or narrow micrographs="
        ) from error
    if len(os.fsencode(micrograph.name)) > LONGEST_NAME:
        raise CryofixError(
            f"{micrograph}: the name has more than {LONGEST_NAME} bytes, which leaves no room for"
            " the names of its picks' files: rename the file, or narrow micrographs="
        )
