"""hydra/launcher=local on a tiny Hydra program: slots, threads, failures and deaths."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cryofix.config import config_folder
from cryofix.errors import CryofixError
from support import wait_until

# By name, because mypy would see a module of a namespace package under two names.
LocalLauncher = importlib.import_module("hydra_plugins.cryofix_local_launcher").LocalLauncher

APP = """
import json, os, time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    began = time.time()
    if config.job == 1:
        raise ValueError("job 1 is unlucky")
    if config.job == 2:
        os._exit(9)  # as the system kills a process that takes too much memory
    folder = Path(HydraConfig.get().runtime.output_dir)
    if config.job == 9:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    time.sleep(1)
    content = [began, time.time(), os.environ["OMP_NUM_THREADS"]]
    (folder / "out.json").write_text(json.dumps(content))

main()
"""


def app_in(folder: Path) -> Path:
    """Write the program and its configuration."""
    (folder / "app.py").write_text(APP)
    launchers = folder / "conf" / "hydra" / "launcher"
    shutil.copytree(config_folder() / "hydra" / "launcher", launchers)
    (folder / "conf" / "config.yaml").write_text("job: 0\n")
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run four jobs two at a time; the second raises, the third dies."""
    folder = app_in(tmp_path_factory.mktemp("local"))
    words = ["job=0,1,2,3", "hydra/launcher=local", "hydra.launcher.jobs_at_once=2"]
    words += ["hydra.launcher.cpus_per_task=1", "hydra.sweep.dir=out"]
    command = [sys.executable, "app.py", "-m", *words]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, folder / "out"


@pytest.mark.slow
def test_the_rest_goes_on_after_a_failure_and_a_death(swept: Any) -> None:
    _, folder = swept
    finished = sorted(path.parent.name for path in folder.glob("*/out.json"))
    assert finished == ["0", "3"]


@pytest.mark.slow
def test_the_command_fails_with_the_first_failure(swept: Any) -> None:
    done, _ = swept
    assert done.returncode != 0
    assert "job 1 is unlucky" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("interrupts", [signal.default_int_handler, signal.SIG_IGN])
def test_sigterm_leaves_no_job_behind(tmp_path: Path, interrupts: Any) -> None:
    """Also where a script started the sweep with ``&``, so that SIGINT is ignored."""
    words = ["job=9", "hydra/launcher=local", "hydra.sweep.dir=out"]
    command = [sys.executable, "app.py", "-m", *words]
    pid_file = tmp_path / "out/0/pid"
    folder, before = app_in(tmp_path), signal.signal(signal.SIGINT, interrupts)
    try:
        launcher = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGINT, before)
    with launcher:
        wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(timeout=60) == 128 + signal.SIGTERM
    job = Path("/proc") / pid_file.read_text()
    wait_until(lambda: not job.exists())


@pytest.mark.slow
def test_sigkill_leaves_no_job_behind(tmp_path: Path) -> None:
    words = ["job=9", "hydra/launcher=local", "hydra.sweep.dir=out"]
    folder, pid_file = app_in(tmp_path), tmp_path / "out/0/pid"
    with subprocess.Popen([sys.executable, "app.py", "-m", *words], cwd=folder) as launcher:
        wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
        launcher.kill()
        job = Path("/proc") / pid_file.read_text()
        wait_until(lambda: not job.exists())


def test_slots_bound_how_many_run_at_once(swept: Any) -> None:
    _, folder = swept
    spans = [json.loads(path.read_text())[:2] for path in folder.glob("*/out.json")]
    for began, _ in spans:
        assert sum(start <= began < end for start, end in spans) <= 2


@pytest.mark.slow
def test_jobs_have_their_threads_and_logs(swept: Any) -> None:
    _, folder = swept
    assert json.loads((folder / "0" / "out.json").read_text())[2] == "1"
    logs = [path.read_text() for path in folder.glob(".submitit/*/*_0_log.*")]
    assert len(logs) == 8, "output and errors of four jobs"


def launcher(**settings: Any) -> Any:
    return LocalLauncher(submitit_folder="logs/%j", **settings)


def test_each_slot_has_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,5,7,8")
    assert launcher()._slots() == [(gpu,) for gpu in "23578"]
    assert launcher(gpus_per_node=2)._slots() == [("2", "3"), ("5", "7")]
    assert launcher(jobs_at_once=6)._slots() == [(gpu,) for gpu in "235782"]
    assert all(slot == () for slot in launcher(gpus_per_node=0)._slots())


def test_gpus_may_have_the_names_that_a_scheduler_gives_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-59e9f5a0-e4a3-5e1b-b5a5-1d1f0a0b1c2d")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ", ".join(names))
    assert launcher()._slots() == [(name,) for name in names]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "gpu0")
    with pytest.raises(CryofixError, match="CUDA_VISIBLE_DEVICES=gpu0"):
        launcher()._slots()


def test_a_job_sees_the_gpu_of_its_slot_under_its_name(tmp_path: Path) -> None:
    app_in(tmp_path)
    (tmp_path / "app.py").write_text(
        "import os, hydra\n"
        "from pathlib import Path\n"
        "@hydra.main(version_base='1.3', config_path='conf', config_name='config')\n"
        "def main(config):\n"
        "    Path('gpu').write_text(os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "main()\n"
    )
    subprocess.run(
        [sys.executable, "app.py", "-m", "job=0", "hydra/launcher=local"],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "MIG-59e9f5a0-e4a3"},
        timeout=300,
        check=True,
    )
    assert (tmp_path / "gpu").read_text() == "MIG-59e9f5a0-e4a3"


def test_without_gpus_the_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7)))
    assert launcher(cpus_per_task=2)._slots() == [()] * 3
    assert launcher(cpus_per_task=64)._slots() == [()]


def test_too_few_gpus_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(CryofixError, match="gpus_per_node=2, but this machine shows 1"):
        launcher(gpus_per_node=2)._slots()


def test_the_configuration_group_fits_the_launcher() -> None:
    keys = yaml.safe_load((Path(config_folder()) / "hydra/launcher/local.yaml").read_text())
    assert keys.pop("_target_").endswith(LocalLauncher.__name__)
    assert launcher(**{key: keys[key] for key in keys if key != "submitit_folder"})
