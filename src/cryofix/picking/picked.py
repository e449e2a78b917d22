"""What was picked in each micrograph, kept on disk so that a second run only does the rest."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.formats import MicrographInfo, Particles
from cryofix.picking.micrographs import Picked, Recipe

VERSION = 2  # raised when the same network finds other picks in the same file
THUMBNAIL_PX = 480
SHOWN_SIGMA = 3.0  # grey values beyond this many standard deviations are black and white
JPEG_QUALITY = 60


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

    def filtered(self, threshold: float, size: tuple[float | None, float | None]) -> Particles:
        """Return the picks that score ``threshold`` or more and have the right relative size."""
        score = self.particles.score
        assert score is not None
        good = score >= threshold
        if self.sizes is not None:
            smallest, largest = size
            good &= self.sizes >= (0.0 if smallest is None else smallest)
            good &= self.sizes <= (np.inf if largest is None else largest)
        return self.particles.select(good)


def settings_key(recipe: Recipe, model: str) -> str:
    """Name everything that the picks of a given file depend on.

    Parameters
    ----------
    recipe
        How they are made.
    model
        Digest of the checkpoint.
    """
    content = json.dumps({"version": VERSION, "model": model, **asdict(recipe)}, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Return the hexadecimal BLAKE2 digest of a file's content."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
        return digest.hexdigest()


def is_finished(job: Job, key: str) -> bool:
    """Say whether a micrograph was picked with these settings and has not changed since.

    What is damaged is not finished, so that it is picked again.
    """
    try:
        _, record = _read(job)
        return bool(record["key"] == key and record["file"] == _identity(job))
    except (CryofixError, OSError):
        return False


def write_result(job: Job, key: str, picked: Picked) -> None:
    """Keep what was found, atomically: a file is there when its micrograph is finished."""
    record = {
        "key": key,
        "file": _identity(job),
        "shape": picked.info.shape,
        "pixel_size_angstrom": picked.info.pixel_size_angstrom,
        "seconds": picked.seconds,
    }
    particles = picked.particles
    assert particles.score is not None
    assert particles.diameter_px is not None
    arrays: dict[str, Any] = {
        "x": particles.x,
        "y": particles.y,
        "score": particles.score,
        "diameter_px": particles.diameter_px,
        "thumbnail": np.frombuffer(thumbnail(picked.small), dtype=np.uint8),
        "record": np.frombuffer(json.dumps(record).encode(), dtype=np.uint8),
    }
    if picked.sizes is not None:
        arrays["sizes"] = picked.sizes
    with atomic_write(job.result) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def read_result(job: Job) -> Result:
    """Read what :func:`write_result` kept.

    Raises CryofixError if the file is damaged. Raises OSError if there is none, or the system
    refuses.
    """
    return _read(job)[0]


def thumbnail(small: NDArray[np.float32]) -> bytes:
    """Return a JPEG of a normalised micrograph, row 0 at the top, its longer side 480 pixels."""
    grey = np.clip((small + SHOWN_SIGMA) * (255 / (2 * SHOWN_SIGMA)), 0, 255).astype(np.uint8)
    picture = Image.fromarray(grey)
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _identity(job: Job) -> list[Any]:
    """Return what changes when somebody puts another file in a micrograph's place."""
    stat = job.source.stat()
    return [job.source.name, stat.st_size, stat.st_mtime_ns]


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
            particles=Particles(*(arrays.pop(name) for name in ("x", "y", "score", "diameter_px"))),
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
