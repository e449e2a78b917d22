"""The coordinate files in a folder of picks: which are this run's, and which an earlier run left.

Programs read whole folders (RELION's ``--coord_dir``), so picks of another model, threshold or set
of micrographs must not lie beside this run's. Each run records what it wrote. The next run into
the same folder removes those of these files that it has not written again, and no others.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from cryofix.files import write_json
from cryofix.formats import FORMATS
from cryofix.picking.export import LOW_SCORES
from cryofix.picking.picked import stamp_of

log = logging.getLogger(__name__)

RECORD = "written.json"
FILES = [each.file for each in FORMATS.values() if each.file]
FOLDERS = {name: each.suffixes[0] for name, each in FORMATS.items() if not each.file}
FOLDERS[LOW_SCORES] = FOLDERS["relion"]


def keep_to_this_run(folder: Path, files: Sequence[Path], run: Mapping[str, Any]) -> None:
    """Remove what an earlier run wrote and this one did not, and record what this one wrote.

    Warns about what was removed, and about coordinate files that neither run wrote. ``files`` are
    all coordinate files that this run wrote into ``folder``; the record also keeps ``run``, what
    they were made with.
    """
    mine = {}
    for path in files:
        with suppress(FileNotFoundError):  # another task of an array has just removed it
            mine[path.relative_to(folder).as_posix()] = stamp_of(path)
    removed = []
    for name, stamp in _recorded(folder).items():
        path = folder / name
        with suppress(OSError):
            if name not in mine and _is_ours(name) and stamp_of(path) == stamp:
                path.unlink()
                _remove_empty(path.parent, folder)
                removed.append(name)
    if removed:
        log.warning(
            "%s: removed %s of an earlier run, which this run did not write again; "
            "their picks are kept in results/, and a run over their micrographs writes "
            "them again",
            folder,
            _some(removed),
        )
    strange = [name for name in _on_disk(folder) if name not in mine]
    if strange:
        log.warning(
            "%s holds %s that this run did not write; programs that read the whole folder take"
            " them too: remove them, or give another output",
            folder,
            _some(strange),
        )
    write_json(folder / RECORD, {"schema": 1, **run, "files": mine})


def _recorded(folder: Path) -> dict[str, list[int]]:
    """Return the files of the run before, with their stamps; none where no record can be read."""
    try:
        files = json.loads((folder / RECORD).read_text())["files"]
        return {str(name): list(stamp) for name, stamp in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_ours(name: str) -> bool:
    """Say whether a name in a record can be one of ours: a record may come from anywhere."""
    first, *parts = PurePosixPath(name).parts or ("",)
    if ".." in parts or "\0" in name:
        return False
    return name in FILES or (first in FOLDERS and name.endswith(FOLDERS[first]))


def _on_disk(folder: Path) -> Iterable[str]:
    """Return all files that a program would take for coordinates."""
    yield from (name for name in FILES if (folder / name).is_file())
    for name, suffix in FOLDERS.items():
        for path in sorted((folder / name).rglob(f"*{suffix}")):
            if not path.name.startswith("."):
                yield path.relative_to(folder).as_posix()


def _remove_empty(parent: Path, folder: Path) -> None:
    with suppress(OSError):  # it holds another file
        while parent != folder:
            parent.rmdir()
            parent = parent.parent


def _some(names: Sequence[str]) -> str:
    """Return how many files, and which, three at most."""
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} file{'s' if len(names) > 1 else ''} ({', '.join(names[:3])}{more})"
