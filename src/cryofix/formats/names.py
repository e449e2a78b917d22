"""File names of micrographs: which are images, what they are called, and where they are."""

import glob
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from cryofix.errors import CryofixError

ImageKind = Literal["mrc", "tiff", "png", "jpeg"]

KINDS: dict[str, ImageKind] = {
    ".mrc": "mrc",
    ".mrcs": "mrc",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
}
COMPRESSIONS = (".gz", ".bz2")
TABLES = (".star", ".cs", ".csv", ".tsv", ".json")
_SUFFIX = re.compile(r"\.(mrcs?|tiff?|png|jpe?g)(\.(gz|bz2))?\Z", re.IGNORECASE)
CRYOSPARC_UID = re.compile(r"^(\d{21})_(?=.)", re.DOTALL)


def image_kind(path: str | Path) -> ImageKind:
    """Return an image's kind by its suffix; one that cryofix does not read is a CryofixError."""
    *_, before, last = ("", "", *Path(str(path).lower()).suffixes)
    compressed = last in COMPRESSIONS
    suffix = before if compressed else last
    kind = KINDS.get(suffix)
    if suffix in TABLES:
        raise CryofixError(
            f"{path} is a table, not a micrograph: give the folder or a quoted pattern of the "
            "images that it lists, such as 'micrographs/*.mrc'"
        )
    if kind is None or (compressed and kind != "mrc"):
        raise CryofixError(
            f"{path} is no micrograph that cryofix reads: convert it to "
            f"{', '.join(KINDS)} (MRC may also end in .gz or .bz2)"
        )
    return kind


def image_stem(path: str | Path) -> str:
    """Return the file name without directory and image suffixes, other dots kept.

    Examples
    --------
    >>> image_stem("raw/grid.1_sq2.mrc.gz")
    'grid.1_sq2'
    """
    # Both kinds of slash, because label files are written on other machines.
    name = re.split(r"[/\\]", str(path))[-1]
    while (shorter := _SUFFIX.sub("", name)) not in (name, ""):
        name = shorter
    return name


def micrograph_name(path: str | Path) -> str:
    r"""Return the name by which coordinates and micrographs are matched.

    Strips the directory, the image suffixes and cryoSPARC's numerical prefix ``^\d{21}_`` (a
    shorter one is a time stamp, which belongs to the name); applying it twice changes nothing.

    Examples
    --------
    >>> micrograph_name("J12/imported/012345678901234567890_grid.1_sq2.mrc")
    'grid.1_sq2'
    """
    name = image_stem(path)
    while (shorter := CRYOSPARC_UID.sub("", name)) != name:
        name = shorter
    return name


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return each path's `micrograph_name`, with cryoSPARC's number where only that tells it apart.

    Raises CryofixError if two files share a name, since labels could then not be told apart.
    """
    shared = Counter(map(micrograph_name, paths))
    names: dict[str, Path] = {}
    for path in paths:
        name = micrograph_name(path)
        name = name if shared[name] == 1 else image_stem(path)
        if name in names:
            raise CryofixError(
                f"{names[name]} and {path} are both called '{name}', so their coordinates cannot"
                " be told apart: rename one, or leave one out"
            )
        names[name] = path
    return list(names)


def find_micrographs(where: str | Path) -> list[Path]:
    """Return the micrographs at ``where``: a file, a folder (not its subfolders) or a glob.

    They are sorted; hidden files are left out. A ``.star`` file stands for the micrographs that
    it lists, as seen from the working folder. Links to files that do not exist are among them, so
    that whoever reads them says so. Raises CryofixError if nothing is found or the folder cannot
    be read, naming ``where``.
    """
    path = Path(where)
    if path.suffix == ".star" and path.is_file():
        from cryofix.formats.micrograph_list import listed_micrographs  # pandas, rarely needed

        return listed_micrographs(path)
    if _is_file_or_lost(path):
        image_kind(path)
        return [path]
    try:
        # A folder may be called "set[1]": only what does not exist as it stands is a pattern.
        pattern = str(where)  # pathlib's own glob takes no absolute ones
        found: Iterable[Path] = map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207
        if path.is_dir():
            found = path.iterdir()
        images = [p for p in found if _SUFFIX.search(p.name) and not p.name.startswith(".")]
        micrographs = sorted(filter(_is_file_or_lost, images))
    except OSError as error:
        raise CryofixError(
            f"the folder {where} cannot be read ({error.strerror}): check its permissions"
        ) from error
    if not micrographs:
        raise CryofixError(
            f"no micrographs at {where}: give a file, a folder or a quoted pattern such as "
            f"'micrographs/*.mrc' (cryofix reads {', '.join(KINDS)})"
        )
    return micrographs


def _is_file_or_lost(path: Path) -> bool:
    """Whether it is a file, or a link to nothing."""
    return path.is_file() or (path.is_symlink() and not path.exists())
