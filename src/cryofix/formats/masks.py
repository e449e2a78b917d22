"""Masks: images that say of each pixel which class it is of."""

import glob
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError
from cryofix.formats.micrograph import errors_name
from cryofix.formats.names import image_stem
from cryofix.formats.npy import read_npy_header
from cryofix.formats.pictures import read_labels, read_tiff_pixels

SUFFIXES = (".png", ".tif", ".tiff", ".npy")


def find_masks(where: str) -> dict[str, Path]:
    """Return the masks of a folder (not its subfolders) or a pattern, by the names of their images.

    Raises CryofixError if there is none, or two have one name.
    """
    folder = Path(where)
    # pathlib's own glob takes no absolute patterns
    paths = folder.iterdir() if folder.is_dir() else map(Path, glob.iglob(where))  # noqa: PTH207
    masks: dict[str, Path] = {}
    for path in sorted(path for path in paths if path.suffix.lower() in SUFFIXES):
        if path.name.startswith("."):
            continue
        name = image_stem(path.stem if path.suffix.lower() == ".npy" else path)
        if name in masks:
            raise CryofixError(
                f"{masks[name]} and {path} are both the mask of '{name}': leave out one of them"
            )
        masks[name] = path
    if not masks:
        raise CryofixError(
            f"data.masks={where} holds no mask: give a folder or a quoted pattern of files that"
            f" have the names of the images and end in {', '.join(SUFFIXES)}"
        )
    return masks


def read_mask(path: Path, value: int | None) -> NDArray[np.bool_]:
    """Return where the class is, (rows, columns): where the file is ``value``, or not 0 if None.

    Palettes are read as numbers of classes. Of colours, black is 0.

    Raises CryofixError, naming the file, if it is not one image of numbers.
    """
    with errors_name(path):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                if read_npy_header(file, path.stat().st_size).dtype.kind not in "biuf":
                    raise CryofixError(f"{path} holds no numbers: give an array of classes")
            stored = np.load(path, allow_pickle=False).squeeze()
        elif path.suffix.lower() == ".png":
            stored = read_labels(path)
        else:
            stored = read_tiff_pixels(path)
    if stored.ndim == 3 and stored.shape[-1] in (2, 3, 4):  # the last of two or four is opacity
        stored = stored[..., : 1 if stored.shape[-1] == 2 else 3]
        if value is not None and (stored != stored[..., :1]).any():
            raise CryofixError(
                f"{path} is a mask in colours, and data.mask_value={value} needs "
                "numbers: save it with a number for each class"
            )
        stored = stored.max(axis=-1)
    if stored.ndim != 2:
        raise CryofixError(f"{path} has shape {stored.shape}: give a mask of (rows, columns)")
    found: NDArray[np.bool_] = stored != 0 if value is None else stored == value
    return found
