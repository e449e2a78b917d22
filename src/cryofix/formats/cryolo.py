"""crYOLO's CBOX: one STAR for each micrograph, with all detections for later thresholding.

Block ``global`` says the version; block ``cryolo`` has ``_CoordinateX _CoordinateY _CoordinateZ
_Width _Height _Depth _EstWidth _EstHeight _Confidence _NumBoxes _Angle``. X and Y are the box's
*corner*; ``<NA>`` stands for absent; no flip.

Source: Wagner et al., Communications Biology 2, 218 (2019), and crYOLO's user guide.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cryofix.errors import CryofixError
from cryofix.formats.names import image_stem
from cryofix.formats.star import read_star, write_star
from cryofix.formats.tables import CoordinateFormat, Entry, Particles, Table, diameters, numbers


def read_cryolo(path: Path, threshold: float | None = None) -> Iterator[Table]:
    """Yield one table for each ``.cbox`` in a folder, or for one file.

    Parameters
    ----------
    path : Path
        crYOLO's folder ``CBOX``, or one file.
    threshold : float or None
        Keep only detections of at least this confidence; None keeps all that crYOLO wrote.

    Raises
    ------
    CryofixError
        If there is no such file, or one lacks the block ``cryolo`` or a column.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.cbox"))
    if not files:
        raise CryofixError(f"{path} holds no .cbox files: give crYOLO's folder CBOX")
    for file in files:
        particles = _read_cbox(file)
        rows = np.arange(1, len(particles) + 1)
        if threshold is not None:
            if particles.score is None:
                raise CryofixError(f"{file} has no confidences, so leave threshold= out")
            keep = particles.score >= threshold
            particles, rows = particles.select(keep), rows[keep]
        yield Table(file.stem, file, particles, rows=rows)


def write_cryolo(
    path: Path, entries: Sequence[Entry], box_size_px: float | None = None
) -> list[Path]:
    """Write ``<stem>.cbox`` for each micrograph into the folder ``path``.

    Parameters
    ----------
    path : Path
        The folder.
    entries : sequence of Entry
        In crYOLO's y frame.
    box_size_px : float or None
        The box's side; None takes each particle's diameter.

    Raises
    ------
    CryofixError
        If there is neither a box size nor a diameter.
    """
    written = []
    for entry in entries:
        each = entry.particles
        estimated = diameters(each, box_size_px)
        sides = estimated if box_size_px is None else np.full(len(each), float(box_size_px))
        if sides is None or estimated is None:
            raise CryofixError(f"{path}: CBOX needs the size of its boxes: set box_size_px=")
        absent = np.full(len(each), np.nan)
        table = pd.DataFrame(
            {
                "CoordinateX": each.x - sides / 2,
                "CoordinateY": each.y - sides / 2,
                "CoordinateZ": absent,
                "Width": sides,
                "Height": sides,
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
    block = read_star(file).get("cryolo")
    if block is None:
        raise CryofixError(f"{file} has no block data_cryolo: it is no CBOX of version 1.0")
    missing = {"CoordinateX", "CoordinateY", "Width", "Height"} - set(block.columns)
    if missing:
        raise CryofixError(f"{file} lacks the columns {', '.join(sorted(missing))}")

    def column(name: str) -> np.ndarray | None:
        if name not in block.columns or (len(block) > 0 and block[name].isna().all()):
            return None
        return numbers(block[name], name, file)

    x, y, width, height = (
        numbers(block[name], name, file)
        for name in ("CoordinateX", "CoordinateY", "Width", "Height")
    )
    estimated_width, estimated_height = column("EstWidth"), column("EstHeight")
    estimated = None
    if estimated_width is not None and estimated_height is not None:
        estimated = (estimated_width + estimated_height) / 2
    return Particles(x + width / 2, y + height / 2, column("Confidence"), estimated)


def _detect(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".cbox"
    return next(path.glob("*.cbox"), None) is not None


CRYOLO = CoordinateFormat("cryolo", _detect, read_cryolo, write_cryolo)
