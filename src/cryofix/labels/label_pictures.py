"""What the label page draws: micrographs low-passed and stretched, and a model's picks."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cryofix.data.preprocess import Preprocessing, cropped_shape, preprocess
from cryofix.errors import CryofixError
from cryofix.formats import MicrographInfo, Particles, read_micrograph

SIDE_PX = 2048  # longer side of what is drawn
KEPT = 4  # micrographs, so that going back and forth is fast
STRETCH = (0.3, 99.7)  # percentiles that are drawn black and white


@dataclass(frozen=True)
class Picture:
    """One micrograph as it is drawn."""

    pixels: NDArray[np.float32]
    """Without slow background, its noise of standard deviation 1; (rows, columns)."""
    step: tuple[float, float]
    """Pixels of the file per pixel, along (x, y)."""
    picks: Particles
    """What a model found, with scores; empty without a model."""

    def grey(self, smoothing_px: float) -> NDArray[np.uint8]:
        """Return grey values after a low pass.

        ``smoothing_px`` is the standard deviation of its Gaussian in pixels of the file.
        """
        sigma = (smoothing_px / self.step[1], smoothing_px / self.step[0])
        smooth = gaussian_filter(self.pixels, sigma, mode="nearest")
        low, high = np.percentile(smooth[::4, ::4], STRETCH)
        scaled = (smooth - low) * (255 / max(high - low, 1e-6))
        return np.asarray(np.clip(scaled, 0, 255), dtype=np.uint8)


class Pictures:
    """Pictures of micrographs, made by one thread in the background."""

    def __init__(self, make: Callable[[str], Picture]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(1)
        self._made: OrderedDict[str, Future[Picture]] = OrderedDict()

    def prepare(self, name: str) -> None:
        """Begin to make a picture that will be asked for."""
        if name not in self._made:
            self._made[name] = self._thread.submit(self._make, name)
        self._made.move_to_end(name)
        while len(self._made) > KEPT:
            self._made.popitem(last=False)

    def get(self, name: str) -> Picture:
        """Return a picture. Raises CryofixError when the micrograph cannot be read."""
        self.prepare(name)
        return self._made[name].result()


def make_picture(info: MicrographInfo, diameter_px: float, picks: Particles) -> Picture:
    """Read a micrograph and bring it to the size at which it is drawn.

    Raises CryofixError when it cannot be read or shows nothing.
    """
    scale = min(1.0, SIDE_PX / max(info.shape))
    shape = cropped_shape(info.shape, scale)
    image = read_micrograph(info.path).data
    try:
        pixels = preprocess(image, shape, diameter_px * scale, Preprocessing())
    except ValueError as error:
        raise CryofixError(f"{info.path} cannot be drawn: {error}; skip it") from error
    return Picture(pixels, (info.shape[1] / shape[1], info.shape[0] / shape[0]), picks)
