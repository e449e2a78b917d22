"""From a folder of micrographs without labels to a STAR file, with the seconds of each part.

    python -m benchmarks.one_sitting --data ../shared/data/empiar-10017 [KEY=VALUE ...]

A hand in a headless Chromium clicks on particles at the page of `cryofix label`, at known
coordinates of one micrograph that are drawn with the seed. It takes no time to look. Then three
commands run as docs/few_labels.md gives them: weights are learnt on simulated micrographs, the few
labels are learnt, and the micrographs that the page did not have are picked. The picks are read
back from their STAR file and compared with the known coordinates: they are paired up to half a
diameter apart, and nothing counts that lies closer to the edge than every known coordinate.
KEY=VALUE are overrides of both trainings. Nothing is taken from an earlier run or its cache.
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.browser import opened_browser
from benchmarks.commands import Commands
from benchmarks.label_hand import Hand, served, until
from cryofix.formats import (
    MicrographInfo,
    Particles,
    find_micrographs,
    index_micrographs,
    read_coordinates,
)
from cryofix.metrics.area import Area
from cryofix.metrics.curves import Counts
from cryofix.metrics.particles import ParticleRecord


def main() -> None:
    """Go the whole way, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    told = "folder with `micrographs` and `coordinates` (CryoPPP CSV, y from the top)"
    parser.add_argument("--data", type=Path, required=True, help=told)
    parser.add_argument(
        "--output", type=Path, default=Path("runs/one_sitting"), help="a new folder"
    )
    parser.add_argument("--clicks", type=int, default=30, help="particles that are labelled")
    parser.add_argument("--picked", type=int, default=12, help="micrographs that are picked")
    told = "particles in a micrograph, as a person guesses them"
    parser.add_argument("--expected", type=int, default=600, help=told)
    parser.add_argument("--seed", type=int, default=0, help="of the clicks and of both trainings")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of both trainings")
    options = parser.parse_args()
    folder = options.output.absolute()
    if folder.exists():
        sys.exit(f"{folder} exists: remove it, or give another --output")
    os.environ["CRYOFIX_CACHE"] = str(folder / "cache")  # an older one would save time
    images = index_micrographs(find_micrographs(options.data.absolute() / "micrographs"))
    known = read_coordinates(options.data / "coordinates", images, y_origin="top")
    names = sorted(images)
    shown = linked(folder / "shown", images, names[: -options.picked])
    unseen = linked(folder / "unseen", images, names[-options.picked :])

    load = os.getloadavg()[0]
    seconds = {"label": labelled(folder, shown, known[names[0]], options.clicks, options.seed)}
    start, run = folder / "start" / "run", folder / "train" / "run"
    given = [f"seed={options.seed}", *options.overrides]
    few = ["data=micrographs", f"data.images={shown}", f"data.coordinates={folder / 'labels'}"]
    few += [f"data.particles_per_micrograph={options.expected}", f"model.initial={start}"]
    few += ["ratio=1", f"output={run}"]
    pick = [f"checkpoint={run}", f"micrographs={unseen}", f"output={folder / 'picks'}"]
    words = {
        "start": ["train", "experiment=simulated_start", f"output={start}", *given],
        "train": ["train", "experiment=few_labels", *few, *given],
        "pick": ["pick", *pick, "format=star"],
    }
    for part, typed in words.items():
        took = Commands(folder).run(part, [sys.executable, "-m", "cryofix", *typed])
        seconds[part] = {key: took[key] for key in ("seconds", "cpu_seconds")}
    report(seconds, load)
    unseen_known = {name: known[name] for name in names[-options.picked :]}
    print(compared(folder / "picks", unseen_known, images))


def linked(folder: Path, images: Mapping[str, MicrographInfo], names: list[str]) -> Path:
    """Return a folder with links to some micrographs."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / images[name].path.name).symlink_to(images[name].path)
    return folder


def labelled(
    folder: Path, shown: Path, known: Particles, clicks: int, seed: int
) -> dict[str, float]:
    """Click on particles at the page, and return what that took; each click is saved at once."""
    assert known.diameter_px is not None
    chosen = np.random.default_rng(seed).choice(len(known), clicks, replace=False)
    diameter = f"diameter_px={np.median(known.diameter_px)}"
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    profile, labels = folder / "browser", folder / "labels"
    with opened_browser(profile) as browser, served(shown, labels, diameter) as page:
        hand = Hand(browser, page.address)
        opened = time.perf_counter() - began
        for index in chosen:
            hand.click(known.x[index], known.y[index])
        until(lambda: hand.rings() == clicks)
        (saved,) = page.read().values()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    seconds = time.perf_counter() - began
    print(
        f"label: {seconds:.1f} s, {cpu_seconds:.1f} s of CPU; the page stood after {opened:.1f} s"
    )
    assert len(saved) == clicks
    return {"seconds": seconds, "cpu_seconds": cpu_seconds}


def report(seconds: Mapping[str, Mapping[str, float]], load: float) -> None:
    """Print what each part took, and the whole."""
    table = pd.DataFrame(seconds).T
    table.loc["total"] = table.sum()
    print(f"\n{os.cpu_count()} cores, load {load:.1f} when it began")
    print(table.round(1).to_string())


def compared(
    picks: Path, known: Mapping[str, Particles], images: Mapping[str, MicrographInfo]
) -> str:
    """Say how many picks the STAR files hold, and how they compare with known coordinates."""
    headers = {name: images[name] for name in known}
    found = read_coordinates(picks / "relion", headers, allow_empty=True)
    edge = min(
        min(np.min(each), size - 1 - np.max(each))
        for name, truth in known.items()
        for each, size in zip((truth.y, truth.x), images[name].shape, strict=True)
    )
    total = ParticleRecord.empty()
    for name, truth in known.items():
        rows, columns = images[name].shape
        assert truth.diameter_px is not None
        total += ParticleRecord.from_picks(
            found.get(name, Particles.empty()),
            truth,
            diameter=float(np.median(truth.diameter_px)),
            area=Area((edge, edge, columns - 1 - edge, rows - 1 - edge)),
        )
    counts = Counts(total.matched.sum(), total.unmatched.sum(), total.truth)
    return (
        f"{sum(map(len, found.values()))} picks in {len(known)} micrographs;"
        f" recall {float(counts.recall):.3f} and precision {float(counts.precision):.3f}"
        f" against {counts.truth} known coordinates, {edge:.0f} px of the edge left out"
    )


if __name__ == "__main__":
    main()
