"""``resume_sweep=DIR`` types the sweep's own command line again."""

from pathlib import Path

import pytest
import yaml

from cryofix.errors import CryofixError
from cryofix.sweeps.resume import resumed


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    folder = tmp_path / "a sweep's"
    folder.mkdir()
    overrides = {
        "hydra": ["hydra/launcher=slurm", "hydra.launcher.mem_gb=8", "hydra.mode=MULTIRUN"],
        "task": ["mask=symmetric", "mask.threshold=0.6,0.7", "seed=0,1", "+data.extra=1"],
    }
    content = {"hydra": {"overrides": overrides}, "seed": 0}
    (folder / "multirun.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_other_command_lines_are_left_as_they_are() -> None:
    assert resumed(["-m", "seed=0,1"]) == ["-m", "seed=0,1"]


def test_the_sweep_is_typed_again_into_its_folder(swept: Path) -> None:
    words = resumed([f"resume_sweep={swept}"])
    quoted = str(swept).replace("'", "\\'")
    assert words == [
        "--multirun",
        "hydra/launcher=slurm",
        "hydra.launcher.mem_gb=8",
        "mask=symmetric",
        "mask.threshold=0.6,0.7",
        "seed=0,1",
        "+data.extra=1",
        f"hydra.sweep.dir='{quoted}'",
    ]


def test_what_is_given_anew_wins(swept: Path) -> None:
    words = resumed(["-m", f"resume_sweep='{swept}'", "hydra.launcher.mem_gb=32", "data.extra=2"])
    assert words[:3] == ["-m", "hydra.launcher.mem_gb=32", "data.extra=2"]
    assert [word for word in words if "mem_gb" in word or "extra" in word] == words[1:3]


def test_a_folder_that_is_no_sweep_is_named(tmp_path: Path) -> None:
    with pytest.raises(CryofixError, match=r"resume_sweep=.* holds no readable multirun\.yaml"):
        resumed([f"resume_sweep={tmp_path}"])
    (tmp_path / "multirun.yaml").write_text("{}")
    with pytest.raises(CryofixError, match="names no overrides"):
        resumed([f"resume_sweep={tmp_path}"])
