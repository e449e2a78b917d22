"""Preprocessed micrographs, cached on disk.

A micrograph is kept as a float16 ``.npy`` of which a tile reads its rows. The cache is keyed by the
content of the file and by the parameters, so moving a file or running twice costs nothing, and
changing either is never missed. Behind each array stands a digest of it, so that a damaged one is
noticed and made again.
"""

import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray

from cryofix.data.preprocess import Preprocessing, cropped_shape, fourier_crop, preprocess
from cryofix.errors import CryofixError, explained
from cryofix.files import A_DAY, atomic_write, remove_leftovers
from cryofix.formats import MicrographInfo, micrograph_name, read_micrograph
from cryofix.formats.masks import read_mask
from cryofix.processes import cores_at_hand

log = logging.getLogger(__name__)

CACHE_VERSION = 2
ARRAY_START = 128  # bytes of the header of a two-dimensional .npy
DIGEST_BYTES = 16


@dataclass(frozen=True)
class CachedMicrograph:
    """One preprocessed micrograph on disk."""

    name: str
    """The name that coordinates are matched by."""
    source: Path
    """The file of the user."""
    array_path: Path
    """float16 ``.npy`` of ``shape``, normalised; of a mask 0 and 1. The digest that follows the
    array is checked by :func:`cache_micrograph`, not by :meth:`read`."""
    shape: tuple[int, int]
    """(rows, columns) of the cached array."""
    full_shape: tuple[int, int]
    """(rows, columns) of the source."""
    pixel_size_angstrom: float | None
    """Of the source; None when unknown."""

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Cached pixels per full-resolution pixel along (x, y).

        Fourier cropping keeps sample 0 where it was, so positions map by this factor alone.
        """
        return self.shape[1] / self.full_shape[1], self.shape[0] / self.full_shape[0]

    def read(self, box: tuple[int, int, int, int] | None = None) -> NDArray[np.float32]:
        """Read a box (row, column, height, width), or everything, as float32.

        Only the box's rows are read, and the file is closed again: mappings of thousands of
        micrographs would pile up in memory.

        Raises CryofixError when the file ends before the box.
        """
        rows, columns = self.shape
        row, column, height, width = box or (0, 0, rows, columns)
        line = columns * np.dtype(np.float16).itemsize
        # np.load parses the header each time, which takes longer than the rest.
        with self.array_path.open("rb", buffering=0) as stream:
            stream.seek(ARRAY_START + row * line)
            content = stream.read(height * line)
        if len(content) < height * line:
            raise CryofixError(
                f"{self.array_path} was cut off after the run had begun: start the same command"
                " again, which makes the file anew"
            )
        found = np.frombuffer(content, np.float16)
        part = found.reshape(height, columns)[:, column : column + width].copy()
        return torch.from_numpy(part).float().numpy()  # NumPy converts one number at a time


def content_digest(path: Path, cache: Path) -> str:
    """Return a hexadecimal digest of a file's content, remembered by path, size and time.

    XXH3 with 128 bits: it tells files apart that nobody has made to be confused, in a tenth of the
    time of a cryptographic one.
    """
    stat = path.stat()
    identity = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    memo = cache / "digests" / hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
    try:
        known = memo.read_text()
        if re.fullmatch(f"[0-9a-f]{{{2 * DIGEST_BYTES}}}", known):
            return known
        log.warning("%s is damaged: %s is read again", memo, path)
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, xxhash.xxh3_128).hexdigest()
    with atomic_write(memo) as temporary:
        temporary.write_text(digest)
    return digest


def cache_micrograph(
    info: MicrographInfo,
    scale: float,
    particle_px: float | None,
    preprocessing: Preprocessing,
    cache: Path,
) -> CachedMicrograph:
    """Preprocess one micrograph unless the cache holds it, whole and as it was written.

    Two processes may do the same file at once: each writes a file of its own and renames it, and
    both contents are equal. The content of the file seeds its noise, so equal files get the same.
    """
    shape = cropped_shape(info.shape, scale)
    content = content_digest(info.path, cache)
    parameters = {
        "content": content,
        "shape": shape,
        "particle_px": particle_px,
        **asdict(preprocessing),
    }
    if not preprocessing.added_noise:  # a cache of a version without noise stays valid
        del parameters["added_noise"]

    def make() -> NDArray[np.float32]:
        what, remedy = f"{info.path} cannot be normalised", "remove or replace the file"
        with explained(what, remedy, ValueError):
            image = read_micrograph(info.path).data
            return preprocess(image, shape, particle_px, preprocessing, seed=int(content, 16))

    return CachedMicrograph(
        name=micrograph_name(info.path),
        source=info.path,
        array_path=_cached(cache, parameters, make),
        shape=shape,
        full_shape=info.shape,
        pixel_size_angstrom=info.pixel_size_angstrom,
    )


def cache_mask(
    path: Path, image: CachedMicrograph, value: int | None, cache: Path
) -> CachedMicrograph:
    """Bring a mask to the pixels of its cached image: 1 where the class is, else 0.

    Raises CryofixError when the mask has another size than the image's file.

    Parameters
    ----------
    path, value
        See :func:`~cryofix.formats.masks.read_mask`.
    image
        Of the same name.
    cache
        Folder of cached arrays.
    """
    parameters = {
        "content": content_digest(path, cache),
        "of": image.full_shape,
        "shape": image.shape,
        "mask_value": value,
    }

    def make() -> NDArray[np.float32]:
        mask = read_mask(path, value)
        if mask.shape != image.full_shape:
            raise CryofixError(
                f"{path} has {mask.shape[0]} x {mask.shape[1]} pixels, and its image "
                f"{image.source} has {image.full_shape[0]} x {image.full_shape[1]}: "
                "give a mask of the image's size"
            )
        share = mask.astype(np.float32)
        if mask.shape != image.shape:
            share = fourier_crop(share, image.shape)  # as the image, so that both stay in place
        return (share >= 0.5).astype(np.float32)

    return replace(image, source=path, array_path=_cached(cache, parameters, make))


def _cached(
    cache: Path, parameters: Mapping[str, Any], make: Callable[[], NDArray[np.float32]]
) -> Path:
    """Return where the array of these parameters is, made unless it is there and whole."""
    identity = json.dumps({"version": CACHE_VERSION, **parameters}, sort_keys=True)
    key = hashlib.blake2b(identity.encode(), digest_size=16)
    array_path = cache / "arrays" / f"{key.hexdigest()}.npy"
    if not _is_whole(array_path):
        array = io.BytesIO()
        np.save(array, make().astype(np.float16))
        with atomic_write(array_path) as temporary, temporary.open("wb") as stream:
            stream.write(array.getbuffer())
            stream.write(xxhash.xxh3_128_digest(array.getbuffer()))
    return array_path


def _is_whole(array_path: Path) -> bool:
    """Say whether a cached array is there and is what was written."""
    try:
        content = memoryview(array_path.read_bytes())
    except FileNotFoundError:
        return False
    if xxhash.xxh3_128_digest(content[:-DIGEST_BYTES]) == content[-DIGEST_BYTES:]:
        return True
    log.warning("%s is damaged and is made again", array_path)
    return False


def cache_all(
    infos: Sequence[MicrographInfo],
    scales: Sequence[float],
    particle_px: float | None,
    preprocessing: Preprocessing,
    cache: Path,
    done: Callable[[], None] = lambda: None,
) -> list[CachedMicrograph]:
    """Preprocess many micrographs on all cores; ``done`` is called once for each.

    Memory is bounded by the number of cores, not by the number of micrographs.
    """
    remove_leftovers(cache, "arrays", "digests", older_than_s=A_DAY)

    def one(job: tuple[MicrographInfo, float]) -> CachedMicrograph:
        result = cache_micrograph(*job, particle_px, preprocessing, cache)
        done()
        return result

    with ThreadPoolExecutor(cores_at_hand()) as pool:
        futures = [pool.submit(one, job) for job in zip(infos, scales, strict=True)]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
