"""Writing a report's files, each whole or not at all."""

from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.sweeps.html import page
from cryofix.sweeps.markdown import markdown
from cryofix.sweeps.summary import Summary
from cryofix.sweeps.table import csv_table, runs_table


def write_report(summary: Summary, folder: str | Path) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``report.csv`` and ``runs.csv``; return their paths.

    Raises
    ------
    CryofixError
        The folder cannot be written.
    """
    contents = {
        "report.html": page(summary),
        "report.md": markdown(summary),
        "report.csv": csv_table(summary),
        "runs.csv": runs_table(summary),
    }
    written = []
    for name, content in contents.items():
        path = Path(folder) / name
        try:
            with atomic_write(path) as temporary:
                temporary.write_text(content, encoding="utf-8")
        except OSError as error:
            raise CryofixError(
                f"Cannot write {path} ({error.strerror or error}); give another folder with "
                "output=FOLDER."
            ) from error
        written.append(path)
    return written
