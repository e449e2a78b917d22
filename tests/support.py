"""Running the commands in this process, on a data set small enough for tests."""

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

SMALL = (
    "trainer=smoke",
    "data.simulate.micrographs=8",
    "compute.channels_last=false",
)


def run_train(*overrides: str) -> float | None:
    """Run ``python -m cryofix.train`` in this process."""
    from cryofix.train import main

    with mock.patch.object(sys, "argv", ["cryofix.train", *overrides]):
        result: float | None = main()
    return result


def results(folder: Path) -> dict[str, Any]:
    """Read ``results.json`` without what may differ between two equal runs."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text())
    content.pop("seconds")
    return content
