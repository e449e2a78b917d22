"""What looking at the pseudo-labels costs, in one process, as a share of training itself."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cryofix.experiment.dashboard import Dashboard
from cryofix.experiment.guard import CollapseGuard
from cryofix.learning import step as learning_step
from cryofix.learning.module import FixMatch
from cryofix.learning.settings import Steps
from support import run_train

pytestmark = [pytest.mark.slow, pytest.mark.timed]

WATCHED = (
    (FixMatch, "optimizer_step"),  # forwards, backward and all
    (learning_step, "audit"),
    (FixMatch, "log_audit"),
    (CollapseGuard, "on_train_batch_end"),
    (Dashboard, "on_train_batch_end"),
)


def test_audits_take_less_than_2_percent_of_the_default_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            began = time.process_time()  # of this process: others may want the processor too
            result = method(*args, **keywords)
            seconds[name].append(time.process_time() - began)
            return result

        return call

    for owner, name in WATCHED:
        method = getattr(owner, name)
        monkeypatch.setattr(owner, name, timed(f"{owner.__name__}.{name}", method))
    run_train(
        "data.simulate.micrographs=8",
        "ratio=0.5",
        "trainer.accelerator=cpu",
        "steps={burn_in: 1, stage: 16, validate_every: 16, checkpoint_every: 16, log_every: 8,"
        " audit_every: 1}",
        f"output={tmp_path / 'run'}",
    )
    stage = slice(-14, None)  # of FixMatch, which is trained last, without its first two steps
    step, audit, log, guard, page = (
        statistics.median(seconds[f"{owner.__name__}.{name}"][stage]) for owner, name in WATCHED
    )
    cost = audit + log + guard + page
    share = cost * Steps().audited_share() / (step - audit - log)
    print(f"audit {1000 * cost:.1f} ms, step {1000 * step:.1f} ms: {100 * share:.2f} %")
    assert 0 < share < 0.02
