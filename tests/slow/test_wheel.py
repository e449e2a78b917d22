"""The wheel works from any directory, without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_an_installed_wheel_composes_its_own_configuration_and_trains(
    tmp_path: Path, cache: Path
) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert (site / "cryofix" / "py.typed").is_file()
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    where = "import cryofix.config as c; print(c.config_folder())"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=elsewhere,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(found.stdout.strip()) == (site / "cryofix" / "conf").resolve()
    command = [sys.executable, "-m", "cryofix.train", "trainer=smoke", "ratio=0.5", "output=run"]
    subprocess.run(command, cwd=elsewhere, env=environment, check=True, capture_output=True)
    assert (elsewhere / "run" / "results.json").is_file()
