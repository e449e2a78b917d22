"""The diagnosis command: probabilities of any program, checkpoints of cryofix, and refusals."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import hydra
import numpy as np
import pytest
import torch
from numpy.lib.format import open_memmap
from omegaconf import open_dict

from cryofix.config import config_folder, to_plain
from cryofix.learning.checkpoint import save_picker
from cryofix.learning.network import build_network
from support import SMALL

FIGURES = ("keep_rates", "probabilities", "generations", "calibration", "map")
GIB = 1 << 30


def run(*overrides: str) -> None:
    """Run ``python -m cryofix.diagnose`` in this process."""
    from cryofix.diagnose import main

    with mock.patch.object(sys, "argv", ["cryofix.diagnose", *overrides]):
        main()


def refusal(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    """Run what has to fail and return its sentence."""
    with pytest.raises(SystemExit) as stop:
        run(*overrides)
    assert stop.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("cryofix.diagnose: ")
    return lines[0]


def content(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "diagnosis.json").read_text())
    return loaded


def write_maps(folder: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    truth = rng.random((2, 64, 64)) < 0.05
    logits = np.where(truth, rng.normal(0.2, 0.7, truth.shape), rng.normal(-1.8, 1, truth.shape))
    np.save(folder / "p.npy", (1 / (1 + np.exp(-logits))).astype(np.float32))
    np.save(folder / "y.npy", truth)
    return folder / "p.npy", folder / "y.npy"


def test_probabilities_of_any_program_are_diagnosed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    p, y = write_maps(tmp_path)
    folder = tmp_path / "out"
    run(
        f"probabilities={p}",
        f"truth={y}",
        "mask=symmetric",
        "mask.threshold=0.7",
        f"output={folder}",
    )
    found = content(folder)
    assert found["mask_keep_rates"]["drift"] < -1
    assert found["pixels"] == found["pixels_with_truth"] == 8192
    assert (folder / "keep_rates.csv").is_file()
    assert [name for name in FIGURES if not (folder / "figures" / f"{name}.png").is_file()] == []
    printed = capsys.readouterr().out
    for part in ("What a mask keeps", "by true class", "Verdict", "mask=class_aware", str(folder)):
        assert part in printed
    assert not [path for path in folder.rglob("*") if "=" in path.name]


def test_without_truth_and_mask_fixmatchs_own_is_diagnosed(tmp_path: Path) -> None:
    p, _ = write_maps(tmp_path)
    run(f"probabilities={p}", "prior=0.04", f"output={tmp_path / 'out'}")
    found = content(tmp_path / "out")
    assert found["mask"] == "symmetric"
    assert "0.95" in found["mask_says"]
    assert found["prior"] == 0.04
    assert found["scores"] is None
    assert "pseudo_precision" not in found["keep_rates"][0]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a run folder with an untrained network, which is all that diagnosis needs."""
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("train", [*SMALL, "ratio=0.5", "mask=quota", "output=unused"])
    with open_dict(config):
        del config.names  # which options were chosen: only a running command knows
    plain = to_plain(config)
    torch.manual_seed(0)
    network = build_network(**plain["model"], prior=0.05)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(3)  # else an untrained network says one thing everywhere
    folder = tmp_path_factory.mktemp("run")
    metadata = {
        "config": plain,
        "prior": 0.05,
        "stage": "fixmatch",
        "thresholds": None,
        "particle_px": 24.0,
        "diameter_px": 48.0,
        "diameter_angstrom": 120.0,
    }
    save_picker(folder / "checkpoints" / "selected.ckpt", network, metadata)
    return folder


def test_a_run_folder_is_diagnosed_with_its_own_data_and_mask(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(f"checkpoint={checkpoint}", f"output={tmp_path / 'out'}")
    found = content(tmp_path / "out")
    assert found["mask"] == "quota"
    assert found["prior"] == 0.05
    forecast = found["forecast"]
    assert (forecast["teacher"], forecast["weight"]) == ("ema", 1.0)  # the run's own
    assert found["pixels"] == found["pixels_with_truth"] > 100_000
    assert (tmp_path / "out" / "figures" / "map.png").is_file()
    assert "predicting unlabelled" in capsys.readouterr().out
    before = list(checkpoint.rglob("*"))
    assert before == [checkpoint / "checkpoints", checkpoint / "checkpoints" / "selected.ckpt"]


def test_mask_data_and_part_may_be_others(checkpoint: Path, tmp_path: Path) -> None:
    run(
        f"checkpoint={checkpoint}",
        "data=synthetic",
        "data.simulate.micrographs=8",
        "part=test",
        "mask=class_aware",
        "mask.particle_threshold=0.7",
        "prior=0.03",
        "teacher=self",
        "unlabelled.weight=200",
        f"output={tmp_path / 'out'}",
    )
    found = content(tmp_path / "out")
    assert found["mask"] == "class_aware"
    assert found["particle_threshold"] == pytest.approx(0.7)
    assert found["prior"] == 0.03
    forecast = found["forecast"]
    assert (forecast["teacher"], forecast["weight"]) == ("self", 200.0)
    assert 0 < forecast["probability"] < 1
    assert "test micrographs" in found["source"]


def test_an_unknown_part_is_said(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, f"checkpoint={checkpoint}", "part=some", f"output={tmp_path / 'out'}")
    assert "part=some is not known; use one of unlabelled, labelled" in said


def test_a_checkpoint_cannot_name_code_to_run(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = torch.load(checkpoint / "checkpoints" / "selected.ckpt", weights_only=True)
    owned = tmp_path / "owned"
    loaded["cryofix"]["config"]["mask"] = {"_target_": "os.mkdir", "path": str(owned)}
    loaded["cryofix"]["config"]["data"]["_target_"] = "os.mkdir"
    torch.save(loaded, tmp_path / "evil.ckpt")
    said = refusal(capsys, f"checkpoint={tmp_path / 'evil.ckpt'}", f"output={tmp_path / 'out'}")
    assert "mask._target_=os.mkdir is no MaskingPolicy" in said
    assert not owned.exists()


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ([], ["give either checkpoint=RUN", "probabilities=FILE"]),
        (["checkpoint=a", "probabilities=b"], ["give either checkpoint=RUN"]),
        (
            ["probabilities={p}", "prior=0.04", "mask=bernoulli"],
            ["mask=bernoulli looks at labelled pixels of both classes", "give truth="],
        ),
        (["probabilities=nowhere.npy"], ["probabilities=nowhere.npy does not exist"]),
        (["checkpoint=nowhere"], ["checkpoint=nowhere does not exist"]),
        (["probabilities={p}", "truth=nowhere"], ["truth=nowhere does not exist"]),
        (["probabilities={p}", "prior=1.5"], ["prior=1.5"]),
        (["probabilities={p}", "progress=3"], ["progress=3"]),
        (["probabilities={p}", "mask=nope"], ["mask=nope does not exist", "symmetric"]),
        (["probabilities={p}", "mask=symmetric", "mask.threshold=3.0"], ["mask.threshold", "3.0"]),
        (["probabilitys={p}"], ["did you mean probabilities?"]),
    ],
)
def test_wrong_overrides_are_said_in_one_sentence(
    overrides: list[str], parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    p, _ = write_maps(tmp_path)
    filled = [override.format(p=p) for override in overrides]
    said = refusal(capsys, *filled, f"output={tmp_path / 'out'}")
    for part in parts:
        assert part in said


def test_help_explains_keys_without_loading_torch() -> None:
    code = (
        "import sys; sys.argv = ['cryofix.diagnose', '--help']\n"
        "from cryofix.diagnose import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    for word in ("checkpoint", "probabilities", "truth", "prior", "mask", "docs/diagnose.md"):
        assert word in said.stdout


def write_large(path: Path, pixels: int, saturated: bool = False) -> None:
    rng = np.random.default_rng(0)
    stored = open_memmap(path, mode="w+", dtype=np.float32, shape=(pixels,))
    block = 1 << 22
    for start in range(0, pixels, block):
        size = min(block, pixels - start)
        logits = rng.standard_normal(size, dtype=np.float32)
        logits = 4 * logits - 12 if saturated else logits - 1.8
        logits[: size // 25] += 2
        stored[start : start + size] = 1 / (1 + np.exp(-logits))
    stored.flush()


def cold(path: Path) -> None:
    """Drop a file from the system's cache, so that reading means reading."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize("saturated", [False, True])
def test_counting_takes_less_than_twice_as_long_as_reading(tmp_path: Path, saturated: bool) -> None:
    from cryofix.diagnosis.arrays import find_arrays
    from cryofix.diagnosis.streaming import count_arrays, pair_up

    path = tmp_path / "large.npy"
    write_large(path, 200_000_000, saturated)
    pairs, buffer, ratios = pair_up(find_arrays(path, "p"), []), bytearray(1 << 20), []
    for _ in range(5):  # on a busy machine the best of several is the least disturbed
        cold(path)
        began = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        middle = time.perf_counter()
        cold(path)
        again = time.perf_counter()
        count_arrays(pairs)
        ratios.append((time.perf_counter() - again) / (middle - began))
    busy = os.getloadavg()[0]
    if min(ratios) >= 2 and busy > 0.5:
        pytest.skip(f"other work (load {busy:.1f}) makes these times mean nothing: {ratios}")
    assert min(ratios) < 2, ratios


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file_and_stays_under_a_gibibyte(tmp_path: Path) -> None:
    used = []
    for pixels in (1_000_000, 300_000_000):
        write_large(tmp_path / "large.npy", pixels)
        np.savez(tmp_path / "large.npz", p=np.lib.format.open_memmap(tmp_path / "large.npy", "r"))
        (tmp_path / "large.npy").unlink()
        # A child of its own for each: the system keeps the highest use of all children of one.
        code = (
            "import resource, subprocess, sys\n"
            "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
        )
        command = [sys.executable, "-m", "cryofix.diagnose", "prior=0.04"]
        command += [f"probabilities={tmp_path / 'large.npz'}", f"output={tmp_path / 'out'}"]
        said = subprocess.run(
            [sys.executable, "-c", code, *command], check=True, capture_output=True, text=True
        )
        used.append(int(said.stdout))
    assert max(used) < GIB
    assert used[1] - used[0] < 0.1 * GIB
