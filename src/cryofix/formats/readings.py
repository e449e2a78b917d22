"""The ways in which a file's x and y are misread: exchanged, from the other side, scaled."""

import itertools
from dataclasses import dataclass

from cryofix.formats.frames import flipped
from cryofix.formats.micrograph import MicrographInfo
from cryofix.formats.option_keys import CommandKeys
from cryofix.formats.tables import Particles, YOrigin

_SCALES = (2.0, 4.0, 8.0, 1 / 2, 1 / 4, 1 / 8)  # what images are usually binned by


@dataclass(frozen=True)
class Reading:
    """One way to read the x and y of a label file.

    Attributes
    ----------
    exchanged, mirrored, turned : bool
        Whether x and y are exchanged, and whether the result's x counts from the other side, and
        its y.
    scale : float
        What x and y are multiplied by.
    diameter_too : bool
        Whether the diameter is multiplied too.
    """

    exchanged: bool = False
    mirrored: bool = False
    turned: bool = False
    scale: float = 1.0
    diameter_too: bool = False

    def apply(self, particles: Particles, info: MicrographInfo, origin: YOrigin) -> Particles:
        """Return what the file would mean so read, given what it means as it stands."""
        file = flipped(particles, info) if origin == "bottom" else particles
        x, y = (file.y, file.x) if self.exchanged else (file.x, file.y)
        x, y = x * self.scale, y * self.scale
        x = info.shape[1] - x if self.mirrored else x
        read = Particles(x, y)
        return flipped(read, info) if self.turned != (origin == "bottom") else read

    def width_factor(self) -> float:
        """Return what the diameter is multiplied by."""
        return self.scale if self.diameter_too else 1.0

    def remedies(self, keys: CommandKeys, origin: YOrigin) -> list[str]:
        """Return what to do so that the labels are read in this way."""
        factor = f"{self.scale:g}" if self.scale >= 1 else f"1/{1 / self.scale:g}"
        return [
            sentence
            for applies, sentence in (
                (self.exchanged, "exchange x and y in the file"),
                (
                    self.scale != 1,
                    f"multiply the file's x and y by {factor} (they are in pixels of images of"
                    f" another binning; for Topaz {keys('downsample')} does that)",
                ),
                (self.mirrored, "count x from the other side (width - x)"),
                (
                    self.turned,
                    f"set {keys('y_origin')}={'top' if origin == 'bottom' else 'bottom'}",
                ),
            )
            if applies
        ]


AS_GIVEN = Reading()
TURNS = [Reading(*each) for each in itertools.product((False, True), repeat=3)]
BINNED = [
    Reading(turned=turned, scale=scale, diameter_too=diameter_too)
    for scale, diameter_too in [(each, False) for each in _SCALES]
    + [(each, True) for each in _SCALES]
    for turned in (False, True)
]
