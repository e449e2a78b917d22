"""Views of unlabelled tiles: what the student sees, and what it has to reproduce on each.

Every draw depends on (seed, stream, index of the tile) alone, as the intensities do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryofix.data.intensity import change_intensity, sample_generator
from cryofix.errors import CryofixError
from cryofix.learning.settings import CutMix, Views
from cryofix.masking import MaskingPolicy, PseudoLabels

# Streams of random numbers; 13 is that of torch's global generator. One for each strong view.
LABELLED_VIEW, WEAK_VIEW = 10, 11
STRONG_VIEWS, CUTS, FEATURES = (12, 14), (15, 16), (17, 18)
FEATURES_OF_WEAK_VIEW, HIDDEN_PIXELS = 19, 20


@dataclass(frozen=True)
class StudentView:
    """One view of the unlabelled tiles, and what the student has to reproduce on it."""

    image: Tensor
    """What the student sees, (batch, 1, height, width)."""
    maps: Mapping[str, Tensor]
    """``valid``, ``visible`` (False where the cutout mask hides the tile), ``known`` and ``target``
    of the batch, bool or float, same shape."""
    prob: Tensor
    """Teacher's p, same shape."""
    pseudo: PseudoLabels
    """What the policy made of it."""
    share: float = 1.0
    """Share of the unlabelled loss; the shares of all views add up to 1."""
    dropout: Sequence[Sequence[int]] | None = None
    """What each tile's draw of hidden features depends on; None hides none."""

    def cutmix(self, box: Tensor) -> "StudentView":
        """Return this view with the pixels in ``box`` taken from each tile's partner."""
        target, weight = (exchanged(each, box) for each in (self.pseudo.target, self.pseudo.weight))
        return replace(
            self,
            image=exchanged(self.image, box),
            maps={key: exchanged(value, box) for key, value in self.maps.items()},
            prob=exchanged(self.prob, box),
            pseudo=replace(self.pseudo, target=target, weight=weight),
        )


def student_views(
    batch: Mapping[str, Any],
    weak: Tensor,
    prob: Tensor,
    pseudo: PseudoLabels,
    views: Views,
    seed: int,
) -> list[StudentView]:
    """Return the strong views of a batch, then the weak one without some features if wanted.

    Parameters
    ----------
    batch
        Unlabelled tiles; ``visible`` has one map for each strong view.
    weak
        Their weak view.
    prob, pseudo
        What teacher and policy made of that.
    """
    indices = batch["index"]
    drops = views.feature_dropout.share > 0
    own = drops and views.feature_dropout.view == "own"
    maps = {key: batch[key] for key in ("valid", "known", "target")}

    def keys(stream: int) -> list[tuple[int, int, int]]:
        return [(seed, stream, index) for index in indices]

    result = []
    for number in range(views.strong_views):
        visible = batch["visible"][:, number : number + 1]
        strong = change_intensity(batch["image"], views.strong, seed, STRONG_VIEWS[number], indices)
        view = StudentView(
            strong * visible,
            {**maps, "visible": visible},
            prob,
            pseudo,
            share=(0.5 if own else 1.0) / views.strong_views,
            dropout=keys(FEATURES[number]) if drops and not own else None,
        )
        if views.cutmix.probability > 0:
            view = view.cutmix(cutmix_boxes(views.cutmix, batch, seed, CUTS[number]))
        result.append(view)
    if own:
        maps["visible"] = torch.ones_like(batch["valid"])
        dropout = keys(FEATURES_OF_WEAK_VIEW)
        result.append(StudentView(weak, maps, prob, pseudo, share=0.5, dropout=dropout))
    return result


def exchanged(maps: Tensor, box: Tensor) -> Tensor:
    """Return ``maps`` with the pixels in ``box`` taken from each tile's partner."""
    return torch.where(box, _partners(maps), maps)


def cutmix_boxes(cutmix: CutMix, batch: Mapping[str, Any], seed: int, stream: int) -> Tensor:
    """Return where each tile shows its partner, bool (batch, 1, height, width).

    CutMix (Yun et al. 2019), for segmentation French et al. 2020; boxes have the proportions of the
    tile and lie inside it. A partner of the same micrograph changes nothing.
    """
    image: Tensor = batch["image"]
    micrographs: Tensor = batch["micrograph"]
    height, width = image.shape[-2:]
    drawn = np.stack(
        [sample_generator(seed, stream, index).uniform(size=4) for index in batch["index"]]
    )
    area = cutmix.area_min + (cutmix.area_max - cutmix.area_min) * drawn[:, 1]
    area = np.where(drawn[:, 0] < cutmix.probability, area, 0)
    inside = _inside(height, area, drawn[:, 2], image.device)[:, :, None]
    inside = inside & _inside(width, area, drawn[:, 3], image.device)[:, None, :]
    others = micrographs != _partners(micrographs)
    return inside[:, None] & others[:, None, None, None]


def _partners(tiles: Tensor) -> Tensor:
    """Return the other tile of each pair: 0 and 1, 2 and 3, however many processes share them."""
    return tiles.reshape(-1, 2, *tiles.shape[1:]).flip(1).reshape(tiles.shape)


def _inside(length: int, area: Any, place: Any, device: torch.device) -> Tensor:
    """Return the rows, or columns, of each tile's box, (batch, length)."""
    side = np.round(np.sqrt(area) * length)
    first = np.floor(place * (length - side + 1))
    start, end = (
        torch.from_numpy(each).to(device, non_blocking=True)[:, None]
        for each in (first, first + side)
    )
    position = torch.arange(length, device=device)
    return (position >= start) & (position < end)


def check_labels(policy: MaskingPolicy, data: Mapping[str, Any], partial: bool) -> None:
    """Refuse a mask that needs labelled pixels which training does not have.

    Raises CryofixError: ``data``, the keys of the data set, centres all labelled tiles, or labels
    are ``partial`` and the mask looks at background.
    """
    if policy.uses_labels and data["centred_share"] == 1:
        raise CryofixError(
            f"data.centred_share=1 leaves mask={policy.name} no labelled tile whose place does not"
            " depend on particles: lower it, or take another mask"
        )
    if policy.uses_background and partial:
        raise CryofixError(
            f"mask={policy.name} compares labelled particles with labelled background, which"
            " partial labels do not know: take another mask, such as quota"
        )


def check_pairs(config: Mapping[str, Any], processes: int) -> None:
    """Refuse CutMix where a process has no pairs of tiles.

    Raises CryofixError with the batch size to give.
    """
    batch = config["data"]["batch_unlabelled"]
    if config["augment"]["cutmix"]["probability"] > 0 and batch % (2 * processes):
        raise CryofixError(
            f"data.batch_unlabelled={batch} does not come in pairs, which CutMix mixes: give a"
            f" multiple of {2 * processes}, or augment.cutmix.probability=0"
        )
