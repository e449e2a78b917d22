"""crYOLO's CBOX: one STAR for each micrograph, with all detections for later thresholding.

Block ``global`` says the version; block ``cryolo`` has ``_CoordinateX _CoordinateY _CoordinateZ
_Width _Height _Depth _EstWidth _EstHeight _Confidence _NumBoxes _Angle``. X and Y are the box's
*corner*; ``<NA>`` stands for absent; y is the row.

Source: Wagner et al., Communications Biology 2, 218 (2019), and crYOLO's user guide.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cryofix.errors import CryofixError
from cryofix.formats.columns import check_columns, to_particles
from cryofix.formats.option_keys import check_option, option_key
from cryofix.formats.star import read_star, write_star
from cryofix.formats.tables import Format, Particles, Table

_REQUIRED = ("CoordinateX", "CoordinateY", "Width", "Height")
_OPTIONAL = ("EstWidth", "EstHeight", "Confidence")


def read_cryolo(path: Path, threshold: float | None = None) -> Iterator[Table]:
    """Read one file.

    ``threshold`` keeps only detections of at least this confidence. A file without the block
    ``cryolo`` or one of its columns, or without the confidences asked for, is a CryofixError.
    """
    if threshold is not None:
        check_option(threshold, "threshold", above=-np.inf)
    tables = [each for each in read_star(path, _REQUIRED + _OPTIONAL) if each.block == "cryolo"]
    if not tables:
        raise CryofixError(f"{path} has no block data_cryolo: it is no CBOX of version 1.0")
    parts = []
    for each in tables:
        check_columns(each.columns, _REQUIRED, str(path), "")
        parts.append(
            to_particles(
                each.columns, path, *_REQUIRED[:2], _REQUIRED[2:], "Confidence", _OPTIONAL[:2]
            )
        )
    particles = Particles.joined(parts)
    rows = np.arange(1, len(particles) + 1)
    if threshold is not None:
        if particles.score is None:
            raise CryofixError(
                f"{path} has no confidences, so leave {option_key('threshold')}= out"
            )
        keep = particles.score >= threshold
        particles, rows = particles.select(keep), rows[keep]
    yield Table(path.stem, path, particles, rows=rows)


def write_cryolo(path: Path, particles: Particles, box_size_px: float | None = None) -> None:
    """Write the boxes of one micrograph, of side ``box_size_px`` or each particle's diameter.

    Without both it is a CryofixError.
    """
    estimated = particles.sides(box_size_px, "box_size_px", path, "CBOX")
    boxes = estimated if box_size_px is None else np.full(len(particles), float(box_size_px))
    absent = np.full(len(particles), np.nan)
    table = {
        "CoordinateX": particles.x - boxes / 2,
        "CoordinateY": particles.y - boxes / 2,
        "CoordinateZ": absent,
        "Width": boxes,
        "Height": boxes,
        "Depth": absent,
        "EstWidth": estimated,
        "EstHeight": estimated,
        "Confidence": absent if particles.score is None else particles.score,
        "NumBoxes": absent,
        "Angle": absent,
    }
    # crYOLO's third block lists slices of tomograms and is empty for micrographs.
    slices = pd.DataFrame({"slice_index": np.empty(0, dtype=int)})
    blocks = {"cryolo": pd.DataFrame(table), "cryolo_include": slices}
    write_star(path, {"global": {"cbox_format_version": "1.0"}, **blocks})


CRYOLO = Format(
    "cryolo",
    (".cbox",),
    read_cryolo,
    write_cryolo,
    folders=("**/*.cbox",),
    alias="cbox",
    no_files=".cbox files: give crYOLO's folder CBOX",
)
