"""How tiles are drawn, and how many of them make a step."""

from dataclasses import dataclass

from cryofix.errors import check_ranges


@dataclass(frozen=True)
class Tiling:
    """How tiles are cut from micrographs and batched."""

    seed: int
    """Of the draws of tiles."""
    radius_fraction: float = 0.5
    """Radius of the discs to be predicted, relative to the particle's."""
    tile_px: int = 96
    """Side of a tile, in network pixels."""
    batch_labelled: int = 8
    batch_unlabelled: int = 8
    """Tiles of a step, over all ranks."""
    centred_share: float = 0.5
    """Share of labelled tiles that have a particle near their middle."""
    strong_views: int = 1
    """How many strong views of an unlabelled tile there are."""
    workers: int = 0
    """Loader processes; 0 loads in the training process."""

    def __post_init__(self) -> None:
        check_ranges(self, seed=(0, 2**32 - 1))
        check_ranges(
            self,
            "data.",
            radius_fraction=(0.05, 2),
            tile_px=(32, 4096),
            batch_labelled=(1, 4096),
            batch_unlabelled=(1, 4096),
            centred_share=(0, 1),
            strong_views=(1, 16),
            workers=(0, 1024),
        )
