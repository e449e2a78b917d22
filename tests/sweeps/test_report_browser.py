"""The page in a real browser: no errors, figures drawn, tables that sort, nothing cut off.

Chromium is driven through its own chromedriver over HTTP, so that no package is needed.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryofix.sweeps import collect, summarise, write_report

pytestmark = pytest.mark.slow

ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """One tab, through the WebDriver protocol."""

    def __init__(self, port: int, profile: Path) -> None:
        self._base = f"http://127.0.0.1:{port}"
        options = {"args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{session['sessionId']}"

    def _call(self, method: str, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def resize(self, width: int, dark: bool = False) -> None:
        screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", screen)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", {"features": [feature]})

    def devtools(self, command: str, parameters: Any) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, path: Path) -> None:
        self._call("POST", "/url", {"url": path.as_uri()})

    def run(self, script: str) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def click(self, selector: str) -> None:
        query = {"using": "css selector", "value": selector}
        (identity,) = self._call("POST", "/element", query).values()
        self._call("POST", f"/element/{identity}/click", {})

    def log(self) -> list[Any]:
        entries: list[Any] = self._call("POST", "/se/log", {"type": "browser"})
        return entries

    def close(self) -> None:
        self._call("DELETE", "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("no chromedriver: install the packages chromium and chromium-driver")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                opened = Browser(port, tmp_path_factory.mktemp("profile"))
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        else:
            pytest.fail("chromedriver did not answer for 10 s")
        yield opened
        opened.close()
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def report(sweep: Any, tmp_path: Path) -> Path:
    masks = [("symmetric", {"threshold": t}) for t in (0.5, 0.6, 0.7, 0.9)] + [("class_aware", {})]
    sweep.grid(masks, (0.05, 0.1, 0.2), (0, 1, 2))
    hostile = "<img src=x onerror=document.title='owned'>"
    status = {"state": "failed", "error": hostile, "traceback": hostile}
    sweep.run("45", [f"mask={hostile}"], None, status)
    return write_report(summarise(collect(sweep.path)), tmp_path)[0]


def test_page_opens_without_errors_and_shows_its_figures(browser: Browser, report: Path) -> None:
    browser.resize(1280)
    browser.open(report)
    assert browser.log() == []
    assert browser.run("return document.title").startswith("Sweep ")
    sizes = browser.run(
        "return [...document.querySelectorAll('svg[role=img]')].map(f => {"
        "const b = f.getBoundingClientRect(); return [b.width, b.height]})"
    )
    assert len(sizes) == 7 + 6 + 3 + 3, "heat maps, curves, keep rates at the fork and of the masks"
    assert all(width > 150 and height > 80 for width, height in sizes)
    assert browser.run("return performance.getEntriesByType('resource').length") == 0


def test_names_from_files_cannot_run_code(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert browser.run("return document.images.length") == 0
    assert browser.run("return document.title") != "owned"


def test_a_table_sorts_by_a_click_and_back_by_another(browser: Browser, report: Path) -> None:
    browser.resize(1280)
    browser.open(report)
    column = 5  # the score that gains are about
    shown = (
        "return [...document.querySelectorAll('table.sortable')[0].tBodies[0].rows]"
        f".map(row => parseFloat(row.cells[{column - 1}].textContent))"
    )
    before = browser.run(shown)
    assert before != sorted(before)
    browser.click(f"table.sortable th:nth-child({column}) button")
    assert browser.run(shown) == sorted(before)
    browser.click(f"table.sortable th:nth-child({column}) button")
    assert browser.run(shown) == sorted(before, reverse=True)
    state = f"table.sortable th:nth-child({column})"
    sort = browser.run(f"return document.querySelector('{state}').getAttribute('aria-sort')")
    assert sort == "descending"
    assert browser.log() == []


def test_a_phone_scrolls_down_only(browser: Browser, report: Path) -> None:
    browser.resize(390)
    browser.open(report)
    width, content = browser.run("return [innerWidth, document.documentElement.scrollWidth]")
    assert (width, content) == (390, 390)
    smallest = browser.run(
        "return Math.min(...[...document.querySelectorAll('svg[role=img] text')]"
        ".map(t => t.getBoundingClientRect().height))"
    )
    assert smallest >= 10, "the smallest writing in a figure, in CSS pixels"


@pytest.mark.parametrize("dark", [False, True])
def test_text_contrasts_with_its_background_in_both_themes(
    browser: Browser, report: Path, dark: bool
) -> None:
    browser.resize(1280, dark)
    browser.open(report)
    ink, card = browser.run(
        "const s = getComputedStyle(document.querySelector('.card'));"
        "return [s.color, s.backgroundColor].map(c => c.match(/[0-9]+/g).slice(0, 3).map(Number))"
    )
    difference = sum(card) / 3 - sum(ink) / 3
    assert (difference < -150) if dark else (difference > 150)
