"""Writing a report's files, each whole or not at all."""

import io
from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.files import atomic_write
from cryofix.sweeps.html import page
from cryofix.sweeps.markdown import markdown
from cryofix.sweeps.summarise import Summary
from cryofix.sweeps.table import csv_table, runs_table


def write_report(summary: Summary, folder: str | Path) -> list[Path]:
    """Write ``report.html``, ``.md``, ``.csv``, ``runs.csv`` and ``gains.png``; return their paths.

    Without a gain there is no picture of gains.

    Raises CryofixError: the folder cannot be written.
    """
    from cryofix.sweeps.gains_figure import gains_figure  # Matplotlib takes its time

    contents = {
        name: content.encode()
        for name, content in {
            "report.html": page(summary),
            "report.md": markdown(summary),
            "report.csv": csv_table(summary),
            "runs.csv": runs_table(summary),
        }.items()
    }
    figure = gains_figure(summary)
    if figure is not None:
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=120, facecolor="white")
        contents["gains.png"] = drawn.getvalue()
    written = []
    for name, content in contents.items():
        path = Path(folder) / name
        try:
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise CryofixError(
                f"Cannot write {path} ({error.strerror or error}); give another folder with "
                "output=FOLDER."
            ) from error
        written.append(path)
    return written
