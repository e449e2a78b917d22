"""What tests share: the commands run in this process on little data; free ports."""

import json
import socket
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


def free_port() -> int:
    """Return a TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
