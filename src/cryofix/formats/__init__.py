"""Other programs' files: micrographs and particle coordinates, converted to one frame."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryofix.formats.coordinates import file_y_origin, read_coordinates, write_coordinates
    from cryofix.formats.label_fit import LabelFit, check_labels
    from cryofix.formats.micrograph import (
        Micrograph,
        MicrographInfo,
        index_micrographs,
        read_info,
        read_micrograph,
        write_mrc,
    )
    from cryofix.formats.names import distinct_names, find_micrographs, micrograph_name
    from cryofix.formats.registry import FORMATS, detect_format
    from cryofix.formats.tables import Particles, YOrigin

__all__ = [
    "FORMATS",
    "LabelFit",
    "Micrograph",
    "MicrographInfo",
    "Particles",
    "YOrigin",
    "check_labels",
    "detect_format",
    "distinct_names",
    "file_y_origin",
    "find_micrographs",
    "index_micrographs",
    "micrograph_name",
    "read_coordinates",
    "read_info",
    "read_micrograph",
    "write_coordinates",
    "write_mrc",
]


def __getattr__(name: str) -> Any:
    """Import on demand: `npy` and `mrc` are of use before pandas and SciPy have been loaded."""
    if name in __all__:
        for module in ("names", "micrograph", "tables", "registry", "coordinates", "label_fit"):
            found = getattr(import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
