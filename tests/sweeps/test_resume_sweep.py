"""``resume_sweep=DIR`` types the sweep's own command line again."""

import os
import sys
from pathlib import Path
from unittest import mock

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
    assert [word for word in words if "mem_gb" in word or "extra" in word] == [
        "hydra.launcher.mem_gb=32",
        "data.extra=2",
    ]


def test_keys_that_are_typed_again_keep_their_order_which_numbers_the_jobs(swept: Path) -> None:
    words = resumed([f"resume_sweep={swept}", "seed=0,1", "mask.threshold=0.6,0.7", "ratio=0.1"])
    assert words[:2] == ["--multirun", "ratio=0.1"]
    assert words[4:7] == ["mask=symmetric", "mask.threshold=0.6,0.7", "seed=0,1"]


def test_overrides_are_taken_whole_or_not_at_all(swept: Path) -> None:
    long = "data.never_scored=[" + ",".join(f"Falcon_{number:04}" for number in range(400)) + "]"
    for line in (long, "data.images='/data/my  set/*.mrc'"):
        (swept / "multirun.yaml").write_text(
            yaml.safe_dump({"hydra": {"overrides": {"hydra": [], "task": [line]}}}, width=10**6)
        )
        assert resumed([f"resume_sweep={swept}"])[1] == line
    (swept / "multirun.yaml").write_text(
        yaml.safe_dump({"hydra": {"overrides": {"hydra": [], "task": ["seed=0\nratio=1"]}}})
    )
    with pytest.raises(CryofixError, match="is no line of text"):
        resumed([f"resume_sweep={swept}"])


def test_a_folder_that_is_no_sweep_is_named(tmp_path: Path) -> None:
    with pytest.raises(CryofixError, match=r"resume_sweep=.* holds no readable multirun\.yaml"):
        resumed([f"resume_sweep={tmp_path}"])
    (tmp_path / "multirun.yaml").write_text("{}")
    with pytest.raises(CryofixError, match="names no overrides"):
        resumed([f"resume_sweep={tmp_path}"])


HOSTILE = (
    "guard.switch_to={_target_: os.mkdir, path: owned}",
    "+data.geometry._target_=os.mkdir",
    "+mask.policy._target_=os.mkdir",
    "hydra.launcher._target_=os.mkdir",
    "hydra.launcher.setup=['touch owned']",
    "+hydra.launcher.additional_parameters.wrap=touch",
    "hydra.launcher.partition='gpu;touch owned'",
    "hydra.job.env_set.LD_PRELOAD=owned.so",
    "hydra.searchpath=[file://owned]",
    "hydra/job_logging=owned",
    "+hydra.callbacks.owned._target_=os.mkdir",
    "+mask@hydra.callbacks.owned=none",
    "hydra/launcher=owned",
    "hydra.run.dir=owned",
    "hydra.sweep.subdir=../../owned",
    "hydra.sweep.subdir='/owned'",
    "names.data=${oc.env:HOME}",
    "surprise=1",
    "--config-dir=owned",
    "experiment=../../owned",
    "mask=symmetric,/owned",
    "+mask@guard.switch.to=../owned",
    "+mask/../../owned=x",
    "logger.mlflow.tracking_uri=http://owned",
    "callbacks.best_checkpoint.dirpath=owned",
    "logger={owned: {tracking_uri: x}}",
    "+logger@callbacks=../owned",
)


@pytest.mark.parametrize("word", HOSTILE)
def test_a_file_adds_nothing_but_plain_values_of_known_keys(tmp_path: Path, word: str) -> None:
    words = {"hydra": [], "task": ["mask=symmetric", word]}
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"overrides": words}}))
    with pytest.raises(CryofixError, match=r"but only plain values of the keys") as error:
        resumed([f"resume_sweep={tmp_path}"])
    assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_what_the_user_types_again_is_the_users(tmp_path: Path) -> None:
    word = "hydra.launcher.setup=['module load cuda']"
    content = {"hydra": {"overrides": {"hydra": [word], "task": ["seed=0,1"]}}}
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump(content))
    assert resumed([f"resume_sweep={tmp_path}", word])[1:3] == [word, "seed=0,1"]


@pytest.mark.parametrize("key", ["guard.switch_to", "experiment"])
def test_the_sweep_of_somebody_else_runs_no_code(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cryofix.train import main

    monkeypatch.chdir(tmp_path)
    owned = tmp_path / "owned"
    theirs = os.path.relpath(tmp_path / "theirs", Path(__file__).parents[2] / "conf" / key)
    callback = {"x": {"_target_": "os.mkdir", "path": str(owned)}}
    text = f"# @package hydra.callbacks\n{yaml.safe_dump(callback)}"
    (tmp_path / "theirs.yaml").write_text(text)
    values = {
        "guard.switch_to": f"{{_target_: os.mkdir, path: '{owned}'}}",
        "experiment": theirs,  # a file beside the sweep that builds a callback of Hydra's
    }
    task = [
        "trainer=smoke",
        "data.simulate.micrographs=8",
        f"{key}={values[key]}",
        "teacher.decay=5",  # ends what would run
    ]
    (tmp_path / "sweep").mkdir()
    content = {"hydra": {"overrides": {"hydra": [], "task": task}}}
    (tmp_path / "sweep" / "multirun.yaml").write_text(yaml.safe_dump(content))
    command = ["cryofix.train", "resume_sweep=sweep"]
    with mock.patch.object(sys, "argv", command), pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert not owned.exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert key in line


def test_build_calls_classes_of_cryofix_and_what_the_command_line_names(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    from cryofix.config import build

    owned = str(tmp_path / "owned")
    hostile = {"_target_": "os.mkdir", "path": owned}
    quota = {"_target_": "cryofix.masking.Quota"}
    for node in (
        hostile,
        {**quota, "name": hostile},
        {**quota, "_args_": [hostile]},
        {"_target_": "cryofix.masking.InverseKeep", "policy": [[hostile]]},
        {**hostile, "_partial_": True},
        {"_target_": "cryofix.data.datamodule.os.mkdir", "path": owned},
        {"_target_": "cryofix.files.write_json", "path": owned, "content": {}},
        {"_target_": "${oc.env:CODE,os.mkdir}", "path": owned},
    ):
        with pytest.raises(CryofixError, match=r"_target_=.* is no class of cryofix"):
            build(OmegaConf.create({"mask": node}).mask)
    assert not Path(owned).exists()


def test_a_class_that_the_user_types_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a module beside the command; a wrong decay of the teacher ends the run thereafter."""
    from cryofix.train import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "typed_policy.py").write_text(
        "from cryofix.masking import NoMask\n"
        "class Mine(NoMask):\n"
        "    def rule(self):\n"
        "        return 'is of the user'\n"
    )
    small = ["trainer=smoke", "data.simulate.micrographs=8", "teacher.decay=5", "output=out"]
    words = ["mask=none", "mask._target_=typed_policy.Mine"]
    command = ["cryofix.train", *small, *words]
    with mock.patch.object(sys, "argv", command), pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr()
    assert "is of the user" in printed.out
    assert "teacher.decay=5" in printed.err
