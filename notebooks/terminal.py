"""What the notebooks share: the commands of cryofix, run as they are typed."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

COLUMNS = 104  # of the tables that are printed
# Of a progress bar that some library might draw in a notebook; none does.
warnings.filterwarnings("ignore", message="IProgress not found")


class Terminal:
    """Runs ``python -m cryofix.COMMAND OVERRIDES`` in a folder and shows what it prints.

    Parameters
    ----------
    folder
        Where relative paths begin. Its own path is left out of what is shown.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def __call__(self, command: str, *overrides: str) -> None:
        """Run one command to its end.

        Raises
        ------
        RuntimeError
            If it fails; what it had to say is above.
        """
        module = f"cryofix.{command}"
        environment = {**os.environ, "COLUMNS": str(COLUMNS), "PYTHONUTF8": "1"}
        environment.pop("FORCE_COLOR", None)  # a kernel sets it; bars that move are for terminals
        print("$ python -m", module, *overrides, flush=True)
        with subprocess.Popen(
            [sys.executable, "-m", module, *overrides],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        ) as process:
            before = ""
            for line in process.stdout:
                shown = line.rstrip().replace(f"{self.folder}{os.sep}", "")
                on_the_way = " s left" in shown  # the next line takes its place
                print(shown.ljust(len(before)), end="\r" if on_the_way else "\n", flush=True)
                before = shown if on_the_way else ""
        if process.returncode:
            raise RuntimeError(f"{module} ended with code {process.returncode}")
