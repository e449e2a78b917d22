"""Two processes train as one does with the same batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from support import SMALL, results

pytestmark = pytest.mark.slow

STEPS = (
    "steps={burn_in: 2, stage: 20, validate_every: 10, checkpoint_every: 10,"
    " log_every: 1, audit_every: 5}"
)
COMMON = [*SMALL, STEPS, "ratio=0.5", "model.norm=group", "+trainer.strategy=ddp"]
# Every sum over the batch: soft Dice, the labelled batch in a policy's state, random masks.
EXACT = (
    "trainer.precision=64-true",
    "mask=bernoulli",
    "loss=bce_dice",
    "unlabelled.normaliser=kept",
)
# All that cuts, drops, chooses or averages over the batch besides.
METHODS = (
    "trainer.precision=64-true",
    "method=unimatch",
    "mask=quota",
    # With a short memory a pixel that rounding moves over the edge of a bin moves the threshold.
    "mask.decay=0.99",
    "teacher=frozen",
    "teacher.round_steps=8",
    "regulariser=ge_kl",
    "data.batch_unlabelled=4",
)
# At the full learning rate Adam makes a step of the rounding of a gradient near 0.
SINGLE = ("trainer.precision=32-true", "mask=class_aware", "optimiser.learning_rate=2e-5")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def train(folder: Path, processes: int, *overrides: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable] if processes == 1 else TORCHRUN
    return subprocess.run(
        [*start, "-m", "cryofix.train", *COMMON, *overrides, f"output={folder}"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(
    scope="module", params=[EXACT, METHODS, SINGLE], ids=["double", "methods", "single"]
)
def runs(
    request: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, tuple[str, ...]]:
    """Train with one process and with two; also say with which overrides."""
    folder = tmp_path_factory.mktemp("ddp")
    for processes in (1, 2):
        done = train(folder / str(processes), processes, *request.param)
        assert done.returncode == 0, done.stdout[-5000:]
    return folder / "1", folder / "2", request.param


def scalars(run: Path, stage: str) -> dict[str, list[float]]:
    events = EventAccumulator(str(run / "tensorboard" / stage))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [event.value for event in events.Scalars(tag)] for tag in tags}


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested containers by their path."""
    if isinstance(node, dict | list):
        parts = node.items() if isinstance(node, dict) else enumerate(node)
        return {
            key: each for name, part in parts for key, each in flat(part, f"{path}/{name}").items()
        }
    return {path: node}


def test_losses_of_every_step_agree(runs: tuple[Path, Path, tuple[str, ...]]) -> None:
    one, two, _ = runs
    for stage in ("burn_in", "supervised", "fixmatch"):
        expected, found = scalars(one, stage), scalars(two, stage)
        assert expected.keys() == found.keys()
        losses = [tag for tag in expected if tag.startswith("loss/")]
        assert losses
        for tag in losses:
            assert found[tag] == pytest.approx(expected[tag], rel=0, abs=1e-5), (stage, tag)
    assert len(expected["loss/unlabelled"]) == 20
    assert max(expected["loss/unlabelled"]) > 0


def test_policy_audits_and_scores_are_equal(runs: tuple[Path, Path, tuple[str, ...]]) -> None:
    one, two, overrides = runs
    if overrides is SINGLE:
        pytest.skip("in single precision they agree as well as the losses do")
    states = [
        torch.load(run / "checkpoints/fixmatch/last.ckpt", weights_only=True)["state_dict"]
        for run in (one, two)
    ]
    policy = [key for key in states[0] if key.startswith(("policy.", "frozen.chosen"))]
    assert policy
    for key in policy:
        assert torch.equal(states[0][key], states[1][key]), key
    expected, found = results(one), results(two)
    for kind in ("supervised", "fixmatch", "gain", "selected", "keep_rates", "collapse"):
        if overrides is EXACT:
            assert found[kind] == expected[kind], kind
        else:  # more sums over the batch, and the weights differ by 1e-9
            assert flat(found[kind]) == pytest.approx(flat(expected[kind]), abs=1e-6), kind
    kept, of_two = expected["mask_keep_rates"], found["mask_keep_rates"]
    assert kept["kept"] == of_two["kept"], "the same random pixels"
    assert 0 < kept["kept"] < 1
    assert of_two["mean_p"] == pytest.approx(kept["mean_p"], abs=1e-8)
    assert found["environment"]["processes"] == 2


def test_the_first_process_alone_writes(runs: tuple[Path, Path, tuple[str, ...]]) -> None:
    one, two, _ = runs
    names = [
        sorted(
            # Event files have a time and a process in their names, pictures of both are equal.
            path.relative_to(run).as_posix()
            for path in run.rglob("*")
            if path.is_file() and "events" not in path.name
        )
        for run in (one, two)
    ]
    assert names[0] == names[1]
    events = [len(list(run.rglob("*events*"))) for run in (one, two)]
    assert events[0] == events[1]


def test_a_finished_run_is_left_at_once_by_all(runs: tuple[Path, Path, tuple[str, ...]]) -> None:
    _, two, overrides = runs
    before = (two / "status.json").read_bytes()
    done = train(two, 2, *overrides)
    assert done.returncode == 0
    assert "has finished before" in done.stdout
    assert (two / "status.json").read_bytes() == before


def test_an_error_of_the_first_process_is_said_once(tmp_path: Path) -> None:
    done = train(tmp_path / "run", 2, "data.batch_labelled=3", "data.limit=8")
    assert done.returncode != 0
    assert done.stdout.count("data.batch_labelled=3 cannot be shared by 2 processes") == 1
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "failed"
