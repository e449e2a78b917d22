"""A person at the label page, in a real Chromium: what is clicked is what the files hold."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from browser import Browser, opened_browser
from cryofix.formats import index_micrographs, read_coordinates, write_mrc
from support import SMALL, run_train

pytestmark = pytest.mark.slow

ROWS, COLUMNS, DIAMETER = 900, 1300, 60.0
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
        found = read_coordinates(
            self.labels, index_micrographs(sorted(self.data.glob("*.mrc"))), allow_empty=True
        )
        return {name: np.stack([each.x, each.y], axis=1) for name, each in found.items()}


@contextmanager
def served(folder: Path, *words: str) -> Iterator[Served]:
    data, labels = folder / "data", folder / "labels"
    command = [sys.executable, "-m", "cryofix", "label", f"micrographs={data}/*.mrc"]
    given = (f"output={labels}", f"diameter_px={DIAMETER}", *words)
    with subprocess.Popen([*command, *given], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Served(process, process.stdout.readline().split()[-1], data, labels)
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(2):
        image = random.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32)
        write_mrc(tmp_path / "data" / f"m{number}.mrc", image, 2.0)
    return tmp_path


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
        left, top, width, height, x0, x1, y0, y1 = self.browser.run(WHERE)
        return (
            round(left + (x - x0) / (x1 - x0) * width),
            round(top + (y - y0) / (y1 - y0) * height),
        )

    def pixel(self, column: int, row: int) -> tuple[float, float]:
        left, top, width, height, x0, x1, y0, y1 = self.browser.run(WHERE)
        return (x0 + (column - left) / width * (x1 - x0), y0 + (row - top) / height * (y1 - y0))

    def click(self, x: float, y: float) -> tuple[float, float]:
        """Click on the screen's pixel that is nearest to (x, y); return what it stands for."""
        at = self.screen(x, y)
        self.browser.tap(*at)
        return self.pixel(*at)

    def zoom(self, x: float, y: float) -> None:
        before = self.browser.run(WHERE)
        self.browser.mouse("Wheel", *self.screen(x, y), deltaX=0, deltaY=-300)
        until(lambda: self.browser.run(WHERE) != before)

    def press(self, name: str) -> None:
        self.browser.run(BUTTON.replace("NAME", repr(name)))

    def rings(self) -> int:
        count: int = self.browser.run(
            "return Bokeh.documents[0].get_model_by_name('rings').data_source.data.x.length"
        )
        return count

    def said(self) -> str:
        return str(self.browser.run("return Bokeh.documents[0].get_model_by_name('said').text"))


def until(holds: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def close_to(found: NDArray[np.float64], wanted: list[tuple[float, float]]) -> bool:
    apart = np.hypot(*(found[:, None] - np.array(wanted)[None]).transpose(2, 0, 1))
    return len(found) == len(wanted) and bool((apart.min(axis=0) < 1).all())


def test_thirty_clicks_at_two_zooms_are_in_the_files_and_on_the_page_after_a_reload(
    folder: Path, tmp_path: Path
) -> None:
    with opened_browser(tmp_path / "profile") as browser, served(folder) as page:
        hand = Hand(browser, page.address)
        clicked = [hand.click(100 + 220.3 * (n % 6), 110 + 160.7 * (n // 6)) for n in range(18)]
        hand.zoom(650, 760)
        _, _, _, _, left, right, top, bottom = browser.run(WHERE)
        assert right - left < 0.75 * COLUMNS
        step = (right - left) / 7, (bottom - top) / 3
        places = [(left + step[0] * (n % 6 + 1), top + step[1] * (n // 6 + 1)) for n in range(12)]
        clicked += [hand.click(*place) for place in places]
        until(lambda: len(page.read().get("m0", ())) >= 30)
        assert close_to(page.read()["m0"], clicked)

        hand.open(page.address.partition("?")[0])
        until(lambda: "<b>30 particles here</b>" in hand.said())
        assert hand.rings() == 30
        assert [entry for entry in browser.log() if entry["level"] != "INFO"] == []


def test_a_click_on_a_particle_removes_it_a_drag_moves_it_and_a_drag_elsewhere_the_view(
    folder: Path, tmp_path: Path
) -> None:
    with opened_browser(tmp_path / "profile") as browser, served(folder) as page:
        hand = Hand(browser, page.address)
        first, second = hand.click(300, 300), hand.click(700, 500)
        until(lambda: hand.rings() == 2)
        time.sleep(0.4)  # or it would be a double click
        hand.click(first[0] + 10, first[1] - 10)
        until(lambda: hand.rings() == 1)
        assert close_to(page.read()["m0"], [second])

        before = browser.run(WHERE)
        start, to = hand.screen(*second), hand.screen(900, 200)
        browser.drag(*start, *to)
        until(lambda: not close_to(page.read()["m0"], [second]))
        assert close_to(page.read()["m0"], [hand.pixel(*to)])
        assert browser.run(WHERE) == before

        browser.drag(*hand.screen(300, 300), *hand.screen(400, 350))
        until(lambda: browser.run(WHERE) != before)
        assert close_to(page.read()["m0"], [hand.pixel(*to)]) is False  # the view has moved
        assert hand.rings() == 1

        hand.press("Undo")
        until(lambda: close_to(page.read()["m0"], [second]))
        hand.press("Undo")
        until(lambda: hand.rings() == 2)
        assert close_to(page.read()["m0"], [first, second])


def test_next_previous_skip_and_empty_are_seen_in_the_files(folder: Path, tmp_path: Path) -> None:
    with opened_browser(tmp_path / "profile") as browser, served(folder) as page:
        hand = Hand(browser, page.address)
        hand.press("Next")
        until(lambda: "m1 (2 of 2)" in hand.said())
        hand.press("This one is empty")
        until(lambda: "marked as empty" in hand.said())
        assert page.read()["m1"].shape == (0, 2)
        hand.press("Previous")
        until(lambda: "m0 (1 of 2)" in hand.said())
        hand.press("Skip")
        until(lambda: "m1 (2 of 2)" in hand.said())
        assert (page.labels / "skipped.txt").read_text() == "m0\n"
        assert list(page.read()) == ["m1"]


def four_clicks_and_a_kill(
    browser: Browser, folder: Path, before: list[tuple[float, float]], y: float
) -> list[tuple[float, float]]:
    """Return all that has been clicked on, after a look at what the files hold of it."""
    with served(folder) as page:
        hand = Hand(browser, page.address)
        if before:  # it begins with a micrograph that has no labels
            hand.press("Previous")
        until(lambda: hand.rings() == len(before))
        clicked = before + [hand.click(200 + 250 * number, y) for number in range(4)]
        until(lambda: hand.rings() == len(clicked))
        page.process.send_signal(signal.SIGKILL)
        page.process.wait(10)
        until(lambda: "connection to cryofix is lost" in hand.said())
        assert close_to(page.read()["m0"], clicked)
        return clicked


def test_a_kill_between_clicks_loses_none(folder: Path, tmp_path: Path) -> None:
    clicked: list[tuple[float, float]] = []
    with opened_browser(tmp_path / "profile") as browser:
        for attempt in range(3):
            clicked = four_clicks_and_a_kill(browser, folder, clicked, 200 + 220 * attempt)


def test_a_models_picks_can_be_accepted_one_by_one_and_all_at_once(
    folder: Path, tmp_path: Path
) -> None:
    run_train(*SMALL, f"output={tmp_path / 'run'}")
    words = (f"checkpoint={tmp_path / 'run'}", "threshold=0.01")
    with opened_browser(tmp_path / "profile") as browser, served(folder, *words) as page:
        hand = Hand(browser, page.address)
        picks = "const {x, y} = Bokeh.documents[0].get_model_by_name('picks').data_source.data;"
        offered = browser.run(picks + "return [...x].map((each, i) => [each, y[i]])")
        assert len(offered) > 1
        hand.click(*offered[0])
        until(lambda: hand.rings() == 1)
        assert close_to(page.read()["m0"], [tuple(offered[0])])
        hand.press("Accept picks")
        until(lambda: hand.rings() > 1)
        assert len(page.read()["m0"]) == len(offered)
