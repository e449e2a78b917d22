"""When ``last.ckpt`` is written, and when a stage stops."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cryofix.errors import Stopped
from cryofix.experiment import checkpointing
from cryofix.experiment.checkpointing import KeepCheckpoints
from cryofix.stopping import StopRequests


def test_a_signal_counts_from_the_step_at_which_all_processes_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    trainer: Any = SimpleNamespace(global_step=10, max_steps=100)
    trainer.save_checkpoint = lambda path: saved.append(trainer.global_step)
    stop = StopRequests()
    keep = KeepCheckpoints(tmp_path, every=10, validate_every=50, stop=stop)

    def asked_while_they_agree(flag: bool) -> bool:
        stop.signal = signal.SIGTERM
        return flag

    monkeypatch.setattr(checkpointing, "any_rank", asked_while_they_agree)
    keep.on_train_batch_end(trainer, SimpleNamespace(), None, None, 0)  # type: ignore[arg-type]
    assert saved == [10]
    trainer.global_step = 11
    with pytest.raises(Stopped, match="at step 11"):
        keep.on_train_batch_end(trainer, SimpleNamespace(), None, None, 0)  # type: ignore[arg-type]
    assert saved == [10, 11]
