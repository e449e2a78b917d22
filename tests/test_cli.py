"""What a user types wrong, and what is said: one sentence, exit code 1, no traceback."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cryofix.formats import write_mrc
from support import SMALL, message

FOLDER = "data=micrographs"


def write_micrographs(folder: Path, count: int = 4) -> None:
    random = np.random.default_rng(0)
    (folder / "coords").mkdir(parents=True)
    for number in range(count):
        image = random.normal(0, 1, (128, 160)).astype(np.float32)
        write_mrc(folder / f"m{number}.mrc", image, 2.0)
        (folder / "coords" / f"m{number}.csv").write_text(
            "X-Coordinate,Y-Coordinate,Diameter\n80,60,32\n40,30,32\n"
        )


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["ratioo=0.1"], ["ratioo is not a key", "did you mean ratio?"]),
        (["ratio=abc"], ["ratio=abc does not fit: give a number"]),
        (["data.limit=nope"], ["data.limit=nope does not fit", "whole number or null"]),
        (["mask=symmetric", "mask.threshold=abc"], ["mask.threshold=abc does not fit"]),
        (["model.encoder=1"], ["model.encoder=1 does not fit: give text"]),
        (["trainer=gpu"], ["trainer.accelerator=gpu", "no GPU", "trainer.accelerator=auto"]),
        (["trainer.accelerator=abacus"], ["trainer.accelerator=abacus", "abacus"]),
        (["+trainer.max_steps=4"], ["trainer.max_steps", "steps.stage"]),
        (["+trainer.limit_val_batches=0"], ["trainer.limit_val_batches", "steps.validate_every"]),
        (["+trainer.accumulate_grad_batches=2"], ["accumulate_grad", "batch_labelled"]),
        (["mask=nope"], ["mask=nope does not exist", "class_aware", "symmetric"]),
        (
            ["mask.treshold=0.7", "mask=symmetric"],
            ["mask.treshold", "did you mean mask.threshold?"],
        ),
        (["data.simulate={seed: 1, shap: 3}"], ["data.simulate.shap is not a key"]),
        (["data=empiar10017"], ["data.root", "give data.root=VALUE"]),
        (["data.images=raw"], ["data.images", "micrographs", "data=synthetic was chosen"]),
        (["data.coordinates=labels"], ["data.coordinates", "micrographs", "data=synthetic"]),
        (["data.root=/data/10017"], ["data.root", "cryoppp", "data=synthetic was chosen"]),
        (
            ["data=cryoppp", "data.root=/data/10017", "data.simulate.seed=1"],
            ["data.simulate.seed", "data=synthetic", "data=cryoppp was chosen"],
        ),
        (["data.simulate.snr_min=9", *SMALL], ["data.simulate.snr_min=9"]),
        (["+data.images=raw", *SMALL], ["data.simulate", "data.root, images"]),
        (["mask.threshold=0.7"], ["mask.threshold", "symmetric", "mask=class_aware was chosen"]),
        (["hydra/launcher=slurm", *SMALL], ["hydra/launcher=slurm", "add -m"]),
        (["hydra/launcher=local", *SMALL], ["hydra/launcher=local", "add -m"]),
        (["mask=symmetric", "mask.threshold=1.7"], ["mask.threshold", "1.7"]),
        (["teacher.kind=parrot", *SMALL], ["teacher.kind=parrot", "ema"]),
        (["steps.stage=0"], ["steps.stage=0"]),
        (["ratio=1.5", *SMALL], ["ratio=1.5", "at most 1"]),
        (["data.diameter_px=1000", *SMALL], ["1000 pixels wide in an image of", "wider than"]),
        (["data.diameter_px=2", *SMALL], ["2 pixels wide in an image of", "enlarged 12.0 times"]),
        (["data.diameter_px=-5", *SMALL], ["data.diameter_px=-5", "out of range"]),
        (["split_seed=-1", *SMALL], ["split_seed=-1", "out of range"]),
        (["method=magic", *SMALL], ["method=magic", "fixmatch"]),
        (["unlabelled.normaliser=sum", *SMALL], ["unlabelled.normaliser=sum", "kept"]),
        (["unlabelled.loss=mae", *SMALL], ["unlabelled.loss=mae", "mse"]),
        (["prior.value=4", *SMALL], ["prior.value=4", "between 0 and 1"]),
        (["regulariser=ge_kl", "regulariser.weight=-1"], ["regulariser.weight=-1"]),
        (
            [*SMALL, "augment.cutmix.probability=0.5", "data.batch_unlabelled=3"],
            ["data.batch_unlabelled=3", "multiple of 2"],
        ),
        (["teacher=frozen", "teacher.share=2", *SMALL], ["teacher.share=2", "at most 1"]),
    ],
)
def test_wrong_overrides(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, overrides: list[str], parts: list[str]
) -> None:
    said = message(capsys, *overrides, f"output={tmp_path / 'run'}")
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("command", "overrides", "parts"),
    [
        ("evaluate", ["checkpoint=x", "data.root=y"], ["data.root", "no data was chosen"]),
        ("diagnose", ["checkpoint=x", "data.root=y"], ["data.root", "no data was chosen"]),
        ("diagnose", ["checkpoint=x", "mask.threshold=0.7"], ["symmetric", "no mask was chosen"]),
        ("diagnose", ["checkpoint=x", "ratio=0.1"], ["ratio=0.1 has no effect", "data="]),
        ("evaluate", ["checkpoint=x", "ratio=0.1"], ["ratio=0.1 has no effect", "data="]),
        ("evaluate", ["picks=x"], ["picks=x", "data=micrographs"]),
        ("diagnose", ["checkpoint=x", "truth=y.npy"], ["truth=y.npy has no effect"]),
        ("diagnose", ["probabilities=x", "part=test"], ["part=test has no effect"]),
        ("diagnose", ["probabilities=x", "data=synthetic"], ["data=synthetic has no effect"]),
        (
            "evaluate",
            ["picks=x", "average_views=true"],
            ["average_views=true has no effect", "picks"],
        ),
        ("evaluate", ["checkpoint=x", "threshold=0.3"], ["threshold=0.3 has no effect", "picks="]),
        ("pick", ["checkpoint=x", "micrographs=y"], ["output has no default: give output=VALUE"]),
    ],
)
def test_wrong_overrides_of_other_commands(
    capsys: pytest.CaptureFixture[str], command: str, overrides: list[str], parts: list[str]
) -> None:
    said = message(capsys, *overrides, command=command)
    for part in parts:
        assert part in said


def test_a_sweep_without_slurm_is_one_sentence(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ("-m", "hydra/launcher=slurm", "seed=0", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "needs SLURM's sbatch" in message(capfd, *sweep)
    for program in ("sbatch", "srun"):
        (tmp_path / program).write_text(
            "#!/bin/sh\necho sbatch: error: no controller >&2; exit 1\n"
        )
        (tmp_path / program).chmod(0o755)
    said = message(capfd, *sweep)
    assert "sbatch: error: no controller" in said
    assert "hydra/launcher=local" in said


def test_a_sweep_says_where_it_is_how_far_it_is_and_what_reports_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a sweep"
    words = ["-m", "mask.target=x,y", *SMALL, f"hydra.sweep.dir={folder}"]
    monkeypatch.setattr(sys, "argv", ["cryofix.train", *words])
    with pytest.raises(SystemExit):
        importlib.import_module("cryofix.train").main()
    said = capsys.readouterr().out.strip().splitlines()
    report = f"python -m cryofix.report 'sweep={folder}'"
    assert said[0] == f"sweep {folder}: 2 jobs to run; to follow it: {report} watch=true"
    assert "job 1 of 2: mask.target=x" in said
    assert "job 2 of 2: mask.target=y" in said
    assert any(line.startswith("job 2 of 2 failed: mask.target is 'y'") for line in said)
    assert said[-1] == f"sweep {folder}: {report}"


def test_the_keys_of_a_launcher_have_types_too(capsys: pytest.CaptureFixture[str]) -> None:
    said = message(capsys, "-m", "hydra/launcher=local", "hydra.launcher.cpus_per_task=abc")
    assert "hydra.launcher.cpus_per_task=abc does not fit: give a whole number" in said


def test_a_missing_folder_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = message(
        capsys,
        FOLDER,
        f"data.images={tmp_path}/nothing/*.mrc",
        f"data.coordinates={tmp_path}",
        f"output={tmp_path / 'run'}",
    )
    assert "nothing" in said


def test_a_coordinate_outside_its_image_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_micrographs(tmp_path)
    (tmp_path / "coords" / "m2.csv").write_text(
        "X-Coordinate,Y-Coordinate,Diameter\n80,60,32\n900,30,32\n"
    )
    said = message(
        capsys,
        FOLDER,
        f"data.images={tmp_path}/*.mrc",
        f"data.coordinates={tmp_path}/coords",
        f"output={tmp_path / 'run'}",
    )
    assert "m2.csv" in said
    assert "900" in said


def test_labels_of_other_micrographs_are_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_micrographs(tmp_path)
    for path in (tmp_path / "coords").iterdir():
        path.rename(path.with_name(f"other_{path.name}"))
    said = message(
        capsys,
        FOLDER,
        f"data.images={tmp_path}/*.mrc",
        f"data.coordinates={tmp_path}/coords",
        f"output={tmp_path / 'run'}",
    )
    assert "other_m" in said


def test_a_truncated_micrograph_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_micrographs(tmp_path)
    path = tmp_path / "m1.mrc"
    path.write_bytes(path.read_bytes()[:5000])
    said = message(
        capsys,
        FOLDER,
        f"data.images={tmp_path}/*.mrc",
        f"data.coordinates={tmp_path}/coords",
        f"output={tmp_path / 'run'}",
    )
    assert "m1.mrc" in said
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "failed"
    assert "m1.mrc" in status["error"]


def test_a_checkpoint_of_another_program_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    said = message(
        capsys,
        f"checkpoint={tmp_path / 'other.ckpt'}",
        f"output={tmp_path / 'run'}",
        command="evaluate",
    )
    assert "other.ckpt" in said
    assert "cryofix" in said


def test_a_checkpoint_that_would_run_code_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"cryofix": Evil()}, tmp_path / "evil.ckpt")
    said = message(
        capsys,
        f"checkpoint={tmp_path / 'evil.ckpt'}",
        f"output={tmp_path / 'run'}",
        command="evaluate",
    )
    assert "evil.ckpt" in said
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("command", ["train", "evaluate", "simulate", "convert"])
def test_help_explains_groups_and_keys_in_words_without_loading_torch(command: str) -> None:
    code = (
        f"import sys; sys.argv = ['cryofix.{command}', '--help']\n"
        f"from cryofix.{command} import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert f"python -m cryofix.{command}" in shown.stdout
    assert "Keys" in shown.stdout


@pytest.mark.parametrize("command", ["label", "pick", "convert", "simulate"])
def test_help_prints_the_keys_with_their_comments(command: str) -> None:
    from cryofix.config import config_folder, described_keys

    text = described_keys(command)
    assert "hydra" not in text
    assert "- override" not in text
    in_file = (config_folder() / f"{command}.yaml").read_text()
    commented = [line for line in text.splitlines() if "#" in line]
    assert len(commented) >= 9
    assert set(commented) <= set(in_file.splitlines())
    help_text = (config_folder() / "hydra" / "help" / f"{command}.yaml").read_text()
    assert f"${{cryofix_keys:{command}}}" in help_text


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "cryofix.train", "ratioo=1", f"output={tmp_path}"],
        capture_output=True,
        text=True,
        env={**os.environ, "CRYOFIX_DEBUG": "1"},
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    assert "Traceback" in run.stderr
