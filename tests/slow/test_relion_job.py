"""RELION's own pipeliner runs our job, and its extraction takes what came out.

Needs ``relion_pipeliner`` and ``relion_preprocess`` (Debian and Ubuntu: ``apt install relion``).
"""

import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import pandas as pd
import pytest
import starfile

from disc_finder import draw
from random_picker import save_random_picker
from support import wait_until

pytestmark = pytest.mark.slow

NAMES = ("grid/a.mrc", "grid/b.mrc", "other/a.mrc")
SECONDS = 180


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with three motion-corrected micrographs and a model of random weights."""
    for program in ("relion_pipeliner", "relion_preprocess"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on PATH: apt install relion")
    job = tmp_path / "MotionCorr" / "job002"
    for number, name in enumerate(NAMES):
        (job / name).parent.mkdir(parents=True, exist_ok=True)
        draw(job / name, (240, 320), pixel_size=None, count=5, seed=number)
    names = [f"MotionCorr/job002/{name}" for name in NAMES]
    optics = {"rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1]}
    optics |= {"rlnMicrographPixelSize": [1.5], "rlnMicrographOriginalPixelSize": [1.5]}
    optics |= {"rlnVoltage": [300.0], "rlnSphericalAberration": [2.7]}
    optics |= {"rlnAmplitudeContrast": [0.1]}
    micrographs = pd.DataFrame({"rlnMicrographName": names, "rlnOpticsGroup": 1})
    starfile.write(
        {"optics": pd.DataFrame(optics), "micrographs": micrographs},
        job / "corrected_micrographs.star",
    )
    general = "data_pipeline_general\n\n_rlnPipeLineJobCounter 1\n"  # as the window writes it
    (tmp_path / "default_pipeline.star").write_text(general)
    save_random_picker(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def relion(*words: str) -> str:
    """Run a program of RELION in the project."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_job(options: str) -> Path:
    """Add an External job as RELION's window does, let the pipeliner run it, and wait for it."""
    relion("relion_pipeliner", "--addJob", "External", "--addJobOptions", options)
    folder = max(Path("External").glob("job*"), default=Path("External/job001"))
    relion("relion_pipeliner", "--RunJobs", f"{folder}/", "--schedule", "one")
    wait_until(lambda: list(folder.glob("RELION_JOB_EXIT_*")), SECONDS, "the job to end")
    relion("relion_pipeliner", "--check_job_completion")
    return folder


def options(checkpoint: str) -> str:
    """Return what a user fills into the window."""
    fields = {
        "fn_exe": f"{sys.executable} -m cryofix.relion_job",
        "in_mic": "MotionCorr/job002/corrected_micrographs.star",
        "param1_label": "checkpoint",
        "param1_value": checkpoint,
        "param2_label": "device",
        "param2_value": "cpu",
    }
    return ";".join(f"{name} == {value}" for name, value in fields.items())


def test_relion_runs_the_job_and_extracts_what_it_picked(project: Path) -> None:
    job = run_job(options("run"))
    said = (job / "run.err").read_text() + (job / "run.out").read_text()
    assert (job / "RELION_JOB_EXIT_SUCCESS").is_file(), said
    tables = starfile.read("default_pipeline.star", always_dict=True)
    nodes = tables["pipeline_nodes"]
    ours = nodes[nodes["rlnPipeLineNodeName"].str.startswith("External/")]
    assert ours["rlnPipeLineNodeName"].tolist() == [f"{job}/relion/coords_suffix_autopick.star"]
    assert ours["rlnPipeLineNodeType"].tolist() == [2]
    index = starfile.read(job / "autopick.star")
    names = [f"MotionCorr/job002/{name}" for name in NAMES]
    assert index["rlnMicrographName"].tolist() == names
    for file in index["rlnMicrographCoordinates"]:
        assert file.startswith(f"{job}/")
        assert Path(file).is_file()
    # As the extraction job of RELION 3.1 takes folder and suffix from the node.
    node = ours["rlnPipeLineNodeName"].item()
    suffix = Path(node).name.removeprefix("coords_suffix")
    relion(
        *("relion_preprocess", "--i", "MotionCorr/job002/corrected_micrographs.star"),
        *("--coord_dir", f"{Path(node).parent}/", "--coord_suffix", suffix),
        *("--part_star", "Extract/particles.star", "--part_dir", "Extract/", "--extract"),
        *("--extract_size", "32"),
    )
    picks = sum(len(starfile.read(each)) for each in index["rlnMicrographCoordinates"])
    stacks = list((project / "Extract").rglob("*.mrcs"))
    assert len(stacks) == len(NAMES)
    cut = 0
    for stack in stacks:
        with mrcfile.open(stack, permissive=True) as mrc:
            cut += mrc.data.shape[0] if mrc.data.ndim == 3 else 1
    assert 0 < cut <= picks


def test_relion_is_told_when_the_job_failed(project: Path) -> None:
    job = run_job(options("gone"))
    assert (job / "RELION_JOB_EXIT_FAILURE").is_file()
    assert "checkpoint=gone does not exist" in (job / "run.err").read_text()
    assert not (job / "RELION_OUTPUT_NODES.star").exists()
