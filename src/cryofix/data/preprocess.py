"""Micrographs at full resolution -> small normalised arrays.

A micrograph is Fourier-cropped so that a particle spans a fixed number of pixels, freed of its
slow background, and normalised by median and median absolute deviation. Noise may be added to it.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cryofix.data.order_statistics import median, percentiles
from cryofix.errors import check_range

MAD_TO_SIGMA = 1.4826  # of a Gaussian
NOISE_SIDE_PX = 1024  # longer side of a micrograph where noise is measured and drawn
BLOCK_PX = 2**20  # pixels that are transformed at a time, about what a cache holds


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every micrograph before the network sees it."""

    highpass_diameters: float = 4.0
    """Structures larger than this many particle diameters are removed (ice gradient, carbon's grey
    level); 0 keeps them."""
    clip_sigma: float = 6.0
    """Normalised values beyond this many standard deviations are clipped (gold, hot pixels)."""
    added_noise: float = 0.0
    """Standard deviation of the white noise that makes a data set harder, relative to that of the
    micrograph, both at a longer side of 1024 pixels (see :func:`white_noise`); 0 adds none."""

    def __post_init__(self) -> None:
        check_range("data.highpass_diameters", self.highpass_diameters, 0, 1000)
        check_range("data.clip_sigma", self.clip_sigma, 1, 1000)
        check_range("data.added_noise", self.added_noise, 0, 1000)


def cropped_shape(full_shape: tuple[int, ...], scale: float) -> tuple[int, int]:
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


def white_noise(
    image: NDArray[np.float32], limits: tuple[float, float], relative_sd: float, seed: int
) -> NDArray[np.float32]:
    """Draw white Gaussian noise for a micrograph, binned to a longer side of 1024 pixels.

    Neither the amount nor the pixels depend on the size at which a network sees the micrograph.
    :func:`fourier_crop` brings the noise to that size. A coarser grid keeps the noise that it can
    hold, with the same power at each frequency; a finer one has no noise beyond the highest
    frequency of the 1024 pixels.

    Parameters
    ----------
    image
        (rows, columns) at full resolution.
    limits
        Its grey values are clipped to these first.
    relative_sd
        Standard deviation of the noise, relative to that of the binned micrograph.
    seed
        The same seed gives the same noise.

    Returns
    -------
    float32 array with a longer side of 1024 pixels, in the grey values of ``image``.
    """
    shape = cropped_shape(image.shape, NOISE_SIDE_PX / max(image.shape))
    sd = relative_sd * float(fourier_crop(image, shape, limits=limits).std(dtype=np.float64))
    noise = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    noise *= sd
    return noise


def crop(
    image: NDArray[np.float32],
    shape: tuple[int, int],
    highpass_period_px: float = 0.0,
    added_noise: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Fourier-crop a micrograph, without grey values that are far out, and add noise if asked to.

    :func:`fourier_crop` explains the first parameters, :func:`white_noise` the others.
    """
    sample = image[::4, ::4]
    # Plain floats: with NumPy's float64 the whole image, and its transform, would become float64.
    low, middle, high = percentiles(sample, (0.05, 50.0, 99.95))
    # Hot pixels and gold would ring through the whole transform; twice the bulk's range is far out.
    limits = middle - 2 * (middle - low), middle + 2 * (high - middle)
    small = fourier_crop(image, shape, highpass_period_px, limits)
    if added_noise:
        noise = white_noise(image, limits, added_noise, seed)
        small += fourier_crop(noise, shape, highpass_period_px)
    return small


def preprocess(
    image: NDArray[np.float32],
    shape: tuple[int, int],
    particle_px: float | None,
    preprocessing: Preprocessing,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Turn one full-resolution micrograph into what the network sees.

    Parameters
    ----------
    image
        (rows, columns) at full resolution.
    shape
        (rows, columns) of the result.
    particle_px
        Particle diameter in pixels of the result. None is an image without particles: slow
        changes stay in it, and it is normalised by its mean and standard deviation, because more
        than half of its pixels may be equal.
    preprocessing
        The parameters.
    seed
        Of the noise, if the parameters ask for any.

    Returns
    -------
    float32 array of ``shape``.
    """
    period = preprocessing.highpass_diameters * (particle_px or 0.0)
    clip = preprocessing.clip_sigma
    small = crop(image, shape, period, preprocessing.added_noise, seed)
    if particle_px is None:
        spread = small.std()
        if not spread > 0:
            raise ValueError("nearly all of its pixels have the same value")
        whole: NDArray[np.float32] = np.clip((small - small.mean()) / spread, -clip, clip)
        return whole
    return normalise(small, clip)
