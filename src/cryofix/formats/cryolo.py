"""crYOLO's CBOX: one STAR for each micrograph, with all detections for later thresholding.

Block ``global`` says the version; block ``cryolo`` has ``_CoordinateX _CoordinateY _CoordinateZ
_Width _Height _Depth _EstWidth _EstHeight _Confidence _NumBoxes _Angle``. X and Y are the box's
*corner*; ``<NA>`` stands for absent; no flip.

Source: Wagner et al., Communications Biology 2, 218 (2019), and crYOLO's user guide.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cryofix.errors import CryofixError
from cryofix.formats.frames import concatenate
from cryofix.formats.names import image_stem
from cryofix.formats.option_keys import option_key
from cryofix.formats.star import read_star, write_star
from cryofix.formats.tables import CoordinateFormat, Entry, Particles, Table, sides
from cryofix.formats.values import check_option, numbers, optional_numbers

_REQUIRED = ("CoordinateX", "CoordinateY", "Width", "Height")
_OPTIONAL = ("EstWidth", "EstHeight", "Confidence")


def read_cryolo(path: Path, threshold: float | None = None) -> Iterator[Table]:
    """Yield one table for each ``.cbox`` in a folder, or for one file.

    Raises CryofixError if there is no such file, or one lacks the block ``cryolo`` or a column.

    Parameters
    ----------
    path : Path
        crYOLO's folder ``CBOX``, or one file.
    threshold : float or None
        Keep only detections of at least this confidence; None keeps all that crYOLO wrote.
    """
    if threshold is not None:
        check_option(threshold, "threshold", above=-np.inf)
    files = [path] if path.is_file() else sorted(path.glob("*.cbox"))
    if not files:
        raise CryofixError(f"{path} holds no .cbox files: give crYOLO's folder CBOX")
    for file in files:
        particles = _read_cbox(file)
        rows = np.arange(1, len(particles) + 1)
        if threshold is not None:
            if particles.score is None:
                raise CryofixError(
                    f"{file} has no confidences, so leave {option_key('threshold')}= out"
                )
            keep = particles.score >= threshold
            particles, rows = particles.select(keep), rows[keep]
        yield Table(file.stem, file, particles, rows=rows)


def write_cryolo(
    path: Path, entries: Sequence[Entry], box_size_px: float | None = None
) -> list[Path]:
    """Write ``<stem>.cbox`` for each micrograph into the folder ``path``.

    Raises CryofixError if there is neither a box size nor a diameter.

    Parameters
    ----------
    path : Path
        The folder.
    entries : sequence of Entry
        In crYOLO's y frame.
    box_size_px : float or None
        The box's side; None takes each particle's diameter.
    """
    written = []
    for entry in entries:
        each = entry.particles
        estimated = sides(each, box_size_px, "box_size_px", path, "CBOX")
        boxes = estimated if box_size_px is None else np.full(len(each), float(box_size_px))
        absent = np.full(len(each), np.nan)
        table = pd.DataFrame(
            {
                "CoordinateX": each.x - boxes / 2,
                "CoordinateY": each.y - boxes / 2,
                "CoordinateZ": absent,
                "Width": boxes,
                "Height": boxes,
                "Depth": absent,
                "EstWidth": estimated,
                "EstHeight": estimated,
                "Confidence": absent if each.score is None else each.score,
                "NumBoxes": absent,
                "Angle": absent,
            }
        )
        file = path / f"{image_stem(entry.info.path)}.cbox"
        # crYOLO's third block lists slices of tomograms and is empty for micrographs.
        slices = pd.DataFrame({"slice_index": np.empty(0, dtype=int)})
        version = {"cbox_format_version": "1.0"}
        write_star(file, {"global": version, "cryolo": table, "cryolo_include": slices})
        written.append(file)
    return written


def _read_cbox(file: Path) -> Particles:
    tables = [each for each in read_star(file, _REQUIRED + _OPTIONAL) if each.block == "cryolo"]
    if not tables:
        raise CryofixError(f"{file} has no block data_cryolo: it is no CBOX of version 1.0")
    return concatenate([_boxes(each.columns, file) for each in tables])


def _boxes(columns: Mapping[str, list[str]], file: Path) -> Particles:
    missing = set(_REQUIRED) - set(columns)
    if missing:
        raise CryofixError(f"{file} lacks the columns {', '.join(sorted(missing))}")
    x, y = (numbers(columns[name], name, file) for name in _REQUIRED[:2])
    width, height = (numbers(columns[name], name, file, positive=True) for name in _REQUIRED[2:])
    estimated_width, estimated_height = (
        optional_numbers(columns.get(name), name, file, positive=True) for name in _OPTIONAL[:2]
    )
    estimated = None
    if estimated_width is not None and estimated_height is not None:
        estimated = (estimated_width + estimated_height) / 2
    confidence = optional_numbers(columns.get("Confidence"), "Confidence", file)
    return Particles(x + width / 2, y + height / 2, confidence, estimated)


def _detect(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".cbox"
    return next(path.glob("*.cbox"), None) is not None


CRYOLO = CoordinateFormat("cryolo", _detect, read_cryolo, write_cryolo)
