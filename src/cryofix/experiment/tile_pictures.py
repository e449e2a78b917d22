"""Pictures for TensorBoard, as arrays: drawn after every validation, so they have to be quick."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cryofix.diagnosis.overlay import Overlay, grey
from cryofix.learning.evaluation import Prediction
from cryofix.metrics.bins import FloatArray

NOT_SCORED = 0.35  # level of grey in the map of the truth


def micrograph_and_truth(prediction: Prediction) -> FloatArray:
    """Return both side by side, (rows, 2 x columns, 3) in [0, 1]."""
    truth = np.where(prediction.valid, prediction.target, NOT_SCORED).astype(np.float32)
    return np.concatenate([grey(prediction.annotated.read()), grey(truth, 0, 1)], axis=1)


def with_legend(overlay: Overlay) -> NDArray[np.uint8]:
    """Return an overlay with its legend below, (rows and more, columns, 3)."""
    painted = (255 * overlay.painted).round().astype(np.uint8)
    rows, columns, _ = painted.shape
    size = max(11, columns // 22)  # of the letters: to be read when the picture is scaled down
    font = ImageFont.load_default(size)
    places: list[tuple[float, float]] = []
    x, y = size / 2, size / 2
    for entry in overlay.legend:
        width = 2.5 * size + font.getlength(entry.text())
        if x + width > columns and places:
            x, y = size / 2, y + 1.6 * size
        places.append((x, rows + y))
        x += width
    picture = Image.new("RGB", (columns, rows + round(y + 1.8 * size)), "white")
    picture.paste(Image.fromarray(painted), (0, 0))
    draw = ImageDraw.Draw(picture)
    for entry, (left, top) in zip(overlay.legend, places, strict=True):
        draw.rectangle((left, top, left + size, top + size), fill=entry.colour)
        draw.text((left + 1.5 * size, top + size / 2), entry.text(), "black", font, anchor="lm")
    return np.asarray(picture)
