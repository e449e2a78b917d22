"""Run the notebooks and keep their outputs: ``python notebooks/execute.py [NAME ...]``.

The text and code of a notebook are in its ``.py``; the ``.ipynb`` beside it is made from that.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
NAMES = tuple(path.stem for path in sorted(FOLDER.glob("[0-9]*.py")))
PARAMETERS = "parameters"  # tag of the cell with the settings


def read_source(name: str) -> nbformat.NotebookNode:
    """Return a notebook as its ``.py`` has it, without outputs."""
    notebook = jupytext.read(FOLDER / f"{name}.py")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # the same in each run, so that a diff shows what has changed
    return notebook


def execute(notebook: nbformat.NotebookNode, settings: Mapping[str, Any] | None = None) -> None:
    """Run all cells, in a kernel of this Python, and fill in their outputs.

    Parameters
    ----------
    notebook
        Is changed.
    settings
        Values that take the place of those in the cell with the tag ``parameters``.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    tagged = [cell for cell in notebook.cells if PARAMETERS in cell.metadata.get("tags", [])]
    source = tagged[0].source
    tagged[0].source += "".join(f"\n{name} = {value!r}" for name, value in (settings or {}).items())
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    tagged[0].source = source


def main() -> None:
    """Execute the named notebooks, or all, and write their ``.ipynb``."""
    for name in sys.argv[1:] or NAMES:
        print(name, flush=True)
        notebook = read_source(name)
        execute(notebook)
        nbformat.write(notebook, FOLDER / f"{name}.ipynb")


if __name__ == "__main__":
    main()
