"""Another program learns from the particles that a run had as labels, and is scored beside it."""

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from benchmarks import topaz_clicks
from scipy.spatial import KDTree

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.preprocess import fourier_crop, normalise
from cryofix.formats import (
    Particles,
    find_micrographs,
    index_micrographs,
    read_micrograph,
    write_coordinates,
)
from disc_finder import draw
from support import run_train

SHAPE, DIAMETER, COUNT, CLICKS = (1280, 1600), 64.0, 16, 6
SHRUNK = SHAPE[1] / 1024
STAND_IN = """#!{python}
import shutil, sys
from pathlib import Path
import numpy as np, scipy.ndimage
from cryofix.formats import read_micrograph

def value(option):
    return Path(sys.argv[sys.argv.index(option) + 1])

if sys.argv[1] == "normalize":
    value("-o").mkdir(exist_ok=True)
    for path in sys.argv[4:]:
        shutil.copy(path, value("-o"))
elif sys.argv[1] == "train":
    Path(f"{{value('--save-prefix')}}_epoch1.sav").touch()
else:
    for path in map(Path, sys.argv[sys.argv.index("--output") + 2 :]):
        smooth = scipy.ndimage.uniform_filter(read_micrograph(path).data, 21)
        dark, count = scipy.ndimage.label(smooth < -0.9)
        found = scipy.ndimage.center_of_mass(dark > 0, dark, range(1, count + 1))
        lines = [f"{{path.stem}}\\t{{x:.0f}}\\t{{y:.0f}}\\t1.5" for y, x in found]
        text = "\\n".join(["image_name\\tx_coord\\ty_coord\\tscore", *lines])
        (value("--output") / f"{{path.stem}}.coord").write_text(text)
"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Particles]]:
    folder = tmp_path_factory.mktemp("data")
    labels = {
        f"m{i}": draw(folder / f"m{i}.mrc", SHAPE, DIAMETER, 1.5, COUNT, seed=i) for i in range(4)
    }
    images = index_micrographs(find_micrographs(folder))
    write_coordinates(folder / "labels", labels, images, format="cryoppp", y_origin="top")
    return folder, labels


def test_it_gets_the_same_labels_and_noise_and_its_row_stands_beside_the_runs(
    truth: tuple[Path, dict[str, Particles]], tmp_path: Path
) -> None:
    folder, labels = truth
    run, output, venv = (tmp_path / name for name in ("run", "output", "venv"))
    of_data = {
        **{"images": folder, "coordinates": folder / "labels", "y_origin": "top"},
        **{"diameter_px": DIAMETER, "test": 1, "validation": 1, "added_noise": 0.2},
        **{"labelled_particles": CLICKS, "particles_per_micrograph": COUNT},
    }
    keys = [f"data.{key}={value}" for key, value in of_data.items()]
    shortest = ("trainer=smoke", "steps.burn_in=2", "steps.stage=2", "ratio=0.5")
    run_train(*shortest, "data=micrographs", *keys, f"output={run}")
    program = venv / "bin" / "topaz"
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    command = ["topaz_clicks", str(run), f"--output={output}", f"--venv={venv}"]
    with mock.patch.object(sys, "argv", command):
        topaz_clicks.main()
    table = pd.read_csv(output / "scores.csv")
    assert list(table.program) == ["supervised", "fixmatch", "topaz"]
    assert set(table.noise) == {0.2}
    assert set(table.clicks) == {CLICKS}
    results = json.loads((run / "results.json").read_text())
    assert table.f1[1] == pytest.approx(results["fixmatch"]["particle"]["f1"])
    assert table.f1[2] > 0.95, "it found the discs, and they were scaled back"

    (place,) = (path for path in output.iterdir() if path.is_dir())
    clicked = pd.read_csv(place / "inputs" / "topaz.txt", sep="\t")
    (name,) = set(clicked.image_name)
    assert len(clicked) == CLICKS
    tree = KDTree(np.stack([labels[name].x, labels[name].y], axis=1))
    away, which = tree.query(clicked[["x_coord", "y_coord"]].to_numpy() * SHRUNK)
    assert np.max(away) < SHRUNK
    assert len(np.unique(which)) == CLICKS
    listed = json.loads((place / "topaz_train" / "step.json").read_text())["command"]
    assert listed[listed.index("--num-particles") + 1] == str(COUNT)

    keywords = json.loads((run / "config.json").read_text())["data"]
    keywords.pop("_target_")
    data = CryoDataModule(**keywords)
    seen = data.dataset.annotated[name].micrograph
    given = read_micrograph(place / "micrographs" / f"{name}.mrc").data
    assert max(given.shape) == 1024
    period = data.preprocessing.highpass_diameters * data.dataset.particle_px
    again = normalise(fourier_crop(given, seen.shape, period), data.preprocessing.clip_sigma)
    assert np.corrcoef(again.ravel(), seen.read().ravel())[0, 1] > 0.999


def test_a_run_with_complete_labels_is_refused(tmp_path: Path) -> None:
    data = {"particles_per_micrograph": 9.0}
    for name, content in (("config", {"data": data}), ("splits", {"clicks": {}}), ("results", {})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "topaz").touch()
    command = ["topaz_clicks", str(tmp_path), f"--venv={tmp_path}"]
    with mock.patch.object(sys, "argv", command), pytest.raises(SystemExit, match="partial labels"):
        topaz_clicks.main()
