"""Commands that a long benchmark runs once, with the time they took."""

import datetime
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryofix.files import write_json


@dataclass(frozen=True)
class Commands:
    """Steps of a benchmark, each a command; what has finished is not run again."""

    folder: Path
    """Each step gets a folder in it, with its ``log.txt`` and, once finished, its ``step.json``."""

    def run(self, name: str, command: Sequence[str | Path]) -> dict[str, Any]:
        """Run a command in a clean folder, or return what it took before.

        Returns
        -------
        Wall and CPU seconds (``seconds``, ``cpu_seconds``: of all its processes and threads), the
        machine's load before it started, the date and the command.
        """
        folder, typed = self.folder / name, [str(word) for word in command]
        record_path = folder / "step.json"
        if record_path.exists():
            record: dict[str, Any] = json.loads(record_path.read_text())
            if record["command"] != typed:
                sys.exit(f"{folder} was made by another command: remove it, or give another folder")
            return record
        # Half a step is not continued: its time would be that of the other half.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"{name} ...", flush=True)
        load, before, began = os.getloadavg()[0], _cpu_seconds(), time.perf_counter()
        with (folder / "log.txt").open("w") as log:
            done = subprocess.run(typed, stdout=log, stderr=subprocess.STDOUT, check=False)
        seconds, cpu_seconds = time.perf_counter() - began, _cpu_seconds() - before
        if done.returncode:
            sys.exit(f"{name} failed with code {done.returncode}: see {folder / 'log.txt'}")
        record = {
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu_seconds, 2),
            "load_before": round(load, 2),
            "date": datetime.date.today().isoformat(),
            "command": typed,
        }
        write_json(record_path, record)
        print(f"{name}: {seconds:.1f} s, {cpu_seconds:.1f} s of CPU", flush=True)
        return record


def _cpu_seconds() -> float:
    """Return what all finished child processes used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pace(files: Sequence[Path]) -> float:
    """Return seconds per file of a command that writes one file after the other.

    Starting the command and the first file do not count.
    """
    written = sorted(file.stat().st_mtime for file in files)
    return (written[-1] - written[0]) / (len(written) - 1)
