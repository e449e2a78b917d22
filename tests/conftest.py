"""What all tests share: annotation checks, one thread, and where the real data is."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

sys.path.insert(0, str(Path(__file__).parent))  # for tests/support.py

# How long an example takes says what else the machine is doing.
hypothesis.settings.register_profile("cryofix", deadline=None)
hypothesis.settings.load_profile("cryofix")

# Shape annotations are checked under pytest only; users pay nothing for them.
install_import_hook(
    ["cryofix.masking", "cryofix.learning.losses", "cryofix.metrics", "cryofix.picking"],
    "beartype.beartype",
)

import torch  # noqa: E402 - after the import hook, as everything of cryofix has to be

torch.set_num_threads(1)

# A script that starts the tests with `&` has SIGINT ignored, and so would commands that they start.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep simulated and preprocessed micrographs of the whole session in one temporary folder."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYOFIX_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def log_handlers() -> Iterator[None]:
    """Take away what a command logs to, because its folder is gone when another test logs."""
    before = list(logging.root.handlers)
    yield
    for handler in [each for each in logging.root.handlers if each not in before]:
        logging.root.removeHandler(handler)
        handler.close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with a model of random weights, trained on particles of 40 pixels."""
    from random_picker import save_random_picker  # after the import hook

    folder = tmp_path_factory.mktemp("run")
    save_random_picker(folder)
    return folder


def shared_data() -> Path:
    """Return the folder of real micrographs, which the project does not contain."""
    root = Path(__file__).parents[1]
    return Path(os.environ.get("CRYOFIX_DATA", root.parent / "shared" / "data"))


@pytest.fixture
def unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the guard see shares far above the prior, whatever a hardly trained model predicts."""
    far = {"drift": 3.0, "kept share": 3.0, "predicted share": 3.0}
    monkeypatch.setattr("cryofix.experiment.guard.measures", lambda *_: dict(far))


@pytest.fixture
def empiar10017() -> Path:
    """Return the folder of 20 real micrographs, or skip with the reason."""
    folder = shared_data() / "empiar-10017"
    if not folder.is_dir():
        pytest.skip(f"no real micrographs at {folder}: set CRYOFIX_DATA to the folder with them")
    return folder


@pytest.fixture
def mrc_sample() -> Path:
    """Return the one small real MRC file, or skip with the reason."""
    folder = shared_data() / "mrc-sample"
    if not folder.is_dir():
        pytest.skip(f"no real MRC file at {folder}: set CRYOFIX_DATA to the folder with it")
    return next(folder.glob("*.mrc"))
