"""A real SLURM for the session: controller, one node and munge, in folders and ports of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import free_port

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol", "squeue")
SECONDS_TO_START = 30
SBIN = ("/usr/sbin", "/usr/local/sbin")  # where daemons are, often not on a user's PATH

CONFIGURATION = """
ClusterName=cryofix
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
# Credentials expire soon because a requeued job waits for that before it starts again.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
KillWait=5
ReturnToService=2
# The node may claim more cores than the machine has, so that arrays run side by side.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=16000 State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A running cluster of one node."""

    folder: Path
    environment: Mapping[str, str]  # for programs that are to find this cluster

    def run(self, *command: str, cwd: Path | None = None, timeout: float = 60) -> str:
        """Run a program in the cluster's environment and return its output."""
        return subprocess.run(
            command,
            cwd=cwd,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        ).stdout

    def jobs(self) -> dict[str, str]:
        """Return the state of each job that is waiting or running, arrays by element."""
        listed = self.run("squeue", "--noheader", "--array", "--format=%i %T")
        return dict(line.split() for line in listed.splitlines())

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until ``condition`` holds; fail with the controller's log if it never does."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                log = (self.folder / "slurmctld.log").read_text()[-2000:]
                pytest.fail(f"waited {seconds:g} s for {what}; jobs {self.jobs()}; {log}")
            time.sleep(0.3)

    def wait_until_idle(self, seconds: float = 120) -> None:
        """Wait until no job waits or runs."""
        self.wait(lambda: not self.jobs(), seconds, "the queue to become empty")


def find_program(name: str) -> str | None:
    """Return the path of a program, also of one that only the system's administrator calls."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *SBIN)))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Start SLURM and munge, and stop both by their process ids; skip where they are absent."""
    paths = {name: find_program(name) for name in PROGRAMS}
    absent = [name for name, path in paths.items() if path is None]
    if absent:
        pytest.skip(f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge")
    # Not below pytest's folder: a socket's path may have only 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="cryofix-slurm-"))
    pids: list[int] = []
    try:
        _start_munge(folder, str(paths["munged"]), pids)
        cluster = _start_slurm(folder, paths, pids)
        yield cluster
        for job in cluster.jobs():
            cluster.run("scancel", job)
    finally:
        _stop(pids)
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def _start_munge(folder: Path, munged: str, pids: list[int]) -> None:
    """Start munged as the present user, with a key, a socket and logs of its own."""
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    options = {"socket": "socket", "key-file": "key", "pid-file": "pid"}
    options |= {"log-file": "log", "seed-file": "seed"}
    command = [munged, *(f"--{name}={folder}/munge.{end}" for name, end in options.items())]
    subprocess.run(command, check=True, timeout=30)
    pids.append(_read_pid(folder / "munge.pid"))


def _start_slurm(folder: Path, paths: Mapping[str, str | None], pids: list[int]) -> Slurm:
    host = socket.gethostname().split(".")[0]
    settings = {
        "host": host,
        "user": _user(),
        "folder": folder,
        "controller_port": free_port(),
        "node_port": free_port(),
        "cores": max(4, os.cpu_count() or 1),
    }
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(**settings))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    path = os.pathsep.join((os.environ.get("PATH", ""), *SBIN))
    # What a job of an outer SLURM would inherit must not reach ours.
    outer = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
    cluster = Slurm(folder, {**outer, "PATH": path, "SLURM_CONF": str(configuration)})
    for daemon in ("slurmctld", "slurmd"):
        cluster.run(str(paths[daemon]), "-c", "-f", str(configuration))
        pids.append(_read_pid(folder / f"{daemon}.pid"))
    cluster.wait(
        lambda: cluster.run("sinfo", "--noheader", "--format=%T").strip() == "idle",
        SECONDS_TO_START,
        "the node to become idle",
    )
    return cluster


def _read_pid(path: Path) -> int:
    """Return the process id that a daemon has written, or is about to write."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        content = path.read_text().strip() if path.exists() else ""
        if content:
            return int(content)
        time.sleep(0.1)
    pytest.fail(f"no process id in {path} after {SECONDS_TO_START} s")


def _stop(pids: list[int]) -> None:
    """End the daemons, the last started first; what has not ended after 10 s is killed."""
    for pid in reversed(pids):
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
                time.sleep(0.1)
