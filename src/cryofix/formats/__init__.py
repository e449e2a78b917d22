"""Other programs' files: micrographs and particle coordinates, converted to one frame."""

from cryofix.formats.coordinates import (
    FORMATS,
    Particles,
    YOrigin,
    detect_format,
    read_coordinates,
    write_coordinates,
)
from cryofix.formats.micrograph import (
    Micrograph,
    MicrographInfo,
    find_micrographs,
    index_micrographs,
    micrograph_name,
    read_info,
    read_micrograph,
    write_mrc,
)
from cryofix.formats.y_check import OrientationScore, score_orientations

__all__ = [
    "FORMATS",
    "Micrograph",
    "MicrographInfo",
    "OrientationScore",
    "Particles",
    "YOrigin",
    "detect_format",
    "find_micrographs",
    "index_micrographs",
    "micrograph_name",
    "read_coordinates",
    "read_info",
    "read_micrograph",
    "score_orientations",
    "write_coordinates",
    "write_mrc",
]
