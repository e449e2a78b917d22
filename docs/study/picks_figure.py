"""Draw docs/picks.png: thirty clicks in one micrograph, and the picks in one that was not seen.

    python docs/study/picks_figure.py FOLDER --data .../empiar-10017

FOLDER is what `python -m benchmarks.one_sitting --data .../empiar-10017 --output FOLDER` made.
"""

import argparse
from pathlib import Path

import numpy as np

from cryofix.formats import (
    MicrographInfo,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    read_micrograph,
)
from cryofix.metrics.area import Area
from cryofix.metrics.curves import FloatArray
from cryofix.metrics.particles import centres, judged
from cryofix.reporting.plots import FOUND, draw_circles, draw_rings, panels, save, without_ticks

SHOWN = "Falcon_2012_06_12-16_48_06_0"  # recall and precision are those of all, to a point
BORDER_PX = 100  # beyond it the detector's edge was filled in
PART = (1000, 1000, 3000, 3000)  # of it, in pixels: x0, y0, x1, y1


def pixels(info: MicrographInfo) -> FloatArray:
    """Return a micrograph half as large, from 0 to 1."""
    small = read_micrograph(info.path).data[::2, ::2].astype(float)
    low, high = np.percentile(small, [1, 99])
    return np.asarray(np.clip((small - low) / (high - low), 0, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("docs/picks.png"))
    options = parser.parse_args()
    images = index_micrographs(find_micrographs(options.data / "micrographs"))
    (clicked, clicks), *_ = read_coordinates(options.folder / "labels", images).items()
    picks = read_coordinates(options.folder / "picks" / "relion", images)[SHOWN]
    truth = read_coordinates(options.data / "coordinates", images, y_origin="top")[SHOWN]
    assert truth.diameter_px is not None
    diameter = float(np.median(truth.diameter_px))

    figure, (left, right) = panels(13, 7, columns=2)
    for axis, name in ((left, clicked), (right, SHOWN)):
        rows, columns = images[name].shape
        extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
        axis.imshow(pixels(images[name]), cmap="gray", extent=extent)
    draw_circles(left, centres(clicks), 1.5 * diameter, FOUND, width=2.2)
    left.set_title(f"{len(clicks)} clicks in one micrograph")
    rows, columns = images[clicked].shape
    left.set(xlim=(BORDER_PX, columns - BORDER_PX), ylim=(rows - BORDER_PX, BORDER_PX))
    x0, y0, x1, y1 = PART
    room = diameter / 2
    right.set(xlim=(x0 - room, x1 + room), ylim=(y1 + room, y0 - room))
    seen = Area((x0 - room, y0 - room, x1 + room, y1 + room))
    picks, truth = (each.select(seen.holds(each.x, each.y)) for each in (picks, truth))
    rings = judged(picks, truth, diameter=diameter, area=Area(PART))
    draw_rings(right, rings, diameter, "picks in a part of one that cryofix had not seen")
    without_ticks((left, right))
    save(figure, options.output, dpi=80)


if __name__ == "__main__":
    main()
