"""The commands in the code blocks of the pages run, one after the other, on little data."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from support import SMALL, run_command
from test_docs import ROOT, commands, in_blocks

ELSEWHERE = {  # a word of what is not run here, and why
    "output=labels": "waits for clicks: tests/slow/test_label_page.py",
    "hydra/launcher=slurm": "needs a cluster: tests/slow/test_slurm_training.py",
    "watch=true": "does not end: tests/picking/test_watching.py",
    ".../empiar-10017": "needs a data set that not everybody has",
    "experiment=collapse": "takes minutes: tests/slow/test_collapse.py",
    "--help": "tests/test_cli.py",
}
PLACES = {  # where a page has its files, and where they are here
    "/data/": "data/",
    "/more/": "data/",
    "J2/motioncorrected/": "data/",
    "Micrographs/": "data/",
    "runs/collapse/": "runs/my_run/",
    "[$part]": "data/*.mrc",
    "seed=0,1,2": "seed=0",
}
STEPS = ("steps.burn_in=6", "steps.stage=6", "steps.validate_every=3")  # experiments have theirs
OTHERS = (  # labels as other programs have them
    ("topaz.txt", "format=topaz", "write.downsample=8"),
    ("job.cs", "format=cryosparc", "out_y_origin=top"),
)
PAGES = {  # with the number of commands that run
    "README.md": 5,
    "docs/install.md": 1,
    "docs/few_labels.md": 5,
    "docs/your_data.md": 2,
    "docs/diagnose.md": 4,
    "docs/methods.md": 2,
    "docs/formats.md": 4,
    "docs/relion.md": 1,
    "docs/scale.md": 2,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with everything that the pages take for given."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_command("simulate", "output=all", "micrographs=8", "workers=1")
        for name in ("data", "raw"):
            (folder / name).symlink_to("all/micrographs")
        truth = sorted((folder / "all/ground_truth/particle_coordinates").iterdir())
        for name in ("labels", "clicks"):
            (folder / name).mkdir()
        for path in truth[:5]:
            shutil.copy(path, "labels")
        shutil.copytree("labels", "coords")
        first = truth[0].read_text().splitlines(keepends=True)
        (folder / "clicks" / truth[0].name).write_text("".join(first[:13]))
        for out, *options in OTHERS:
            run_command("convert", "in=labels", "micrographs=data", f"out={out}", *options)
        run_command("train", *SMALL, "output=runs/my_run")
        p = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        np.save("p.npy", p)
        np.save("y.npy", (p > 0.9).astype(np.uint8))
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(
    page: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / page).read_text()
    here = tmp_path / "here"
    shutil.copytree(made, here, symlinks=True)
    if "output=runs/mine" not in text:
        (here / "runs/mine").symlink_to("my_run")
    monkeypatch.chdir(here)
    ran = 0
    for name, words in commands(in_blocks(text)):
        if any(word in words for word in ELSEWHERE):
            continue
        for there, place in PLACES.items():
            words = words.replace(there, place)
        typed = shlex.split(words, comments=True)
        if name == "train":
            typed += STEPS
            simulated = not any(word.startswith("data=") for word in typed)
            typed += SMALL if simulated else [word for word in SMALL if "simulate" not in word]
        run_command(name, *typed)
        ran += 1
    assert ran == PAGES[page]
