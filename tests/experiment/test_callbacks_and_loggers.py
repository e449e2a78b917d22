"""``callbacks=`` and ``logger=``: Lightning's own in a short training, and what is refused."""

import csv
import io
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from lightning import Callback
from lightning.pytorch.callbacks import Timer
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cryofix.errors import CryofixError
from cryofix.experiment.stage_trainer import make_parts
from cryofix.learning.checkpoint import load_picker
from cryofix.reporting.console import print_run_summary
from support import SMALL, message, results, run_train

SHORT = (*SMALL, "ratio=0.5", "steps.validate_every=2")
STOPPED = (
    *("callbacks=[early_stopping,best_checkpoint,learning_rate]", "logger=[csv,tensorboard]"),
    # The second validation can be no better by 1 than the first.
    *("callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1"),
)
STAGES = ("burn_in", "supervised", "fixmatch")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    run_train(*SHORT, *STOPPED, f"output={folder}")
    return folder


def test_early_stopping_ends_every_stage_which_stays_ended(run: Path, tmp_path: Path) -> None:
    content = results(run)
    assert content["steps"] == {"burn_in": 4, "stage": 6, "supervised": 4, "fixmatch": 4}
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    (folder / "results.json").unlink()  # as if it had been killed before it was scored
    run_train(*SHORT, *STOPPED, f"output={folder}")
    assert results(folder) == content


def test_who_stopped_a_branch_is_said_if_the_branches_differ(run: Path) -> None:
    content = results(run)
    assert content["stopped_by_guard"] is False

    def said(**taken: int) -> str:
        console = Console(file=io.StringIO(), width=200)
        print_run_summary(content | {"steps": content["steps"] | taken}, run, console)
        return cast("io.StringIO", console.file).getvalue()

    assert "unequal" not in said()
    assert "a callback stopped FixMatch at step 2 of 6; the control took 4" in said(fixmatch=2)
    assert "a callback stopped the control at step 4 of 6; FixMatch took 6" in said(fixmatch=6)


def test_the_best_checkpoint_of_each_stage_loads_by_itself(run: Path) -> None:
    for stage in STAGES:
        best = load_picker(run / "checkpoints" / stage / "best.ckpt")
        assert best.metadata["config"]["seed"] == 0


def test_tables_hold_what_events_hold_and_the_learning_rate(run: Path) -> None:
    with next((run / "csv" / "fixmatch").glob("*/metrics.csv")).open() as stream:
        rows = list(csv.DictReader(stream))
    events = EventAccumulator(str(run / "tensorboard" / "fixmatch")).Reload()
    for tag in ("loss/total", "mask/kept", "validation/particle_average_precision"):
        table = [(int(row["step"]), float(row[tag])) for row in rows if row.get(tag)]
        shown = [(each.step, each.value) for each in events.Scalars(tag)]
        assert np.array(table) == pytest.approx(np.array(shown), abs=1e-6), tag
    assert {"lr-AdamW"} <= rows[0].keys() & set(events.Tags()["scalars"])
    hyperparameters = next((run / "csv" / "fixmatch").glob("*/hparams.yaml"))
    assert "class_aware" in hyperparameters.read_text()


def test_without_a_logger_no_event_is_written(tmp_path: Path) -> None:
    run_train(*SHORT, "logger=[]", "method=supervised", f"output={tmp_path / 'run'}")
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert (tmp_path / "run" / "results.json").is_file()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+callbacks.mine._target_=builtins.dict", "callbacks.mine is no Callback of Lightning"),
        (
            "+callbacks.a={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: b,"
            " mode: up}",
            "callbacks.a.mode=up: lightning",
        ),
        ("+callbacks.a._target_=lightning.pytorch.callbacks.Nothing", "cannot be imported: check"),
        ("+logger.csv={_target_: lightning.pytorch.loggers.CSVLogger}", "logger.csv={}: lightning"),
        ("+callbacks.mine._target_=nowhere.Class", "cannot be imported: check its name"),
        ("+logger.tensorboard.nonsense=1", "logger.tensorboard.nonsense=1: lightning"),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, said: str
) -> None:
    assert said in message(capsys, *SHORT, override, f"output={tmp_path / 'run'}")
    assert not list((tmp_path / "run").glob("checkpoints/**/*.ckpt"))


def test_a_score_that_nobody_logs_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = ("callbacks=early_stopping", "callbacks.early_stopping.monitor=nothing")
    said = message(capsys, *SHORT, *monitor, f"output={tmp_path / 'run'}")
    assert "a callback or logger cannot go on" in said
    assert "`nothing`" in said


def test_only_lightning_cryofix_and_what_was_typed_is_called(tmp_path: Path) -> None:
    hostile = {"owned": {"_target_": "os.mkdir", "path": str(tmp_path / "owned")}}
    with pytest.raises(CryofixError, match="a file may name nothing else"):
        make_parts(hostile, "callbacks", Callback, [])
    ours = {"tests": {"_target_": "lightning.pytorch.callbacks.Timer", "duration": {"days": 1}}}
    assert isinstance(make_parts(ours, "callbacks", Callback, [])[0], Timer)


@pytest.mark.filterwarnings("default")  # theirs are no business of ours
@pytest.mark.parametrize("library", ["wandb", "mlflow"])
def test_other_services_get_every_stage(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(library, reason=f"tested where cryofix[{library}] is installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run_train(*SHORT, f"logger={library}", f"output={tmp_path / 'run'}")
    if library == "wandb":
        written = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
        assert len(written) == len(STAGES)
        return
    with closing(sqlite3.connect(tmp_path / "run" / "mlflow.db")) as database:
        rows = database.execute(
            "select distinct run_uuid from metrics where key = 'validation/particle_f1'"
        )
        assert len(rows.fetchall()) == len(STAGES)
