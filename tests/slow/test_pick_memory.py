"""Ten thousand micrographs need no more memory than ten, but for their coordinates."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryofix.formats import write_mrc

SIDE, FEW, MANY = 1024, 8, 60
MEASURED = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from disc_finder import DiscFinder, recipe
from cryofix.picking.export import Export
from cryofix.picking.jobs import Work, run_jobs
from cryofix.picking.planning import find_all, plan_jobs
from cryofix.picking.page import write_page
from cryofix.picking.pick_summary import found, summarise
from cryofix.picking.picked import PickSelection

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def everything(jobs, folder):
    work = Work(DiscFinder, recipe(), "key", 0.5, "cpu", 1)
    assert all(outcome.error is None for outcome in run_jobs(jobs, work, 1))
    selection = PickSelection(0.5, 0.05)
    summary = summarise(jobs, [], selection)
    Export(["star", "box", "cbox", "tsv", "csv"], root).write(folder, found(jobs, selection))
    write_page(folder / "index.html", summary, selection, jobs, Path("run"), len(jobs))

folder = Path(sys.argv[1])
jobs, root = plan_jobs(find_all([str(folder / "raw")]), folder / "results")
everything(jobs[:{FEW}], folder / "few")
few = peak()
everything(jobs, folder / "many")
print(few, peak())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_micrographs(tmp_path: Path) -> None:
    for number in range(MANY):
        image = np.random.default_rng(number).normal(size=(SIDE, SIDE))
        write_mrc(tmp_path / "raw" / f"m{number:03d}.mrc", image, None)
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), tests],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    few, many = map(float, done.stdout.split())
    images = (MANY - FEW) * SIDE**2 * 4 / 2**20
    assert many - few < 0.1 * images, f"{few:.0f} MB for {FEW}, {many:.0f} MB for {MANY}"
