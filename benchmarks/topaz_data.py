"""EMPIAR-10017 at the size that Topaz wants, for both programs alike."""

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from cryofix.config import config_folder
from cryofix.data.preprocess import cropped_shape, fourier_crop
from cryofix.formats import (
    find_micrographs,
    index_micrographs,
    read_coordinates,
    read_micrograph,
    write_coordinates,
    write_mrc,
)

BINNING = 4


def composed(overrides: Sequence[str]) -> DictConfig:
    """Return the configuration of `cryofix.train` on this data set."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("train", ["data=empiar10017", "names={}", "output=none", *overrides])


def binned_data_set(root: Path, folder: Path, overrides: Sequence[str]) -> list[str]:
    """Write micrographs and labels at a quarter of their size.

    Parameters
    ----------
    root
        The data set as it is.
    folder
        Where to write; what is complete stays.
    overrides
        Of `cryofix.train`, in pixels of the full size.

    Returns
    -------
    Overrides for the smaller data set.
    """
    full = composed([f"data.root={root}", *overrides]).data
    pixel_size = BINNING * full.pixel_size_angstrom
    if not (folder / full.coordinates).exists():
        images = index_micrographs(find_micrographs(root / full.images))
        labels = read_coordinates(root / full.coordinates, images, y_origin=full.y_origin)
        for name, info in images.items():
            image = read_micrograph(info.path).data
            small = fourier_crop(image, cropped_shape(info.shape, 1 / BINNING))
            write_mrc(folder / full.images / f"{name}.mrc", small, pixel_size)
        write_coordinates(
            folder / "unfinished",
            {name: each.scaled(1 / BINNING) for name, each in labels.items()},
            index_micrographs(find_micrographs(folder / full.images)),
            format="cryoppp",
            y_origin=full.y_origin,
        )
        (folder / "unfinished").rename(folder / full.coordinates)
    scaled = (
        f"data.pixel_size_angstrom={pixel_size}",
        f"data.border_px={full.border_px / BINNING}",
    )
    return [f"data.root={folder}", *scaled, *overrides]
