"""The hand of a person at the label page: `cryofix label`, and clicks in a real Chromium."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.browser import Browser
from cryofix.formats import find_micrographs, index_micrographs, read_coordinates

WHERE = """
const plot = Bokeh.documents[0].get_model_by_name("micrograph"), view = Bokeh.index.get_one(plot)
const box = view.canvas_view.el.getBoundingClientRect(), frame = view.frame.bbox
const {x_range: x, y_range: y} = plot
return [box.left + frame.left, box.top + frame.top, frame.width, frame.height,
        x.start, x.end, y.end, y.start]"""
BUTTON = """
const button = Bokeh.documents[0].get_model_by_name(NAME)
Bokeh.index.get_one(button).el.shadowRoot.querySelector("button").click()"""


@dataclass
class Served:
    """The command, and the folder that it writes into."""

    process: subprocess.Popen[str]
    address: str
    data: Path
    labels: Path

    def read(self) -> dict[str, NDArray[np.float64]]:
        """Return what the label files hold now, (n, 2) by micrograph."""
        if not any(self.labels.glob("*.csv")):
            return {}
        micrographs = index_micrographs(find_micrographs(self.data))
        found = read_coordinates(self.labels, micrographs, allow_empty=True)
        return {name: np.stack([each.x, each.y], axis=1) for name, each in found.items()}


@contextmanager
def served(data: Path, labels: Path, *words: str) -> Iterator[Served]:
    """Label the micrographs of a folder; the command is killed at the end."""
    command = [sys.executable, "-m", "cryofix", "label", f"micrographs={data}", f"output={labels}"]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Served(process, process.stdout.readline().split()[-1], data, labels)
        finally:
            process.kill()


class Hand:
    """Clicks at pixels of the micrograph, wherever and however large it is drawn."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        browser.resize(1400, 900)
        self.open(address)

    def open(self, address: str) -> None:
        browser = self.browser
        browser.open(address)
        until(lambda: browser.run("return window.Bokeh?.documents?.[0]?.is_idle === true"))

    def screen(self, x: float, y: float) -> tuple[int, int]:
        """Return the pixel of the window that is nearest to (x, y) of the micrograph."""
        left, top, width, height, x0, x1, y0, y1 = self.browser.run(WHERE)
        return (
            round(left + (x - x0) / (x1 - x0) * width),
            round(top + (y - y0) / (y1 - y0) * height),
        )

    def pixel(self, column: int, row: int) -> tuple[float, float]:
        """Return (x, y) of the micrograph at a pixel of the window."""
        left, top, width, height, x0, x1, y0, y1 = self.browser.run(WHERE)
        return (x0 + (column - left) / width * (x1 - x0), y0 + (row - top) / height * (y1 - y0))

    def click(self, x: float, y: float) -> tuple[float, float]:
        """Click on the window's pixel that is nearest to (x, y); return what it stands for."""
        at = self.screen(x, y)
        self.browser.tap(*at)
        return self.pixel(*at)

    def zoom(self, x: float, y: float, turn: int = 300) -> None:
        """Turn the wheel at (x, y); a positive turn goes closer."""
        before = self.browser.run(WHERE)
        self.browser.mouse("Wheel", *self.screen(x, y), deltaX=0, deltaY=-turn)
        until(lambda: self.browser.run(WHERE) != before)

    def press(self, name: str) -> None:
        self.browser.run(BUTTON.replace("NAME", repr(name)))

    def rings(self) -> int:
        """Return how many circles the page draws."""
        count: int = self.browser.run(
            "return Bokeh.documents[0].get_model_by_name('rings').data_source.data.x.length"
        )
        return count

    def said(self) -> str:
        return str(self.browser.run("return Bokeh.documents[0].get_model_by_name('said').text"))


def until(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for something; raises AssertionError when it has not happened in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
