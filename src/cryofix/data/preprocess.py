"""Micrographs at full resolution -> small normalised arrays, cached on disk.

A micrograph is Fourier-cropped so that a particle spans a fixed number of pixels, freed of its
slow background, normalised by median and median absolute deviation, and kept as a float16 ``.npy``
of which a tile reads its rows. The cache is keyed by the content of the file and by the
parameters, so moving a file or running twice costs nothing, and changing either is never missed.
Behind each array stands a digest of it, so that a damaged one is noticed and made again.
"""

import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import torch
import xxhash
from numpy.typing import NDArray

from cryofix.data.order_statistics import median, percentiles
from cryofix.errors import CryofixError, check_range
from cryofix.files import A_DAY, atomic_write, remove_leftovers
from cryofix.formats import MicrographInfo, micrograph_name, read_micrograph
from cryofix.processes import cores_at_hand

log = logging.getLogger(__name__)

CACHE_VERSION = 2
ARRAY_START = 128  # bytes of the header of a two-dimensional .npy
DIGEST_BYTES = 16
MAD_TO_SIGMA = 1.4826  # of a Gaussian
BLOCK_PX = 2**20  # pixels that are transformed at a time, about what a cache holds


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every micrograph before the network sees it."""

    highpass_diameters: float = 4.0
    """Structures larger than this many particle diameters are removed (ice gradient, carbon's grey
    level); 0 keeps them."""
    clip_sigma: float = 6.0
    """Normalised values beyond this many standard deviations are clipped (gold, hot pixels)."""

    def __post_init__(self) -> None:
        check_range("data.highpass_diameters", self.highpass_diameters, 0, 1000)
        check_range("data.clip_sigma", self.clip_sigma, 1, 1000)


@dataclass(frozen=True)
class CachedMicrograph:
    """One preprocessed micrograph on disk."""

    name: str
    """The name that coordinates are matched by."""
    source: Path
    """The file of the user."""
    array_path: Path
    """float16 ``.npy`` of ``shape``, zero median, unit robust standard deviation. The digest that
    follows the array is checked by :func:`cache_micrograph`, not by :meth:`read`."""
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


def cropped_shape(full_shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the (rows, columns) that ``scale`` gives, at least 32 pixels each way."""
    rows, columns = (max(32, round(size * scale)) for size in full_shape)
    return rows, columns


def fourier_crop(
    image: NDArray[np.float32],
    shape: tuple[int, int],
    highpass_period_px: float = 0.0,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> NDArray[np.float32]:
    """Resample by cropping (or padding) the Fourier transform.

    Parameters
    ----------
    image
        (rows, columns), real.
    shape
        The (rows, columns) wanted; larger than the input's means upsampling.
    highpass_period_px
        Periods longer than this, in *output* pixels, are removed with a Gaussian edge; 0 keeps all.
    limits
        Grey values are clipped to these first.

    Returns
    -------
    float32 array of ``shape``. Sample (0, 0) stays at position (0, 0), grey values keep their
    scale, and nothing is aliased.
    """
    rows, columns = shape
    keep_rows, keep_columns = min(rows, image.shape[0]), min(columns, image.shape[1])
    positive, negative = (keep_rows + 1) // 2, keep_rows // 2
    half_columns = keep_columns // 2 + 1
    spectrum = _spectrum(image, half_columns, limits)
    cropped = np.zeros((rows, columns // 2 + 1), dtype=spectrum.dtype)
    cropped[:positive, :half_columns] = spectrum[:positive, :half_columns]
    if negative:
        cropped[-negative:, :half_columns] = spectrum[-negative:, :half_columns]
    _share_nyquist(cropped, spectrum, image.shape, shape)
    if highpass_period_px > 0:
        frequency_squared = (
            np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.rfftfreq(columns)[None, :] ** 2
        )
        cropped *= -np.expm1(-0.5 * frequency_squared * highpass_period_px**2 * 4).astype(
            np.float32
        )
    small = scipy.fft.irfft2(cropped, s=shape)
    small *= rows * columns / image.size
    return small.astype(np.float32, copy=False)


def _share_nyquist(
    cropped: NDArray[np.complex64],
    spectrum: NDArray[np.complex64],
    old: tuple[int, ...],
    new: tuple[int, int],
) -> None:
    """Correct the highest frequency that both grids hold, where the smaller one has it once.

    A grid of even length cannot tell +1/2 cycle per pixel from -1/2: its one number is the sum of
    two on a finer grid, which are equal when nothing more is known.
    """
    rows, columns = (min(pair) for pair in zip(old, new, strict=True))
    middle, half = rows // 2, columns // 2
    if rows % 2 == 0 and new[0] > old[0]:
        cropped[-middle] /= 2
        cropped[middle] = cropped[-middle]
    elif rows % 2 == 0 and new[0] < old[0]:
        cropped[middle, : half + 1] += spectrum[middle]
    if columns % 2 == 0 and new[1] != old[1]:
        cropped[:, half] *= 0.5 if new[1] > old[1] else 2


def _spectrum(
    image: NDArray[np.float32], half_columns: int, limits: tuple[float, float]
) -> NDArray[np.complex64]:
    """Return the first columns of the half-complex transform, all rows: what cropping keeps.

    The rows go through in blocks, and only the columns that stay are transformed the other way:
    a half to a third of the time of a full transform, and a fraction of its memory.
    """
    spectrum = np.empty((image.shape[0], half_columns), dtype=np.complex64)
    step = max(1, BLOCK_PX // image.shape[1])

    def transform(start: int) -> None:
        block = np.clip(image[start : start + step], *limits).astype(np.float32, copy=False)
        rows = scipy.fft.rfft(block, axis=1, workers=1)
        spectrum[start : start + step] = rows[:, :half_columns]

    with ThreadPoolExecutor(scipy.fft.get_workers()) as pool:
        list(pool.map(transform, range(0, image.shape[0], step)))
    transformed: NDArray[np.complex64] = scipy.fft.fft(spectrum, axis=0, overwrite_x=True)
    return transformed


def normalise(image: NDArray[np.float32], clip_sigma: float) -> NDArray[np.float32]:
    """Return ``image`` with median 0 and robust standard deviation 1, clipped.

    Raises ValueError when more than half of the pixels are equal, so that the spread is 0.
    """
    centre = median(image)
    sigma = MAD_TO_SIGMA * median(np.abs(image - centre))
    if not sigma > 0:
        raise ValueError("more than half of its pixels have the same value")
    normalised: NDArray[np.float32] = np.clip((image - centre) / sigma, -clip_sigma, clip_sigma)
    return normalised.astype(np.float32, copy=False)


def preprocess(
    image: NDArray[np.float32],
    shape: tuple[int, int],
    particle_px: float,
    preprocessing: Preprocessing,
) -> NDArray[np.float32]:
    """Turn one full-resolution micrograph into what the network sees.

    Parameters
    ----------
    image
        (rows, columns) at full resolution.
    shape
        (rows, columns) of the result.
    particle_px
        Particle diameter in pixels of the result.
    preprocessing
        The parameters.

    Returns
    -------
    float32 array of ``shape``.
    """
    sample = image[::4, ::4]
    # Plain floats: with NumPy's float64 the whole image, and its transform, would become float64.
    low, middle, high = percentiles(sample, (0.05, 50.0, 99.95))
    # Hot pixels and gold would ring through the whole transform; twice the bulk's range is far out.
    limits = middle - 2 * (middle - low), middle + 2 * (high - middle)
    period = preprocessing.highpass_diameters * particle_px
    return normalise(fourier_crop(image, shape, period, limits), preprocessing.clip_sigma)


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
    particle_px: float,
    preprocessing: Preprocessing,
    cache: Path,
) -> CachedMicrograph:
    """Preprocess one micrograph unless the cache holds it, whole and as it was written.

    Two processes may do the same file at once: each writes a file of its own and renames it, and
    both contents are equal.
    """
    shape = cropped_shape(info.shape, scale)
    parameters = {
        "version": CACHE_VERSION,
        "content": content_digest(info.path, cache),
        "shape": shape,
        "particle_px": particle_px,
        **asdict(preprocessing),
    }
    key = hashlib.blake2b(json.dumps(parameters, sort_keys=True).encode(), digest_size=16)
    array_path = cache / "arrays" / f"{key.hexdigest()}.npy"
    if not _is_whole(array_path):
        try:
            image = read_micrograph(info.path).data
            small = preprocess(image, shape, particle_px, preprocessing)
        except ValueError as error:
            raise CryofixError(
                f"{info.path} cannot be normalised: {error}; remove or replace the file"
            ) from error
        content = io.BytesIO()
        np.save(content, small.astype(np.float16))
        with atomic_write(array_path) as temporary, temporary.open("wb") as stream:
            stream.write(content.getbuffer())
            stream.write(xxhash.xxh3_128_digest(content.getbuffer()))
    return CachedMicrograph(
        name=micrograph_name(info.path),
        source=info.path,
        array_path=array_path,
        shape=shape,
        full_shape=info.shape,
        pixel_size_angstrom=info.pixel_size_angstrom,
    )


def _is_whole(array_path: Path) -> bool:
    """Say whether a cached array is there and is what was written."""
    try:
        content = memoryview(array_path.read_bytes())
    except FileNotFoundError:
        return False
    if xxhash.xxh3_128_digest(content[:-DIGEST_BYTES]) == content[-DIGEST_BYTES:]:
        return True
    log.warning("%s is damaged: it is made again", array_path)
    return False


def cache_all(
    infos: Sequence[MicrographInfo],
    scales: Sequence[float],
    particle_px: float,
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
