"""The LightningDataModule: micrographs in, endless labelled and unlabelled batches out."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated as Noted
from typing import Any, TypeVar

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

from cryofix.checking import KeywordsOf
from cryofix.data.augment import Cutout, Geometry
from cryofix.data.batches import StepBatches, batched, seed_worker
from cryofix.data.blocks import Blocks
from cryofix.data.labelling import Labelling
from cryofix.data.origin import Files, simulated_files
from cryofix.data.parts import Parts
from cryofix.data.preprocess import Preprocessing
from cryofix.data.scaling import Scaling
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.data.sources import Dataset, load_dataset, load_masked
from cryofix.data.split import Split, Splitting
from cryofix.data.tiles import LABELLED, UNLABELLED, Annotated, TileStream
from cryofix.data.tiling import Tiling
from cryofix.data.twins import check_twins
from cryofix.errors import CryofixError
from cryofix.files import write_json

T = TypeVar("T")

SETTINGS = KeywordsOf(
    "cryofix.data.origin.Files",
    "cryofix.data.scaling.Scaling",
    "cryofix.data.preprocess.Preprocessing",
    "cryofix.data.split.Splitting",
    "cryofix.data.labelling.Labelling",
    "cryofix.data.tiling.Tiling",
)
"""Records whose fields are keys of the data module, all side by side in the YAML file."""


def no_progress(title: str, total: int) -> Callable[[], None]:
    """Stand in for a progress display: ``title`` and ``total`` in, a function to call per item."""
    return lambda: None


class CryoDataModule(LightningDataModule):
    """Micrographs, coordinates, splits and tiles of one run.

    Raises CryofixError when a setting makes no sense.

    Parameters
    ----------
    cache
        Folder of preprocessed arrays and simulated data sets.
    simulate
        Settings of the data set to simulate, once, into ``cache``, instead of reading files.
    geometry, cutout
        Random changes of tiles.
    progress
        A progress display.
    settings
        Fields of the records in ``SETTINGS``.
    """

    def __init__(
        self,
        *,
        cache: str,
        simulate: Noted[
            Mapping[str, Any] | None,
            KeywordsOf("cryofix.data.simulation.parameters.SimulatorConfig"),
        ] = None,
        geometry: Noted[
            Mapping[str, Any] | None, KeywordsOf("cryofix.data.augment.Geometry")
        ] = None,
        cutout: Noted[Mapping[str, Any] | None, KeywordsOf("cryofix.data.augment.Cutout")] = None,
        progress: Callable[[str, int], Callable[[], None]] = no_progress,
        **settings: Noted[Any, SETTINGS],
    ) -> None:
        super().__init__()
        self.files = _take(Files, settings)
        self.scaling = _take(Scaling, settings)
        self.preprocessing = _take(Preprocessing, settings)
        self.splitting = _take(Splitting, settings)
        self.labelling = _take(Labelling, settings)
        if self.labelling.labels == "partial":  # no pick could be called wrong
            self.splitting = replace(self.splitting, test=0)
        self.tiling = _take(Tiling, settings)
        if self.labelling.partial and self.tiling.centred_share == 1:
            raise CryofixError(
                "data.centred_share=1 leaves no tile whose place does not depend on particles, and"
                " partial labels need some to learn what background is: lower it"
            )
        if settings:
            raise TypeError(f"CryoDataModule takes no keyword {', '.join(settings)}")
        if simulate is not None and self.files.named:
            raise CryofixError(
                "data.simulate makes micrographs, and files are given as well: leave "
                "out data.simulate, or data.root, images, coordinates, ignored, masks, "
                "format and y_origin"
            )
        try:
            self.simulate = None if simulate is None else SimulatorConfig(**simulate)
        except CryofixError as error:  # which begins with the key
            raise CryofixError(f"data.simulate.{error}") from None
        self.cache = Path(cache).expanduser()
        self.geometry, self.cutout = Geometry(**(geometry or {})), Cutout(**(cutout or {}))
        self.progress = progress
        self.first_step = 0  # of the stage; the trainer counts from 0 in each
        self.with_unlabelled = True
        self._loaded: Parts | None = None

    def setup(self, stage: str | None = None) -> None:
        """Simulate if asked to, preprocess what is not cached, and split. Idempotent."""
        if self._loaded is not None:
            return
        if self.simulate is not None:
            self.files = simulated_files(self.simulate, self.files, self.cache, self.progress)
        places: dict[str, Any] = {
            "cache": self.cache,
            "start": lambda total: self.progress("preprocessing", total),
        }
        how = (self.files, self.scaling, self.preprocessing)
        if self.files.masks is not None:
            dataset = load_masked(*how, **places)
        else:
            dataset = load_dataset(*how, check_fit=self.simulate is None, **places)
        check_twins(dataset.annotated)
        known = [name for name, one in dataset.annotated.items() if one.labelled]
        without = sorted(set(dataset.annotated) - set(known))
        split = self.splitting.split(known, without)
        dataset = replace(dataset, annotated=self.labelling.known(dataset.annotated))
        self._loaded = Parts(dataset, split, self.splitting, self.labelling, self.tiling.tile_px)

    @property
    def _parts(self) -> Parts:
        self.setup()
        assert self._loaded is not None
        return self._loaded

    @property
    def dataset(self) -> Dataset:
        """All micrographs, after :meth:`setup`."""
        return self._parts.dataset

    @property
    def split(self) -> Split:
        """Which micrograph is in which part, after :meth:`setup`."""
        return self._parts.split

    @property
    def has_particles(self) -> bool:
        """Whether particles are to be found, and not what masks say."""
        return self.files.masks is None

    @property
    def radius_px(self) -> float:
        """Radius of target discs in network pixels; 0 where there are no particles."""
        return self.tiling.radius_fraction * self.dataset.particle_radius_px

    @property
    def blocks(self) -> dict[str, Blocks]:
        """Blocks of labelled micrographs that are validated on, by name, after :meth:`setup`."""
        return self._parts.blocks

    @property
    def scored_partially(self) -> bool:
        """Whether there may be particles without a label where validation is."""
        return self._parts.scored_partially

    def to_count_in(self, most: int, *parts: str) -> list[Annotated]:
        """Return at most so many micrographs of each part, evenly spaced, with their blocks."""
        return self._parts.to_count_in(most, *parts)

    def part(self, name: str) -> list[Annotated]:
        """Return the micrographs of ``test``, ``validation``, ``labelled`` or ``unlabelled``."""
        return self._parts.part(name)

    def maps(self, annotated: Annotated) -> tuple[np.ndarray, np.ndarray]:
        """Return the target and validity maps of a whole micrograph."""
        return annotated.maps(self.radius_px, self.dataset.particle_radius_px)

    def prior_per_micrograph(self, part: str = "labelled") -> list[float]:
        """Return the share of particle pixels among the valid ones of each micrograph of a part."""
        maps = map(self.maps, self.part(part))
        return [float(target[valid].mean()) for target, valid in maps if valid.any()]

    def write_split(self, path: Path) -> None:
        """Write ``splits.json``."""
        write_json(path, self._parts.as_dict())

    def labels_digest(self) -> str:
        """Return a digest of the labels that teach and of what is kept from teaching."""
        return self._parts.labels_digest()

    def stream(self, name: str) -> TileStream:
        """Return the endless tiles of ``labelled`` or ``unlabelled`` micrographs."""
        labelled = name == "labelled"
        micrographs = self.part(name) if labelled else self._parts.to_look_at()
        return TileStream(
            micrographs,
            seed=self.tiling.seed,
            stream=LABELLED if labelled else UNLABELLED,
            tile_px=self.tiling.tile_px,
            radius_px=self.radius_px,
            ignore_radius_px=self.dataset.particle_radius_px,
            geometry=self.geometry,
            cutout=None if labelled else self.cutout,
            centred_share=self.tiling.centred_share if labelled else 0.0,
            strong_views=1 if labelled else self.tiling.strong_views,
        )

    def train_dataloader(self) -> CombinedLoader:
        """Return the endless batches of this rank from the trainer's step on."""
        tiling, step = self.tiling, self.first_step
        if self.trainer:
            step += self.trainer.global_step
        sizes = {"labelled": tiling.batch_labelled}
        if self.with_unlabelled:
            sizes["unlabelled"] = tiling.batch_unlabelled
        loaders = {
            name: DataLoader(
                self.stream(name),
                batch_sampler=StepBatches(size, step, *self._rank()),
                collate_fn=batched,
                num_workers=tiling.workers,
                worker_init_fn=seed_worker,
                pin_memory=torch.cuda.is_available(),
                prefetch_factor=4 if tiling.workers else None,
            )
            for name, size in sizes.items()
        }
        return CombinedLoader(loaders, mode="min_size")

    def val_dataloader(self) -> DataLoader[int]:
        """Return the indices of this rank's validation micrographs, one at a time.

        Ranks have equally many, for they keep step with each other; so some are seen twice.
        """
        rank, world_size = self._rank()
        count = len(self.part("validation"))
        mine = [i % count for i in range(rank, -(-count // world_size) * world_size, world_size)]
        return DataLoader(mine, batch_size=None)  # type: ignore[arg-type] # a list is a map-style data set

    def _rank(self) -> tuple[int, int]:
        """Return the rank of this process and the world size."""
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)


def _take(record: type[T], settings: dict[str, Any]) -> T:
    """Make a record of its fields among ``settings``, which are taken out."""
    names = (field.name for field in fields(record))  # type: ignore[arg-type] # a dataclass
    return record(**{name: settings.pop(name) for name in names if name in settings})
