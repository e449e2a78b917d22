"""``python -m cryofix.relion_job``: ``cryofix.pick`` as an External job of RELION.

RELION starts it in the project's folder as ``EXECUTABLE --o External/job007/ --in_mics FILE.star
--LABEL VALUE ... --j N``. It learns from files in the job's folder how the job ended and which
files other jobs may take as their input.

Source: RELION's ``pipeline_jobs.cpp`` and ``pipeliner.cpp``, releases 3.1.3 and 5.0.1.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats.micrograph_list import listed_pixel_size
from cryofix.formats.star import write_star
from cryofix.pick import SOME_FAILED
from cryofix.pick import main as pick

MARKER = "RELION_JOB_EXIT_"
ABORT = "RELION_JOB_ABORT_NOW"
KEYS = {"in_mics": "micrographs", "o": "output", "j": "workers"}
"""What RELION calls keys of ``cryofix.pick``; any other label is a key of the same name."""
IGNORED = ("pipeline_control", "pipeline-control")
"""Added to commands that RELION takes for its own, by their name."""
PICKS = "relion"
"""Folder of the picks inside the job's."""
SUFFIX_NODE = "coords_suffix_autopick.star"
"""RELION 3.1 knows picks by a file of this name: its folder and suffix are those of the picks."""
TYPES: dict[str, str | int] = {
    "_rlnPipeLineNodeTypeLabelDepth": "MicrographCoordsGroup.star.relion.autopick",  # 5.0
    "_rlnPipeLineProcessTypeLabel": "MicrographsCoords.star.relion.autopick",  # 4.0
    "_rlnPipeLineProcessType": 2,  # 3.1
}
"""What RELION calls coordinates of micrographs, by a column that its pipeline's table has since."""


def main() -> None:
    """Pick what RELION asks for, and tell it how that went; exit as ``cryofix.pick`` does."""
    words = sys.argv[1:]
    folder = Path(words[words.index("--o") + 1] if "--o" in words[:-1] else ".")
    for marker in folder.glob(f"{MARKER}*"):
        marker.unlink()
    ended = "FAILURE"
    try:
        code = _exit_code(pick, ["cryofix.pick", *overrides(words)])
        index = folder / PICKS / "autopick.star"
        if (folder / ABORT).exists():
            ended = "ABORTED"
        elif code in (0, SOME_FAILED) and index.is_file():  # bad files do not hold up the others
            write_nodes(folder, index, Path(given(words)["in_mics"]))
            ended, code = "SUCCESS", 0
    except (CryofixError, OSError) as error:
        print(f"cryofix.relion_job: {error}", file=sys.stderr)
        code = 1
    finally:
        with suppress(OSError):  # without a folder there is nobody to tell
            (folder / f"{MARKER}{ended}").touch()
    sys.exit(code)


def given(words: Sequence[str]) -> dict[str, str]:
    """Return RELION's arguments, ``--label value`` each, by label.

    Raises CryofixError for a word that is neither, a label without a value, or a missing one.
    """
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        label = rest.pop(0)
        if not label.startswith("--") or not rest or rest[0].startswith("--"):
            raise CryofixError(
                f"{label} is not a label with a value: in RELION's window, give each parameter a"
                " label, such as threshold, and a value, such as 0.4"
            )
        found[label.removeprefix("--")] = rest.pop(0)
    for label in ("in_mics", "o", "checkpoint"):
        if label not in found:
            raise CryofixError(
                f"--{label} is missing: in RELION's window, fill in the input micrographs and a"
                " parameter with the label checkpoint, whose value is a run folder of cryofix.train"
            )
    return found


def overrides(words: Sequence[str]) -> list[str]:
    """Return what ``cryofix.pick`` is told for RELION's arguments."""
    labels = given(words)
    keys = {KEYS.get(label, label): value for label, value in labels.items()}
    pixel_size = listed_pixel_size(Path(labels["in_mics"]))
    if pixel_size is not None:  # RELION goes by its tables, whatever the files say
        keys = {"pixel_size_angstrom": f"{pixel_size:.6g}", **keys}
    stop_file = str(Path(labels["o"]) / ABORT)
    fixed = {"format": "star", "write.project": str(Path.cwd()), "stop_file": stop_file}
    return [f"{key}={value}" for key, value in {**keys, **fixed}.items() if key not in IGNORED]


def write_nodes(folder: Path, index: Path, micrographs: Path) -> None:
    """Write the files by which RELION finds the picks, for its release that made the job.

    ``index`` lists the picks of each micrograph; ``micrographs`` is the table that was picked.
    """
    shutil.copyfile(index, folder / index.name)
    note = index.with_name(SUFFIX_NODE)
    with atomic_write(note) as temporary:
        temporary.write_text(f"{micrographs}\n")
    kind = _node_type(folder)
    node, column = folder / index.name, "rlnPipeLineNodeTypeLabel"
    if isinstance(kind, int):
        node, column = note, "rlnPipeLineNodeType"
    nodes = pd.DataFrame({"rlnPipeLineNodeName": [str(node)], column: [kind]})
    write_star(folder / "RELION_OUTPUT_NODES.star", {"output_nodes": nodes})


def _node_type(folder: Path) -> str | int:
    """Return the type of our node in the release of RELION that made the job; by default 5.0."""
    for path in (folder / "job_pipeline.star", Path("default_pipeline.star")):
        with suppress(OSError):
            words = path.read_text(errors="replace").split()
            for column, kind in TYPES.items():
                if column in words:
                    return kind
    return next(iter(TYPES.values()))


def _exit_code(command: Callable[[], Any], argv: list[str]) -> int:
    """Run a command as if these were the words on its command line."""
    with mock.patch.object(sys, "argv", argv):
        try:
            command()
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else 1
    return 0


if __name__ == "__main__":
    main()
