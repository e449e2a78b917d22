"""The label files of a folder of micrographs, saved after every change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cryofix.errors import CryofixError, check_range
from cryofix.files import atomic_write
from cryofix.formats import MicrographInfo, Particles, read_coordinates, write_coordinates
from cryofix.formats.names import image_stem, micrograph_name

Point = tuple[float, float]
"""(x, y) of a centre: column and row, in pixels of the file."""

GUESS = 0.05  # diameter relative to the longer side, where nobody has said one yet
SKIPPED = "skipped.txt"  # names of micrographs that are not to be labelled, one a line


@dataclass(frozen=True)
class Entry:
    """What is known of one micrograph."""

    points: tuple[Point, ...] | None = None
    """Centres of its particles; none at all means looked at and empty, None unlabelled."""
    skipped: bool = False
    """Whether it is not to be labelled."""


@dataclass
class Labels:
    """Labels of micrographs: a CryoPPP CSV for each labelled one in ``folder``."""

    folder: Path
    micrographs: Mapping[str, MicrographInfo]
    """By name, as `index_micrographs` makes it."""
    diameter: float
    in_angstrom: bool
    """Of all particles, in Angstrom where all micrographs say their pixel size, else in pixels."""
    entries: dict[str, Entry]
    shown: str = ""
    """The micrograph that is being labelled; at first one that is neither labelled nor skipped."""
    past: list[tuple[str, Entry]] = field(default_factory=list)
    """What changed entries were before, the last change at the end."""

    @classmethod
    def opened(
        cls,
        folder: Path,
        micrographs: Mapping[str, MicrographInfo],
        *,
        diameter_px: float | None = None,
        diameter_angstrom: float | None = None,
    ) -> "Labels":
        """Read what a folder holds already; a diameter that is given counts from now on.

        Raises CryofixError when a label file cannot be read or is called otherwise than its
        micrograph, or the diameter makes no sense.
        """
        files = {
            name: folder / f"{image_stem(info.path)}.csv" for name, info in micrographs.items()
        }
        found: dict[str, Particles] = {}
        names = {micrograph_name(info.path) for info in micrographs.values()}
        if any(micrograph_name(path.stem) in names for path in folder.glob("*.csv")):
            found = read_coordinates(folder, micrographs, format="cryoppp", allow_empty=True)
        for name in found:
            if not files[name].exists():
                raise CryofixError(
                    f"{folder} labels {micrographs[name].path.name} in a file of another name:"
                    f" call it {files[name].name}"
                )
        skipped = _listed(folder)
        entries = {
            name: Entry(_points(found.get(name)), name in skipped and name not in found)
            for name in micrographs
        }
        sizes = [info.pixel_size_angstrom for info in micrographs.values()]
        known = diameter_px is None and None not in sizes
        if diameter_angstrom is not None and not known:
            said = "diameter_px is given too" if diameter_px else "not all files say a pixel size"
            raise CryofixError(
                f"diameter_angstrom={diameter_angstrom:g} has no meaning where {said}: give"
                " pixel_size_angstrom, or diameter_px alone"
            )
        diameter = diameter_angstrom or diameter_px
        if diameter is None:
            diameter = _written(found, micrographs, known)
        if diameter is None:
            longer = max(
                max(info.shape) * ((info.pixel_size_angstrom or 1) if known else 1)
                for info in micrographs.values()
            )
            diameter = round(GUESS * longer)
        check_range("diameter_angstrom" if known else "diameter_px", diameter, 1, 1e5)
        untouched = (name for name, each in entries.items() if each == Entry())
        shown = next(untouched, next(iter(entries)))
        return cls(folder, micrographs, float(diameter), known, entries, shown)

    @property
    def names(self) -> list[str]:
        """The micrographs, in their order."""
        return list(self.micrographs)

    @property
    def unit(self) -> str:
        """Of the diameter."""
        return "Å" if self.in_angstrom else "px"

    def diameter_px(self, name: str) -> float:
        """Return the diameter in pixels of a micrograph."""
        size = self.micrographs[name].pixel_size_angstrom if self.in_angstrom else None
        return self.diameter / (size or 1.0)

    def points(self, name: str) -> tuple[Point, ...]:
        """Return the centres of a micrograph's particles."""
        return self.entries[name].points or ()

    def counts(self) -> tuple[int, int]:
        """Return how many particles there are, and in how many labelled micrographs."""
        labelled = [each.points for each in self.entries.values() if each.points is not None]
        return sum(map(len, labelled)), len(labelled)

    def nearest(self, name: str, x: float, y: float) -> int | None:
        """Return the number of the particle whose circle (x, y) lies in, the nearest of several."""
        points = self.points(name)
        return nearest(points, (x, y), self.diameter_px(name) / 2)

    def add(self, name: str, *points: Point) -> None:
        """Add particles; those whose centre is outside the micrograph are left out."""
        rows, columns = self.micrographs[name].shape
        inside = [(x, y) for x, y in points if 0 <= x <= columns and 0 <= y <= rows]
        if inside:
            self._change(name, Entry((*self.points(name), *inside)))

    def remove(self, name: str, index: int) -> None:
        """Remove a particle; a micrograph without any is unlabelled again."""
        points = self.points(name)
        self._change(name, Entry((*points[:index], *points[index + 1 :]) or None))

    def move(self, name: str, index: int, to: Point) -> None:
        """Move a particle to another place inside of the micrograph."""
        rows, columns = self.micrographs[name].shape
        points = list(self.points(name))
        if not (0 <= to[0] <= columns and 0 <= to[1] <= rows):
            return
        points[index] = to
        self._change(name, Entry(tuple(points)))

    def mark_empty(self, name: str) -> None:
        """Say that a micrograph was looked at and shows no particle."""
        self._change(name, Entry(()))

    def skip(self, name: str) -> None:
        """Say that a micrograph is not to be labelled; labels that it has are removed."""
        self._change(name, Entry(skipped=True))

    def undo(self) -> str | None:
        """Take the last change back and return the name of its micrograph, if there was one."""
        if not self.past:
            return None
        name, before = self.past[-1]
        self._save(name, before)
        self.past.pop()
        return name

    def set_diameter(self, diameter: float) -> None:
        """Change the diameter, in the files that are there too."""
        before, self.diameter = self.diameter, diameter
        try:
            for name, entry in self.entries.items():
                if entry.points is not None:
                    self._save(name, entry)
        except BaseException:
            self.diameter = before
            raise

    def _change(self, name: str, entry: Entry) -> None:
        before = self.entries[name]
        if entry != before:
            self._save(name, entry)
            self.past.append((name, before))

    def _save(self, name: str, entry: Entry) -> None:
        """Write what changes on the disk before it counts."""
        info, after = self.micrographs[name], {**self.entries, name: entry}
        if entry.skipped != self.entries[name].skipped:
            others = [each for each in _listed(self.folder) if each not in after]
            names = [*others, *(each for each, its in after.items() if its.skipped)]
            with atomic_write(self.folder / SKIPPED) as temporary:
                temporary.write_text("".join(f"{each}\n" for each in names))
        if entry.points is not None:
            x, y = np.array(entry.points, dtype=float).reshape(-1, 2).T
            particles = Particles(x, y, diameter_px=np.full(len(x), self.diameter_px(name)))
            write_coordinates(self.folder, {name: particles}, {name: info}, format="cryoppp")
        else:
            (self.folder / f"{image_stem(info.path)}.csv").unlink(missing_ok=True)
        self.entries[name] = entry


def _listed(folder: Path) -> list[str]:
    """Return the names of the micrographs that were skipped, in this session or another."""
    file = folder / SKIPPED
    return file.read_text().splitlines() if file.exists() else []


def nearest(points: tuple[Point, ...], to: Point, reach: float) -> int | None:
    """Return the index of the point that is nearest to ``to``, if one is within ``reach``."""
    if not points:
        return None
    distance = np.hypot(*(np.array(points) - to).T)
    index = int(distance.argmin())
    return index if distance[index] <= reach else None


def _points(particles: Particles | None) -> tuple[Point, ...] | None:
    if particles is None:
        return None
    return tuple(zip(particles.x.tolist(), particles.y.tolist(), strict=True))


def _written(
    found: Mapping[str, Particles], micrographs: Mapping[str, MicrographInfo], angstrom: bool
) -> float | None:
    """Return the median of the diameters that label files hold."""
    parts = [np.empty(0)]
    for name, particles in found.items():
        size = (micrographs[name].pixel_size_angstrom or 1.0) if angstrom else 1.0
        if particles.diameter_px is not None:
            parts.append(particles.diameter_px * size)
    every = np.concatenate(parts)
    return float(np.nanmedian(every)) if np.isfinite(every).any() else None
