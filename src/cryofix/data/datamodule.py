"""The LightningDataModule: micrographs in, endless labelled and unlabelled batches out."""

import hashlib
import json
import logging
import random
import signal
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

from cryofix.checking import KeywordsOf
from cryofix.data.augment import Cutout, Geometry
from cryofix.data.preprocess import Preprocessing
from cryofix.data.scaling import KnownDiameter, Scaling
from cryofix.data.simulator import SimulatorConfig, is_complete, write_dataset
from cryofix.data.sources import Dataset, load_dataset
from cryofix.data.split import Split, draw_window, split_micrographs
from cryofix.data.tiles import LABELLED, UNLABELLED, Annotated, StepBatches, TileStream, batched
from cryofix.data.twins import check_twins
from cryofix.errors import CryofixError, check_range
from cryofix.files import write_json
from cryofix.formats.option_keys import CommandKeys
from cryofix.processes import cores_at_hand

log = logging.getLogger(__name__)

RANGES = {
    "pixel_size_angstrom": (0.01, 1000),
    "border_px": (0, 1e5),
    "limit": (1, 1e9),
    "split_seed": (0, 2**32 - 1),
    "label_draw": (0, 2**32 - 1),
    "seed": (0, 2**32 - 1),
    "radius_fraction": (0.05, 2),
    "tile_px": (32, 4096),
    "batch_labelled": (1, 4096),
    "batch_unlabelled": (1, 4096),
    "centred_share": (0, 1),
    "strong_views": (1, 16),
    "workers": (0, 1024),
}
"""What numbers may be, both ends included; what others may be is checked by those who take them."""
TOP_LEVEL = ("seed", "split_seed", "label_draw")
"""Keys that training gives at the top of its configuration, and the data set takes from there."""


def no_progress(title: str, total: int) -> Callable[[], None]:
    """Stand in for a progress display: ``title`` and ``total`` in, a function to call per item."""
    return lambda: None


class CryoDataModule(LightningDataModule):
    """Micrographs, coordinates, splits and tiles of one run.

    Parameters
    ----------
    root, images, coordinates, ignored
        Where micrographs, labelled particles and particles to ignore are; the others are relative
        to ``root`` where it is given.
    format, y_origin, allow_empty, outside
        See :func:`~cryofix.formats.read_coordinates`.
    read
        Options of the format that are not None, as for that function.
    simulate
        Keywords of :class:`~cryofix.data.simulator.SimulatorConfig`: simulate the data set, once,
        into ``cache``, instead of reading ``images``.
    ratio, split_seed, label_draw, test, validation, never_scored
        See :func:`~cryofix.data.split.split_micrographs`.
    particle_px, target_size, diameter_px, diameter_angstrom, particle_radius
        See :class:`~cryofix.data.scaling.Scaling`.
    highpass_diameters, clip_sigma
        See :class:`~cryofix.data.preprocess.Preprocessing`.
    radius_fraction
        Radius of the discs to be predicted, relative to the particle's.
    labelled_area
        Share, in (0, 1], of each labelled micrograph that has labels: a window drawn from
        ``split_seed`` and ``label_draw``. What is outside counts for neither side.
    seed
        Of the draws of tiles.
    batch_labelled, batch_unlabelled
        Tiles of a step, over all ranks.
    geometry, cutout
        Keywords of :class:`~cryofix.data.augment.Geometry` and ``Cutout``.
    strong_views
        How many strong views of an unlabelled tile there are.
    of_model
        What a trained network that is shown the micrographs knows of its particles' diameter.
    workers
        Loader processes; 0 loads in the training process.

    The other parameters are those of :func:`~cryofix.data.sources.load_dataset`.
    """

    def __init__(
        self,
        *,
        cache: str,
        ratio: float,
        seed: int,
        root: str | None = None,
        images: str | None = None,
        coordinates: str | None = None,
        ignored: str | None = None,
        format: str | None = None,
        y_origin: str | None = None,
        allow_empty: bool = False,
        outside: str = "error",
        read: typing.Annotated[Mapping[str, Any] | None, KeywordsOf("cryofix.keys.Read")] = None,
        simulate: typing.Annotated[
            Mapping[str, Any] | None, KeywordsOf("cryofix.data.simulator.SimulatorConfig")
        ] = None,
        split_seed: int = 0,
        label_draw: int = 0,
        labelled_area: float = 1.0,
        particle_px: float = 24.0,
        target_size: int | None = None,
        diameter_px: float | None = None,
        diameter_angstrom: float | None = None,
        particle_radius: float | None = None,
        highpass_diameters: float = 4.0,
        clip_sigma: float = 6.0,
        pixel_size_angstrom: float | None = None,
        border_px: float = 0.0,
        limit: int | None = None,
        test: float = 0.2,
        validation: float = 0.1,
        never_scored: tuple[str, ...] = (),
        radius_fraction: float = 0.5,
        tile_px: int = 128,
        batch_labelled: int = 8,
        batch_unlabelled: int = 8,
        centred_share: float = 0.5,
        geometry: typing.Annotated[
            Mapping[str, Any] | None, KeywordsOf("cryofix.data.augment.Geometry")
        ] = None,
        cutout: typing.Annotated[
            Mapping[str, Any] | None, KeywordsOf("cryofix.data.augment.Cutout")
        ] = None,
        strong_views: int = 1,
        workers: int = 0,
        of_model: KnownDiameter | None = None,
        progress: Callable[[str, int], Callable[[], None]] = no_progress,
    ) -> None:
        super().__init__()
        values = locals()
        for key, bounds in RANGES.items():
            check_range(key if key in TOP_LEVEL else f"data.{key}", values[key], *bounds)
        self.sources = tuple(_under(root, where) for where in (images, coordinates, ignored))
        self.coordinate_options = {
            "format": format,
            "y_origin": y_origin,
            "allow_empty": allow_empty or simulate is not None,  # their labels are the truth
            "outside": outside,
            "keys": CommandKeys("data.read.", "data."),
            **{option: value for option, value in (read or {}).items() if value is not None},
        }
        of_files = (root, images, coordinates, ignored, format, y_origin)
        if simulate is not None and any(each is not None for each in of_files):
            raise CryofixError(
                "data.simulate makes micrographs, and files are named beside it: leave out"
                " data.simulate, or data.root, images, coordinates, ignored, format and y_origin"
            )
        try:
            self.simulate = None if simulate is None else SimulatorConfig(**simulate)
        except CryofixError as error:  # which begins with the key
            raise CryofixError(f"data.simulate.{error}") from None
        self.scaling = Scaling(
            particle_px, target_size, diameter_px, diameter_angstrom, particle_radius, of_model
        )
        self.preprocessing = Preprocessing(highpass_diameters, clip_sigma)
        self.pixel_size_angstrom, self.border_px, self.limit = pixel_size_angstrom, border_px, limit
        self.cache = Path(cache).expanduser()
        self.split_options: dict[str, Any] = {
            "ratio": ratio,
            "test": test,
            "validation": validation,
            "split_seed": split_seed,
            "label_draw": label_draw,
            "never_scored": tuple(never_scored),
        }
        if not 0 < labelled_area <= 1:
            raise CryofixError(
                f"data.labelled_area={labelled_area} is not a share of a micrograph: give a number"
                " above 0 and at most 1"
            )
        self.labelled_area = labelled_area
        self.seed = seed
        self.radius_fraction = radius_fraction
        self.tile_px = tile_px
        self.batch_labelled, self.batch_unlabelled = batch_labelled, batch_unlabelled
        self.centred_share = centred_share
        self.geometry, self.cutout = Geometry(**(geometry or {})), Cutout(**(cutout or {}))
        self.strong_views = strong_views
        self.workers = workers
        self.progress = progress
        self.first_step = 0  # of the stage; the trainer counts from 0 in each
        self.with_unlabelled = True
        self._loaded: tuple[Dataset, Split] | None = None

    def setup(self, stage: str | None = None) -> None:
        """Simulate if asked to, preprocess what is not cached, and split. Idempotent."""
        if self._loaded is not None:
            return
        if self.simulate is not None:
            self.sources = self._simulated(self.simulate)
        images, coordinates, ignored = self.sources
        if images is None:
            raise CryofixError(
                "data.images is missing: give a folder, a file or a pattern of micrographs"
            )
        dataset = load_dataset(
            images=images,
            coordinates=coordinates,
            ignored=ignored,
            coordinate_options=self.coordinate_options,
            scaling=self.scaling,
            preprocessing=self.preprocessing,
            border_px=self.border_px,
            limit=self.limit,
            pixel_size_angstrom=self.pixel_size_angstrom,
            check_fit=self.simulate is None,
            cache=self.cache,
            start=lambda total: self.progress("preprocessing", total),
        )
        check_twins(dataset.annotated)
        known = [name for name, part in dataset.annotated.items() if part.particles is not None]
        without = sorted(set(dataset.annotated) - set(known))
        self._loaded = dataset, split_micrographs(known, without, **self.split_options)

    def _simulated(self, config: SimulatorConfig) -> tuple[str, ...]:
        """Return where the simulated data set is, written unless it is complete."""
        if self.limit is not None and self.limit < config.micrographs:
            log.warning(
                "data.limit=%d: %d of %d micrographs are simulated",
                *(self.limit, self.limit, config.micrographs),
            )
            config = replace(config, micrographs=self.limit)
        text = json.dumps(asdict(config), sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        folder = self.cache / "simulated" / key
        if not is_complete(config, folder):
            tick = self.progress("simulating", config.micrographs)
            write_dataset(
                config, folder, workers=cores_at_hand(), progress=lambda done, total: tick()
            )
        truth = folder / "ground_truth"
        parts = (
            folder / "micrographs",
            truth / "particle_coordinates",
            truth / "ignore_coordinates",
        )
        return tuple(str(part) for part in parts)

    @property
    def dataset(self) -> Dataset:
        """All micrographs, after :meth:`setup`."""
        self.setup()
        assert self._loaded is not None
        return self._loaded[0]

    @property
    def split(self) -> Split:
        """Which micrograph is in which part, after :meth:`setup`."""
        self.setup()
        assert self._loaded is not None
        return self._loaded[1]

    @property
    def radius_px(self) -> float:
        """Radius of target discs in network pixels."""
        return self.radius_fraction * self.dataset.particle_px / 2

    @property
    def ignore_radius_px(self) -> float:
        """Radius around an ignored particle in which nothing is known, in network pixels."""
        return self.dataset.particle_px / 2

    def part(self, name: str) -> list[Annotated]:
        """Return the micrographs of ``test``, ``validation``, ``labelled`` or ``unlabelled``."""
        micrographs = self._whole(name)
        if name != "labelled" or self.labelled_area == 1:
            return micrographs
        split_seed, label_draw = (self.split_options[key] for key in ("split_seed", "label_draw"))
        windows = (
            draw_window(part.interior, self.labelled_area, [split_seed, 2, label_draw, number])
            for number, part in enumerate(micrographs)
        )
        return [part.within(window) for part, window in zip(micrographs, windows, strict=True)]

    def _whole(self, name: str) -> list[Annotated]:
        """Return the micrographs of a part with all labels that there are."""
        return [self.dataset.annotated[key] for key in getattr(self.split, name)]

    def maps(self, annotated: Annotated) -> tuple[np.ndarray, np.ndarray]:
        """Return the target and validity maps of a whole micrograph."""
        return annotated.maps(self.radius_px, self.ignore_radius_px)

    def prior_per_micrograph(self, part: str = "labelled") -> list[float]:
        """Return the share of particle pixels among the valid ones of each micrograph of a part."""
        maps = (self.maps(annotated) for annotated in self.part(part))
        return [float(target[valid].mean()) for target, valid in maps if valid.any()]

    def write_split(self, path: Path) -> None:
        """Write ``splits.json``."""
        options = {**self.split_options, "labelled_area": self.labelled_area}
        write_json(path, asdict(self.split) | {"options": options})

    def stream(self, name: str) -> TileStream:
        """Return the endless tiles of ``labelled`` or ``unlabelled`` micrographs."""
        micrographs = self.part(name)
        if name == "unlabelled" and not micrographs:
            micrographs = self._whole("labelled")  # ratio=1: nothing else is left to look at
        return TileStream(
            micrographs,
            seed=self.seed,
            stream=LABELLED if name == "labelled" else UNLABELLED,
            tile_px=self.tile_px,
            radius_px=self.radius_px,
            ignore_radius_px=self.ignore_radius_px,
            geometry=self.geometry,
            cutout=self.cutout if name == "unlabelled" else None,
            centred_share=self.centred_share if name == "labelled" else 0.0,
            strong_views=self.strong_views if name == "unlabelled" else 1,
        )

    def train_dataloader(self) -> CombinedLoader:
        """Return the endless batches of this rank from the trainer's step on."""
        trainer = self.trainer
        step = self.first_step
        if trainer:
            step = (step + trainer.global_step) * trainer.accumulate_grad_batches
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        sizes = {"labelled": self.batch_labelled}
        if self.with_unlabelled:
            sizes["unlabelled"] = self.batch_unlabelled
        loaders = {
            name: DataLoader(
                self.stream(name),
                batch_sampler=StepBatches(size, step, rank, ranks),
                collate_fn=batched,
                num_workers=self.workers,
                worker_init_fn=_seed_worker,
                pin_memory=torch.cuda.is_available(),
                prefetch_factor=4 if self.workers else None,
            )
            for name, size in sizes.items()
        }
        return CombinedLoader(loaders, mode="min_size")

    def val_dataloader(self) -> DataLoader[int]:
        """Return the indices of this rank's validation micrographs, one at a time.

        Ranks have equally many, for they keep step with each other; so some are seen twice.
        """
        trainer = self.trainer
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        count = len(self.split.validation)
        mine = [index % count for index in range(rank, -(-count // ranks) * ranks, ranks)]
        return DataLoader(mine, batch_size=None)  # type: ignore[arg-type] # a list is a map-style data set


def _under(root: str | None, where: str | None) -> str | None:
    """Return ``where`` below ``root``, both with ``~`` expanded."""
    if where is None:
        return None
    return str((Path(root or "") / where).expanduser())


def _seed_worker(worker: int) -> None:
    """Seed what a transform might use besides its own generator, from the loader's seed.

    Requests to stop, which schedulers and terminals send to all processes, are left to the training
    process: its running step needs the worker's batches.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
    torch.set_num_threads(1)
