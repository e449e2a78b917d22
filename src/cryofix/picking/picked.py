"""What was picked in each micrograph, kept on disk so that a second run only does the rest."""

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats import MicrographInfo, Particles
from cryofix.metrics.particles import Thresholds
from cryofix.picking.micrographs import Picked, Recipe

VERSION = 2  # raised when the same network finds other picks in the same file
THUMBNAIL_PX = 720  # enough to judge a pick by
SHOWN_SIGMA = 3.0  # grey values beyond this many standard deviations are black and white
JPEG_QUALITY = 60
COORDINATES = ("x", "y", "score", "diameter_px")  # the fields of Particles, in their order


@dataclass(frozen=True)
class Job:
    """One micrograph to pick."""

    source: Path
    """The file, absolute."""
    name: str
    """Its path below the common folder of all micrographs, with forward slashes."""
    result: Path
    """Where what was found is kept."""


@dataclass(frozen=True)
class Result:
    """What is kept of one picked micrograph."""

    info: MicrographInfo
    """Its header, with the pixel size that counted."""
    particles: Particles
    """Down to the recipe's floor, full resolution, with scores and diameters."""
    sizes: NDArray[np.float64] | None
    """Relative sizes, or None."""
    seconds: dict[str, float]
    """Of each stage."""
    thumbnail: bytes
    """JPEG of what the network saw."""

    @property
    def diameter_px(self) -> float | None:
        """The diameter of a particle, which all have; None without any."""
        diameters = self.particles.diameter_px
        return float(diameters[0]) if diameters is not None and len(diameters) else None


@dataclass(frozen=True)
class PickSelection:
    """Which of the picks that are kept count."""

    threshold: float
    """Good picks score at least this."""
    keep_above: float
    """Picks that score less are not written anywhere."""
    size: tuple[float | None, float | None] = (None, None)
    """The smallest and the largest relative size; None for no limit."""
    source: str = "given"
    """Where the threshold comes from."""

    @classmethod
    def choose(
        cls,
        validated: Mapping[str, Any] | None,
        threshold: float | None,
        keep_above: float,
        size: tuple[float | None, float | None] = (None, None),
    ) -> "PickSelection":
        """Take the threshold of the training, unless the user gives one.

        Raises CryofixError if there is neither, or if a number is out of its range.
        """
        source = "given"
        if threshold is None:
            if validated is None:
                raise CryofixError(
                    "the checkpoint was never validated, so it has no threshold: give"
                    " threshold=0.5, or the run folder instead of one of its checkpoints"
                )
            by_count = bool(validated.get("by_count"))  # early checkpoints do not say
            source = f"from {Thresholds(by_count=by_count).source}"
            threshold = validated["particle"]
        for key, value in (("threshold", threshold), ("keep_above", keep_above)):
            if not 0 <= value < 1:
                raise CryofixError(f"{key}={value} must lie in [0, 1): it is a score")
        for key, limit in zip(("min_size", "max_size"), size, strict=True):
            if limit is not None and not 0 <= limit < math.inf:
                raise CryofixError(f"{key}={limit} must be finite and not negative")
        smallest, largest = size
        if smallest is not None and largest is not None and not smallest < largest:
            raise CryofixError(f"min_size={smallest} must be below max_size={largest}")
        return cls(float(threshold), float(keep_above), size, source)

    @property
    def lowest(self) -> float:
        """The lowest score that is kept."""
        return min(self.keep_above, self.threshold)

    def good(self, result: Result) -> Particles:
        """Return the picks of one micrograph that count."""
        return self._from(result, self.threshold)

    def all(self, result: Result) -> Particles:
        """Return also the picks of low score."""
        return self._from(result, self.lowest)

    def _from(self, result: Result, score: float) -> Particles:
        """Return the picks that have this score or more, and the right relative size."""
        keep = scores(result.particles) >= score
        if result.sizes is not None:
            smallest, largest = self.size
            keep &= result.sizes >= (0.0 if smallest is None else smallest)
            keep &= result.sizes <= (np.inf if largest is None else largest)
        return result.particles.select(keep)


def scores(picks: Particles) -> NDArray[np.float64]:
    """Return the scores, which all picks of this room have."""
    assert picks.score is not None
    return picks.score


def settings_key(recipe: Recipe, model: str) -> str:
    """Name everything that the picks of a given file depend on; ``model`` is a file's digest."""
    content = json.dumps({"version": VERSION, "model": model, **asdict(recipe)}, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Return the hexadecimal BLAKE2 digest of a file's content."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
        return digest.hexdigest()


def is_finished(job: Job, key: str) -> bool:
    """Say whether a micrograph was picked with these settings, and its file has not changed since.

    A damaged result is not finished, so that its micrograph is picked again.
    """
    try:
        _, record = _read(job)
        return bool(record["key"] == key and record["file"] == identity(job))
    except (CryofixError, OSError):
        return False


def write_result(job: Job, key: str, picked: Picked, file: list[Any]) -> None:
    """Keep what was found, atomically: the file exists only when the micrograph is finished.

    ``file`` is the micrograph's :func:`identity` before it was read.
    """
    record = {
        "key": key,
        "file": file,
        "shape": picked.info.shape,
        "pixel_size_angstrom": picked.info.pixel_size_angstrom,
        "seconds": picked.seconds,
    }
    arrays: dict[str, Any] = {
        **{name: getattr(picked.particles, name) for name in COORDINATES},
        "thumbnail": np.frombuffer(thumbnail(picked.small), dtype=np.uint8),
        "record": np.frombuffer(json.dumps(record).encode(), dtype=np.uint8),
    }
    if picked.sizes is not None:
        arrays["sizes"] = picked.sizes
    with atomic_write(job.result) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def read_result(job: Job) -> Result:
    """Read what :func:`write_result` kept.

    Raises CryofixError if the file is damaged, and OSError if it does not exist or cannot be read.
    """
    return _read(job)[0]


def thumbnail(small: NDArray[np.float32]) -> bytes:
    """Return a JPEG of a normalised micrograph, row 0 at the top, its longer side 720 pixels."""
    grey = np.clip((small + SHOWN_SIGMA) * (255 / (2 * SHOWN_SIGMA)), 0, 255).astype(np.uint8)
    picture = Image.fromarray(grey)
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def stamp_of(path: Path) -> list[int]:
    """Return a file's size in bytes, and the time of its last change in nanoseconds."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def identity(job: Job) -> list[Any]:
    """Return what changes when another file takes a micrograph's place."""
    return [job.source.name, *stamp_of(job.source)]


def _read(job: Job) -> tuple[Result, dict[str, Any]]:
    """Return what was found in a micrograph, and the record of how."""
    try:
        # Opened here, because NumPy forgets to close an archive that is damaged.
        with job.result.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        record = json.loads(arrays.pop("record").tobytes())
        rows, columns = record["shape"]
        result = Result(
            info=MicrographInfo(job.source, (rows, columns), record["pixel_size_angstrom"]),
            particles=Particles(*(arrays.pop(name) for name in COORDINATES)),
            sizes=arrays.pop("sizes", None),
            seconds=record["seconds"],
            thumbnail=arrays.pop("thumbnail").tobytes(),
        )
        if arrays or not {"key", "file"} <= record.keys():
            raise ValueError("unknown parts")
    except OSError:
        raise
    except Exception as error:  # whatever is wrong with it, the remedy is to pick again
        raise CryofixError(
            f"{job.result} is damaged: start again with the same command, which picks its"
            " micrograph again"
        ) from error
    return result, record
