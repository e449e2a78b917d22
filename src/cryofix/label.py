"""``python -m cryofix.label``: a page on which a person labels particles."""

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cryofix.config import entry_point, to_plain
from cryofix.errors import CryofixError, check_range
from cryofix.files import locked
from cryofix.formats import MicrographInfo, Particles, find_micrographs, index_micrographs

if TYPE_CHECKING:
    from bokeh.document import Document

    from cryofix.labels.label_files import Labels
    from cryofix.labels.label_pictures import Picture

FLOOR = 0.05  # of the scores of picks


@entry_point("label")
def main(config: DictConfig) -> float:
    """Serve the page until Ctrl-C; return the number of particles that are labelled then."""
    try:
        import bokeh  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise CryofixError(
            "cryofix.label needs bokeh: pip install '.[label]' in the clone"
        ) from error
    keys = to_plain(config)
    folder = Path(HydraConfig.get().runtime.output_dir).absolute()
    try:
        with locked(folder / "label.lock", timeout_s=0):
            labels = label(keys, folder)
    except Timeout:
        raise CryofixError(
            f"output={folder} is in use by another cryofix.label: use its page, or give another"
        ) from None
    total, micrographs = labels.counts()
    print(f"\n{total} particles, labelled micrographs: {micrographs}, in {folder}")
    if total:
        where = keys["micrographs"]
        images = f"data.images={where if isinstance(where, str) else '...'}"
        empty = any(each.points == () for each in labels.entries.values())
        words = [images, f"data.coordinates={folder}", *["data.allow_empty=true"] * empty]
        given = f"data=micrographs {shlex.join(words)} ratio=1"
        print(
            "If every particle in them has a circle, train with this line:\n"
            f"  cryofix train experiment=cure {given}\n"
            "If you left some out, say about how many a micrograph holds (docs/few_labels.md):\n"
            "  cryofix train experiment=simulated_start\n"
            f"  cryofix train experiment=few_labels {given} data.particles_per_micrograph=NUMBER"
        )
    return float(total)


def label(keys: dict[str, Any], folder: Path) -> "Labels":
    """Show the page; return the labels when it is closed."""
    from cryofix.labels.label_files import Labels
    from cryofix.labels.label_page import Page
    from cryofix.labels.label_pictures import Pictures, make_picture
    from cryofix.labels.label_server import serve

    where = keys["micrographs"]
    patterns = where if isinstance(where, list) else [where]
    paths = dict.fromkeys(path for each in patterns for path in find_micrographs(each))
    micrographs = index_micrographs(paths)
    if (size := keys["pixel_size_angstrom"]) is not None:
        check_range("pixel_size_angstrom", size, 0.01, 1000)
        for name, info in micrographs.items():
            micrographs[name] = replace(info, pixel_size_angstrom=float(size))
    check_range("port", keys["port"], 1, 65_535)
    given = {key: keys[key] for key in ("diameter_px", "diameter_angstrom")}
    find, threshold = _picker(keys, micrographs, given) if keys["checkpoint"] else (None, None)
    labels = Labels.opened(folder, micrographs, **given)

    def make(name: str) -> "Picture":
        info = micrographs[name]
        picks = find(info.path) if find else Particles.empty()
        return make_picture(info, labels.diameter_px(name), picks)

    pictures = Pictures(make)

    def draw(document: "Document") -> None:
        Page(document, labels, pictures, threshold)

    with suppress(KeyboardInterrupt):
        serve(draw, keys["port"])
    return labels


def _picker(
    keys: dict[str, Any], micrographs: dict[str, MicrographInfo], given: dict[str, Any]
) -> tuple[Callable[[Path], Particles], float]:
    """Return what finds a model's picks, and their threshold; give the model's diameter on."""
    import torch

    from cryofix.learning.checkpoint import load_picker
    from cryofix.learning.metadata import refuse_masks
    from cryofix.picking.jobs import choose_device
    from cryofix.picking.micrographs import Recipe, pick_micrograph
    from cryofix.picking.picked import PickSelection

    picker = load_picker(keys["checkpoint"])
    refuse_masks(picker.metadata, keys["checkpoint"])
    thresholds = picker.metadata["thresholds"]
    selection = PickSelection.choose(thresholds, keys["threshold"], FLOOR)
    sizes = {key: value for key, value in given.items() if value is not None}
    recipe = Recipe.as_trained(
        picker.metadata,
        floor=selection.lowest,
        pixel_size_angstrom=keys["pixel_size_angstrom"],
        **sizes,
    )
    device = torch.device(choose_device(keys["device"]))
    network = picker.network.to(device)
    if not sizes and not any(Path(keys["output"]).glob("*.csv")):
        known = all(info.pixel_size_angstrom for info in micrographs.values())
        key = "diameter_angstrom" if known and recipe.diameter_angstrom else "diameter_px"
        given[key] = getattr(recipe, key)

    def find(path: Path) -> Particles:
        return pick_micrograph(network, path, recipe, device).particles

    return find, selection.threshold


if __name__ == "__main__":
    main()
