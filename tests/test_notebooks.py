"""The notebooks run from top to bottom, and what is committed of them is what they say."""

import re
import runpy
import socket
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TOOL = runpy.run_path(str(NOTEBOOKS / "execute.py"))
NAMES: tuple[str, ...] = TOOL["NAMES"]
MOST_BYTES = 1_500_000
LONGEST = "02_cure"
STEPS = ("steps.burn_in=3", "steps.stage=3", "steps.validate_every=3")
SMALL = ("trainer=smoke", "data.simulate.micrographs=8", "ratio=0.5", *STEPS)
TINY: dict[str, dict[str, Any]] = {
    "01_collapse": {"SETTINGS": ("experiment=collapse", *SMALL)},
    "02_cure": {"SETTINGS": SMALL},
    "03_your_data": {
        "REAL": None,
        "MICROGRAPHS": 4,
        "START": ("trainer=smoke", "data.simulate.micrographs=8", *STEPS),
        "TRAINING": ("trainer=smoke", *STEPS),
    },
}


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [one for cell in notebook.cells for one in cell.get("outputs", [])]


def shows_its_pictures(notebook: nbformat.NotebookNode) -> bool:
    kinds = {"image/png", "image/jpeg"}
    drawing = [
        cell for cell in notebook.cells if re.search(r"^(plt\.show|Image)\(", cell.source, re.M)
    ]
    return bool(drawing) and all(
        any(kinds & set(one.get("data", ())) for one in cell.outputs) for cell in drawing
    )


def text(output: nbformat.NotebookNode) -> str:
    """Return everything of an output but its pictures."""
    data = output.get("data", {})
    return str([output.get("text"), *(data[kind] for kind in data if kind.startswith("text/"))])


def given_away(notebook: nbformat.NotebookNode) -> list[str]:
    """Return what no reader is to see: folders and name of this machine, warnings."""
    places = [str(NOTEBOOKS.parent), str(Path.home()), "/tmp/", "site-packages"]
    machine = rf"\b{re.escape(socket.gethostname())}\b"
    everything = "\n".join(text(one) for one in outputs(notebook))
    found = [place for place in places if place in everything]
    found += re.findall(machine, everything)
    return found + [text(one) for one in outputs(notebook) if one.get("name") == "stderr"]


def test_every_notebook_is_run_with_settings_of_its_own() -> None:
    assert set(NAMES) == set(TINY)
    for name, settings in TINY.items():
        (cell,) = (
            cell
            for cell in TOOL["read_source"](name).cells
            if "parameters" in cell.metadata.get("tags", [])
        )
        defined: dict[str, Any] = {}
        exec(cell.source, defined)  # our own file
        assert settings.keys() <= defined.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_is_its_source_with_outputs(name: str) -> None:
    committed = jupytext.read(NOTEBOOKS / f"{name}.ipynb")
    source = TOOL["read_source"](name)
    assert [(cell.cell_type, cell.source) for cell in committed.cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ], "run `make notebooks`"
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert shows_its_pictures(committed)
    assert given_away(committed) == []
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < MOST_BYTES


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == LONGEST else pytest.param(name)
        for name in NAMES
    ],
)
def test_a_notebook_runs_from_top_to_bottom(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = TOOL["read_source"](name)
    before = [cell.source for cell in notebook.cells]
    TOOL["execute"](notebook, TINY[name])
    assert shows_its_pictures(notebook)
    assert given_away(notebook) == []
    assert [cell.source for cell in notebook.cells] == before
