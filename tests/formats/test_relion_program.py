"""The real RELION extracts particles with our picks: they have to sit in the middle.

Needs ``relion_preprocess`` (Debian and Ubuntu: ``apt install relion``).
"""

import os
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
import tifffile
from numpy.typing import NDArray

from cryofix.formats import (
    Particles,
    YOrigin,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    write_coordinates,
    write_mrc,
)

pytestmark = pytest.mark.slow

ROWS, COLUMNS, BOX = 300, 500, 40


@pytest.fixture
def relion_preprocess() -> str:
    program = shutil.which("relion_preprocess")
    if program is None:
        pytest.skip("no relion_preprocess on PATH: apt install relion")
    return program


def make_project(folder: Path, suffix: str) -> dict[str, Particles]:
    """Write micrographs with bright discs at random places, some in a subfolder."""
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    labels = {}
    for where in ("Micrographs/a", "Micrographs/sub/two words.v2"):
        x, y = random.uniform(30, COLUMNS - 30, 12), random.uniform(30, ROWS - 30, 12)
        image = random.normal(size=(ROWS, COLUMNS))
        for column, row in zip(x, y, strict=True):
            image += 3.0 * (np.hypot(rows - row, columns - column) < 8)
        path = folder / f"{where}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".mrc":
            write_mrc(path, image, 1.5)
        else:
            tifffile.imwrite(path, image.astype(np.float32))
        labels[path.name.removesuffix(suffix)] = Particles(x, y, random.uniform(size=12))
    return labels


OPTICS = pd.DataFrame(
    {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnMicrographPixelSize": [1.5],
        "rlnMicrographOriginalPixelSize": [1.5],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
    }
)


def extract(
    program: str, project: Path, micrographs: list[Path], *which: str
) -> NDArray[np.float64]:
    """Run RELION as its extraction job does; return the mean of all particles, (BOX, BOX)."""
    which = which or ("--coord_dir", "External/job007/", "--coord_suffix", "_autopick.star")
    table = pd.DataFrame(
        {
            "rlnMicrographName": [str(path.relative_to(project)) for path in micrographs],
            "rlnOpticsGroup": 1,
        }
    )
    starfile.write({"optics": OPTICS, "micrographs": table}, project / "micrographs.star")
    done = subprocess.run(
        [
            *(program, "--i", "micrographs.star", *which, "--part_star", "Extract/particles.star"),
            *("--part_dir", "Extract/", "--extract", "--extract_size", str(BOX)),
        ],
        cwd=project,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    stacks = []
    for file in sorted((project / "Extract").rglob("*.mrcs")):
        with mrcfile.open(file, permissive=True) as mrc:
            stacks.append(np.array(mrc.data, dtype=np.float64))
    particles = np.concatenate(stacks)
    assert len(particles) == 24
    return np.asarray(particles.mean(axis=0))


def contrast(mean: NDArray[np.float64]) -> float:
    """Return how much the middle stands out from the corners."""
    distance = np.hypot(*(np.indices(mean.shape) - BOX / 2))
    return float(mean[distance < 7].mean() - mean[distance > 12].mean())


@pytest.mark.parametrize("suffix", [".mrc", ".tif"])
def test_relion_cuts_out_centred_particles(
    tmp_path: Path, relion_preprocess: str, suffix: str
) -> None:
    labels = make_project(tmp_path, suffix)
    micrographs = index_micrographs(find_micrographs(f"{tmp_path}/Micrographs/**/*"))
    job = tmp_path / "External" / "job007"
    files = [info.path for info in micrographs.values()]
    write_coordinates(job, labels, micrographs, format="relion", project=tmp_path)
    mean = extract(relion_preprocess, tmp_path, files)
    assert contrast(mean) > 2.4
    weights = np.clip(mean - 1.5, 0, None)
    centre = (np.indices(mean.shape) * weights).sum(axis=(1, 2)) / weights.sum()
    assert np.abs(centre - BOX / 2).max() < 1.1  # RELION cuts decimals off: half a pixel on average

    shutil.rmtree(tmp_path / "Extract")
    wrong: YOrigin = "bottom" if suffix == ".mrc" else "top"
    write_coordinates(job, labels, micrographs, format="relion", project=tmp_path, y_origin=wrong)
    assert abs(contrast(extract(relion_preprocess, tmp_path, files))) < 1.2

    found = read_coordinates(tmp_path / "Extract" / "particles.star", micrographs, y_origin=wrong)
    for name, its in labels.items():
        np.testing.assert_allclose(np.sort(found[name].x), np.sort(its.x), atol=1.0)
        np.testing.assert_allclose(np.sort(found[name].y), np.sort(its.y), atol=1.0)


@pytest.mark.parametrize("suffix", [".mrc", ".tif"])
def test_relion_cuts_the_very_pixel_that_was_picked(
    tmp_path: Path, relion_preprocess: str, suffix: str
) -> None:
    labels = {}
    places = Particles(np.array([100.0, 333.0]), np.array([60.0, 201.0]))
    (tmp_path / "Micrographs").mkdir()
    for name in map("image{}".format, range(12)):
        image = np.zeros((ROWS, COLUMNS), np.float32)
        image[places.y.astype(int), places.x.astype(int)] = 1
        path = tmp_path / "Micrographs" / f"{name}{suffix}"
        if suffix == ".mrc":
            write_mrc(path, image, 1.5)
        else:
            tifffile.imwrite(path, image)
        labels[name] = places
    micrographs = index_micrographs(find_micrographs(f"{tmp_path}/Micrographs/*"))
    job = tmp_path / "External" / "job007"
    write_coordinates(job, labels, micrographs, format="relion", project=tmp_path)
    mean = extract(relion_preprocess, tmp_path, [each.path for each in micrographs.values()])
    assert mean.argmax() == BOX // 2 * BOX + BOX // 2


def test_origins_are_subtracted_as_relion_does_when_it_centres_particles(
    tmp_path: Path, relion_preprocess: str
) -> None:
    labels = make_project(tmp_path, ".mrc")
    micrographs = index_micrographs(find_micrographs(f"{tmp_path}/Micrographs/**/*"))
    random = np.random.default_rng(4)
    tables = []
    for name, its in labels.items():
        origin = random.uniform(6, 12, (2, len(its)))  # pixels
        tables.append(
            pd.DataFrame(
                {
                    "rlnMicrographName": str(micrographs[name].path.relative_to(tmp_path)),
                    "rlnCoordinateX": its.x + origin[0],
                    "rlnCoordinateY": its.y - origin[1],
                    "rlnOriginXAngst": origin[0] * 1.5,
                    "rlnOriginYAngst": -origin[1] * 1.5,
                    "rlnImageName": [f"{i + 1:06d}@old.mrcs" for i in range(len(its))],
                    "rlnOpticsGroup": 1,
                }
            )
        )
    refined = tmp_path / "refined.star"
    optics = OPTICS.assign(rlnImagePixelSize=1.5, rlnImageSize=BOX, rlnImageDimensionality=2)
    starfile.write({"optics": optics, "particles": pd.concat(tables)}, refined)
    files = [info.path for info in micrographs.values()]
    which = ("--reextract_data_star", "refined.star")
    assert contrast(extract(relion_preprocess, tmp_path, files, *which)) < 1.2
    shutil.rmtree(tmp_path / "Extract")
    assert contrast(extract(relion_preprocess, tmp_path, files, *which, "--recenter")) > 2.4
    found = read_coordinates(refined, micrographs)
    for name, its in labels.items():
        np.testing.assert_allclose(found[name].x, its.x, atol=1e-3)
        np.testing.assert_allclose(found[name].y, its.y, atol=1e-3)
