"""The whole way: simulated micrographs, a trained model, its picks, particles that RELION cuts out.

Needs ``relion_preprocess`` (Debian and Ubuntu: ``apt install relion``).
"""

import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from numpy.typing import NDArray

from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.data.simulation.protein import make_protein, project
from cryofix.formats import find_micrographs, index_micrographs, read_coordinates, write_coordinates
from support import run_train

pytestmark = pytest.mark.slow

BOX = 64
SIMULATED = SimulatorConfig(
    micrographs=8,
    shape=(480, 704),
    particles_per_micrograph=40,
    crowding_spread=0.2,
    snr_min=0.1,
    phase_shift_rad=1.57,  # a phase plate, so that no ring of the CTF surrounds the particle
    defocus_min_um=0.5,
    defocus_max_um=0.8,
    contamination=0.3,
    seed=5,
)
TRAINING = (
    "data=micrographs",
    "data.images=Micrographs/a/*.mrc",
    "data.coordinates=labels",
    "data.test=2",
    "data.validation=2",
    "data.tile_px=96",
    "trainer.accelerator=cpu",
    "method=supervised",
    "ratio=1",
    "output=run",
    "steps={burn_in: 1, stage: 240, validate_every: 120, checkpoint_every: 120}",
)


@pytest.fixture(scope="module")
def relion_preprocess() -> str:
    program = shutil.which("relion_preprocess")
    if program is None:
        pytest.skip("no relion_preprocess on PATH: apt install relion")
    return program


@pytest.fixture(scope="module")
def picked(relion_preprocess: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulate a RELION project, train on it, and pick all of it from inside the project."""
    from cryofix.pick import main

    folder = tmp_path_factory.mktemp("project")
    data = folder / "simulated"
    write_dataset(SIMULATED, data)
    (folder / "Micrographs").mkdir()
    (data / "micrographs").rename(folder / "Micrographs" / "a")
    (data / "ground_truth" / "particle_coordinates").rename(folder / "labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_train(*TRAINING)
        overrides = [
            "checkpoint=run",
            "micrographs=Micrographs/**/*.mrc",
            "output=External/job007",
            "format=[star,box]",
            f"write.box_size_px={BOX}",
            "workers=1",
        ]
        with mock.patch.object(sys, "argv", ["cryofix.pick", *overrides]):
            main()
    return folder


def extract(program: str, project_folder: Path, where: str, suffix: str) -> NDArray[np.float64]:
    """Run RELION as its extraction job does; return the mean of all particles, (BOX, BOX)."""
    pixel_size = SIMULATED.pixel_size_angstrom
    optics = pd.DataFrame(
        {
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnOpticsGroup": [1],
            "rlnMicrographPixelSize": [pixel_size],
            "rlnMicrographOriginalPixelSize": [pixel_size],
            "rlnVoltage": [SIMULATED.voltage_kv],
            "rlnSphericalAberration": [SIMULATED.cs_mm],
            "rlnAmplitudeContrast": [SIMULATED.amplitude_contrast],
        }
    )
    names = sorted(p.relative_to(project_folder) for p in project_folder.glob("Micrographs/a/*"))
    table = pd.DataFrame({"rlnMicrographName": list(map(str, names)), "rlnOpticsGroup": 1})
    starfile.write({"optics": optics, "micrographs": table}, project_folder / "micrographs.star")
    shutil.rmtree(project_folder / "Extract", ignore_errors=True)
    done = subprocess.run(
        [
            *(program, "--i", "micrographs.star", "--coord_dir", where, "--coord_suffix", suffix),
            *("--part_star", "Extract/particles.star", "--part_dir", "Extract/", "--extract"),
            *("--extract_size", str(BOX), "--norm", "--bg_radius", str(BOX // 2 - 4)),
            "--invert_contrast",
        ],
        cwd=project_folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    stacks = []
    for file in sorted((project_folder / "Extract").rglob("*.mrcs")):
        with mrcfile.open(file, permissive=True) as mrc:
            stacks.append(np.array(mrc.data, dtype=np.float64).reshape(-1, BOX, BOX))
    particles = np.concatenate(stacks)
    assert len(particles) >= 100  # enough for a mean
    return np.asarray(particles.mean(axis=0))


def likeness(mean: NDArray[np.float64]) -> float:
    """Correlate a mean with the particle's own mean projection, over the whole box."""
    protein = make_protein(SIMULATED.particle_diameter_angstrom, SIMULATED.protein_seed)
    count = 2000
    centre = np.full(count, BOX / 2)
    generator = np.random.default_rng(0)
    pixel_size = SIMULATED.pixel_size_angstrom
    truth = project(protein, centre, centre, (BOX, BOX), pixel_size, generator)
    return float(np.corrcoef(truth.ravel(), mean.ravel())[0, 1])


def test_relion_cuts_particles_out_where_we_picked(picked: Path, relion_preprocess: str) -> None:
    mean = extract(relion_preprocess, picked, "External/job007/relion/", "_autopick.star")
    assert likeness(mean) > 0.8
    # RELION looks for a micrograph's picks below the folder under the name that it has in the
    # project, and cuts decimals off.
    weights = np.clip(mean - 0.5 * mean.max(), 0, None)
    centre = (np.indices(mean.shape) * weights).sum(axis=(1, 2)) / weights.sum()
    assert np.abs(centre - BOX / 2).max() < 1.5


def test_upside_down_picks_show_no_particle(picked: Path, relion_preprocess: str) -> None:
    micrographs = index_micrographs(find_micrographs(f"{picked}/Micrographs/a/*.mrc"))
    where = picked / "External" / "job007" / "relion"
    # a model of so few steps may find nothing in one micrograph
    right = read_coordinates(where, micrographs, allow_empty=True)
    write_coordinates(
        picked / "flipped", right, micrographs, format="relion", project=picked, y_origin="bottom"
    )
    mean = extract(relion_preprocess, picked, "flipped/", "_autopick.star")
    assert likeness(mean) < 0.5


def test_relion_cuts_the_same_particles_from_our_box_files(
    picked: Path, relion_preprocess: str
) -> None:
    boxes = picked / "boxes" / "Micrographs" / "a"
    shutil.copytree(picked / "External" / "job007" / "eman", boxes)
    mean = extract(relion_preprocess, picked, "boxes/", ".box")
    assert likeness(mean) > 0.8
