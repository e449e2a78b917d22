"""Where micrographs and labels come from: files that a user names, or a simulation."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cryofix.checking import KeywordsOf
from cryofix.data.simulation.dataset import is_complete, write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.errors import check_ranges
from cryofix.formats.option_keys import SHARED, CommandKeys
from cryofix.processes import cores_at_hand

log = logging.getLogger(__name__)

SIMULATED_IGNORED = "ground_truth/ignore_coordinates"
"""``ignored`` of data=cryoppp, which only simulated data have: it may be missing."""


@dataclass(frozen=True)
class Files:
    """Where micrographs and labels are, and how they are read.

    Raises CryofixError when a number is out of range.
    """

    root: str | None = None
    """Folder that images, coordinates, ignored and masks are relative to."""
    images: str | None = None
    """Folder, file or pattern of micrographs."""
    coordinates: str | None = None
    ignored: str | None = None
    """Files or folders of labelled particles, and of those that count for neither side."""
    masks: str | None = None
    """Folder or pattern of masks, instead of particles; images without one are unlabelled."""
    mask_value: int | None = None
    """What a mask has where the class is; None takes all that is not 0."""
    format: str | None = None
    y_origin: str | None = None
    allow_empty: bool = False
    outside: str = "error"
    """See :func:`~cryofix.formats.read_coordinates`."""
    read: Annotated[Mapping[str, Any] | None, KeywordsOf("cryofix.keys.Read")] = None
    """Options of the format; None is the format's own."""
    pixel_size_angstrom: float | None = None
    """Overrides what the files say."""
    border_px: float = 0.0
    """Width of the border that labels do not reach, in full-resolution pixels."""
    limit: int | None = None
    """Use only so many micrographs, those with labels first."""

    def __post_init__(self) -> None:
        check_ranges(
            self, "data.", pixel_size_angstrom=(0.01, 1000), border_px=(0, 1e5), limit=(1, 1e9)
        )

    @property
    def named(self) -> bool:
        """Whether the user says anything of where files are or what they hold."""
        keys = ("root", "images", "coordinates", "ignored", "masks", "format", "y_origin")
        return any(getattr(self, key) is not None for key in keys)

    def path(self, key: str) -> str | None:
        """Return where ``images``, or what else is named, are, with ``~`` expanded."""
        where = getattr(self, key)
        return None if where is None else str((Path(self.root or "") / where).expanduser())

    @property
    def options(self) -> dict[str, Any]:
        """Keywords of :func:`~cryofix.formats.read_coordinates`."""
        shared = {key: getattr(self, key) for key in SHARED}
        own = {key: value for key, value in (self.read or {}).items() if value is not None}
        return {**shared, "keys": CommandKeys("data.read.", "data."), **own}


def simulated_files(
    config: SimulatorConfig,
    files: Files,
    cache: Path,
    progress: Callable[[str, int], Callable[[], None]],
) -> Files:
    """Return where the simulated data set is in the cache, written unless it is complete.

    ``files`` says the rest; with its ``limit`` no more micrographs are simulated than are used.
    """
    limit = files.limit
    if limit is not None and limit < config.micrographs:
        log.warning(
            "data.limit=%d: %d of %d micrographs are simulated", limit, limit, config.micrographs
        )
        config = replace(config, micrographs=limit)
    text = json.dumps(asdict(config), sort_keys=True)
    key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    folder = cache / "simulated" / key
    if not is_complete(config, folder):
        tick = progress("simulating", config.micrographs)
        workers = cores_at_hand()
        write_dataset(config, folder, workers=workers, progress=lambda done, total: tick())
    return replace(
        files,
        root=str(folder),
        images="micrographs",
        coordinates="ground_truth/particle_coordinates",
        ignored=SIMULATED_IGNORED,
        allow_empty=True,  # labels are the truth
    )
