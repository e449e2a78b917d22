"""The page in a real browser: no errors, figures drawn, tables that sort, nothing cut off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.browser import Browser, opened_browser

from cryofix.sweeps.collect import collect
from cryofix.sweeps.report_forms import write_report
from cryofix.sweeps.summarise import summarise_sweep

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def report(sweep: Any, tmp_path: Path) -> Path:
    masks = [("symmetric", {"threshold": t}) for t in (0.5, 0.6, 0.7, 0.9)] + [("class_aware", {})]
    sweep.grid(masks, (0.05, 0.1, 0.2), (0, 1, 2))
    hostile = "<img src=x onerror=document.title='owned'>"
    status = {"state": "failed", "error": hostile, "traceback": hostile}
    sweep.run("45", [f"mask={hostile}"], None, status)
    return write_report(summarise_sweep(collect(sweep.path)), tmp_path)[0]


def test_page_opens_without_errors_and_shows_its_figures(browser: Browser, report: Path) -> None:
    browser.resize(1280)
    browser.open(report.as_uri())
    assert browser.log() == []
    assert browser.run("return document.title").startswith("Sweep ")
    sizes = browser.run(
        "return [...document.querySelectorAll('svg[role=img]')].map(f => {"
        "const b = f.getBoundingClientRect(); return [b.width, b.height]})"
    )
    assert len(sizes) == 8 + 6 + 3 + 3, "heat maps, curves, keep rates at the fork and of the masks"
    assert all(width > 150 and height > 80 for width, height in sizes)
    assert browser.run("return performance.getEntriesByType('resource').length") == 0


def test_names_from_files_cannot_run_code(browser: Browser, report: Path) -> None:
    browser.open(report.as_uri())
    assert browser.run("return document.images.length") == 0
    assert browser.run("return document.title") != "owned"


def test_a_table_sorts_by_a_click_and_back_by_another(browser: Browser, report: Path) -> None:
    browser.resize(1280)
    browser.open(report.as_uri())
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
    browser.open(report.as_uri())
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
    browser.resize(1280, dark=dark)
    browser.open(report.as_uri())
    ink, card = browser.run(
        "const s = getComputedStyle(document.querySelector('.card'));"
        "return [s.color, s.backgroundColor].map(c => c.match(/[0-9]+/g).slice(0, 3).map(Number))"
    )
    difference = sum(card) / 3 - sum(ink) / 3
    assert (difference < -150) if dark else (difference > 150)
