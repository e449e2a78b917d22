"""The page of a run: one file, everything in it, nothing that names of files could break."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from benchmarks.browser import opened_browser

from cryofix.formats import MicrographInfo, Particles
from cryofix.picking.jobs import Outcome
from cryofix.picking.micrographs import Picked
from cryofix.picking.page import on_validation, write_page
from cryofix.picking.pick_summary import slider_levels, summarise
from cryofix.picking.picked import Job, PickSelection, identity, write_result

HOSTILE = "<img src=x onerror=alert(1)>.mrc"
SELECTION = PickSelection(0.432, 0.05)


def make(folder: Path, count: int = 3, picks: int = 200) -> tuple[list[Job], PickSelection]:
    """Keep results of micrographs that were never there, one with a hostile name."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for number in range(count):
        random = np.random.default_rng(number)
        name = HOSTILE if number == 0 else f"grid 1/m{number:04d}.mrc"
        source = folder / f"m{number}.mrc"
        source.write_bytes(b"")
        job = Job(source, name, folder / "results" / f"{number}.npz")
        x, y = random.uniform(0, 1, (2, picks)) * np.array([[2000], [1000]])
        score = np.sort(random.beta(0.6, 0.6, picks) * 0.94 + 0.05)[::-1]
        info = MicrographInfo(source, (1000, 2000), 1.0)
        small = random.normal(size=(250, 500)).astype(np.float32)
        picked = Picked(
            info, Particles(x, y, score, np.full(picks, 60.0)), None, small, (0.25, 0.25), {}
        )
        write_result(job, "key", picked, identity(job))
        jobs.append(job)
    return jobs, SELECTION


class Reader(HTMLParser):
    """Checks that tags are balanced and collects what is drawn."""

    VOID = ("meta", "link", "img", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag


def write(folder: Path, jobs: list[Job], failures: list[Outcome], shown: int = 48) -> str:
    summary = summarise(jobs, failures, SELECTION)
    path = folder / "index.html"
    write_page(path, summary, SELECTION, jobs, Path("run"), shown)
    return path.read_text(encoding="utf-8")


def test_all_picks_are_drawn_and_low_ones_hidden(tmp_path: Path) -> None:
    jobs, selection = make(tmp_path)
    reader = Reader()
    reader.feed(write(tmp_path, jobs, []))
    assert reader.open == []
    levels = slider_levels(selection)
    shown = hidden = 0
    for tag, attributes in reader.seen:
        if tag == "polyline":
            count = len(str(attributes["points"]).split())
            low = int(str(attributes["data-band"])) < levels.index(0.432)
            assert ("data-hidden" in attributes) == low
            shown, hidden = shown + count * (not low), hidden + count * low
    summary = summarise(jobs, [], selection)
    assert shown == summary.picks > 100
    assert shown + hidden == 600
    assert sum(tag == "img" for tag, _ in reader.seen) == 3


def test_names_cannot_run_code_and_nothing_comes_from_a_network(tmp_path: Path) -> None:
    jobs, _ = make(tmp_path)
    page = write(tmp_path, jobs, [Outcome(jobs[0], error=f"{HOSTILE} is truncated")])
    reader = Reader()
    reader.feed(page)
    images = [attributes for tag, attributes in reader.seen if tag == "img"]
    assert all(str(each["src"]).startswith("data:image/jpeg;base64,") for each in images)
    assert not any("onerror" in attributes for _, attributes in reader.seen)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg\b)", page)
    assert "&lt;img src=x onerror" in page


def test_many_micrographs_are_shown_in_part_and_listed_in_full(tmp_path: Path) -> None:
    jobs, _ = make(tmp_path, 30, 5)
    page = write(tmp_path, jobs, [], shown=4)
    assert page.count("<figure>") == 4
    assert page.count("<td data-key=") == 30 * 7
    assert "4 of 30, evenly spread" in page


def test_a_page_without_any_pick_or_any_micrograph(tmp_path: Path) -> None:
    jobs, _ = make(tmp_path, 1, 0)
    assert "<figure>" in write(tmp_path, jobs, [])
    failed = [Outcome(jobs[0], error="gone")]
    reader = Reader()
    reader.feed(write(tmp_path, [], failed))
    assert reader.open == []


def test_the_slider_offers_the_threshold_and_the_lowest_score() -> None:
    levels = slider_levels(SELECTION)
    assert levels == sorted(set(levels))
    assert levels[0] == 0.05
    assert 0.432 in levels
    assert levels[-1] < 1
    assert slider_levels(PickSelection(0.02, 0.05))[0] == 0.02


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_runs_the_page_without_complaint(tmp_path: Path, width: int) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH: apt install chromium")
    jobs, _ = make(tmp_path)
    write(tmp_path, jobs, [Outcome(jobs[0], error="gone")])
    probe = tmp_path / "probe.html"
    # Same page, with the width that its content needs written where --dump-dom shows it.
    script = "document.title = document.documentElement.scrollWidth + ' ' + innerWidth"
    page = re.sub("'sha256-[^']*'", "'unsafe-inline'", (tmp_path / "index.html").read_text())
    probe.write_text(page.replace("</body>", f"<script>{script}</script></body>"))
    flags = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--enable-logging=stderr", f"--window-size={width},900", "--hide-scrollbars"),
        f"--user-data-dir={tmp_path / 'profile'}",
    )
    for path in (tmp_path / "index.html", probe):
        done = subprocess.run(
            [chromium, *flags, "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "CONSOLE" not in done.stderr, done.stderr
        assert 'transform="translate(0 0)"' in done.stdout, (
            "the script has placed the mark at the threshold"
        )
    found = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert found is not None
    needed, window = map(int, found.groups())
    assert needed <= window, "the page scrolls sideways"


def test_precision_and_recall_come_from_the_run_of_the_model(tmp_path: Path) -> None:
    model = tmp_path / "checkpoints" / "selected.ckpt"
    assert on_validation(model, [0.5]) == []
    curve = {"threshold": [0.0, 0.5, 1.0], "precision": [0.2, 0.8, 1.0], "recall": [1.0, 0.6, 0.0]}
    (tmp_path / "validation_curve.json").write_text(json.dumps(curve))
    assert on_validation(model, [0.25, 0.5]) == [(0.5, 0.8), (0.8, 0.6)]
    (tmp_path / "validation_curve.json").write_text("[1, 2]")
    assert on_validation(model, [0.5]) == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 390])
def test_the_threshold_moves_everything_and_a_click_enlarges(tmp_path: Path, width: int) -> None:
    jobs, selection = make(tmp_path, count=4)
    curve = {"threshold": [0.0, 1.0], "precision": [0.0, 1.0], "recall": [1.0, 0.0]}
    (tmp_path / "validation_curve.json").write_text(json.dumps(curve))
    summary = summarise(jobs, [], selection)
    page, model = tmp_path / "index.html", tmp_path / "checkpoints" / "selected.ckpt"
    write_page(page, summary, selection, jobs, model, 4)
    level = summary.levels.index(0.8)
    counts = summary.at_levels[:, level]
    with opened_browser(tmp_path / "profile") as browser:
        browser.resize(width)
        browser.open(page.as_uri())
        browser.run(
            "const slider = document.querySelector('#threshold');"
            f"slider.value = {level}; slider.dispatchEvent(new Event('input'))"
        )
        text = "return document.querySelector('{}').textContent"
        assert browser.run(text.format(".numbers b")) == f"{counts.sum():,}"
        assert browser.run(text.format("#copy")) == "threshold=0.8"
        assert "precision is 0.800 and recall 0.200" in browser.run(text.format("#curve"))
        cells = (
            "return [...document.querySelectorAll('td:nth-child(2)')].map(cell => +cell.innerText)"
        )
        assert browser.run(cells) == counts.tolist()
        tops = browser.run(
            "return [...document.querySelectorAll('[data-stretch]')]"
            ".map(bar => bar.getBoundingClientRect().height)"
        )
        assert np.corrcoef(tops, counts)[0, 1] > 0.99
        ticks = browser.run(
            "return [...document.querySelectorAll('[data-tick]')].map(t => t.textContent.trim())"
        )
        assert all(re.search(r"[\d,]+$", tick) and "." not in tick for tick in ticks)
        browser.click(".shots .frame")
        size = "return document.querySelector('#large .frame').getBoundingClientRect().width"
        assert browser.run(size) > 0.9 * width
        assert browser.run("return document.querySelector('#large').open")
        browser.click("#large .frame")
        assert not browser.run("return document.querySelector('#large').open")
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.log() == []
