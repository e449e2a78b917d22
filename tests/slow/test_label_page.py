"""A person at the label page, in a real Chromium: what is clicked is what the files hold."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import scipy.ndimage
from benchmarks.browser import Browser, opened_browser
from benchmarks.label_hand import WHERE, Hand, Served, served, until
from numpy.typing import NDArray

from cryofix.formats import write_mrc
from support import SMALL, run_train

pytestmark = pytest.mark.slow

ROWS, COLUMNS, DIAMETER = 900, 1300, 60.0


@contextmanager
def labelling(folder: Path, *words: str) -> Iterator[Served]:
    with served(folder / "data", folder / "labels", f"diameter_px={DIAMETER}", *words) as page:
        yield page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(2):
        image = random.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32)
        write_mrc(tmp_path / "data" / f"m{number}.mrc", image, 2.0)
    return tmp_path


def seen(hand: Hand, picture: Path) -> tuple[float, float]:
    """Return where in the window the one bright spot of the micrograph is drawn."""
    left, top, width, height, *_ = (round(value) for value in hand.browser.run(WHERE))
    hand.browser.mouse("Moved", 5, 5)  # its circle is not drawn outside of the micrograph
    hand.browser.screenshot(picture)
    grey = matplotlib.image.imread(picture)[top : top + height, left : left + width, :3].mean(2)
    spots, _ = scipy.ndimage.label(scipy.ndimage.uniform_filter(grey, 3) > 0.95)
    largest = np.argmax(np.bincount(spots.ravel())[1:]) + 1
    row, column = scipy.ndimage.center_of_mass(spots == largest)
    return column + left, row + top


@pytest.mark.parametrize("shape", [(700, 1500), (2600, 1100)])
def test_a_label_is_where_the_click_was_and_where_the_particle_is_seen_at_every_zoom(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    x, y = 0.71 * shape[1], 0.23 * shape[0]
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    spot = 30 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 15**2))
    image = spot + np.random.default_rng(0).normal(0, 1, shape)
    write_mrc(tmp_path / "data" / "m.mrc", image.astype(np.float32), None)
    with opened_browser(tmp_path / "profile") as browser, labelling(tmp_path) as page:
        hand = Hand(browser, page.address)
        scales = []
        for turn in (0, 150, 300, 300, -500):
            if turn:
                hand.zoom(x, y, turn)
            at = seen(hand, tmp_path / "seen.png")
            here = round(at[0]), round(at[1])
            browser.tap(*here)
            until(lambda: hand.rings() == 1)
            ((label_x, label_y),) = page.read()["m"]
            assert np.hypot(*np.subtract(hand.pixel(*here), (label_x, label_y))) < 1
            _, _, width, _, left, right, _, _ = browser.run(WHERE)
            scales.append((right - left) / width)
            assert np.hypot(label_x - x, label_y - y) < max(1, scales[-1])
            hand.press("Undo")
            until(lambda: hand.rings() == 0)
        assert min(scales) < 0.4 * max(scales)


def close_to(found: NDArray[np.float64], wanted: list[tuple[float, float]]) -> bool:
    apart = np.hypot(*(found[:, None] - np.array(wanted)[None]).transpose(2, 0, 1))
    return len(found) == len(wanted) and bool((apart.min(axis=0) < 1).all())


def test_thirty_clicks_at_two_zooms_are_in_the_files_and_on_the_page_after_a_reload(
    folder: Path, tmp_path: Path
) -> None:
    with opened_browser(tmp_path / "profile") as browser, labelling(folder) as page:
        hand = Hand(browser, page.address)
        assert "Click on the centre of each particle" in hand.said()
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

        page.process.send_signal(signal.SIGINT)
        said, _ = page.process.communicate(timeout=60)
        assert "30 particles, labelled micrographs: 1, in" in said
        for experiment in ("cure", "simulated_start", "few_labels"):
            assert f"cryofix train experiment={experiment}" in said


def test_a_click_on_a_particle_removes_it_a_drag_moves_it_and_a_drag_elsewhere_the_view(
    folder: Path, tmp_path: Path
) -> None:
    with opened_browser(tmp_path / "profile") as browser, labelling(folder) as page:
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
    with opened_browser(tmp_path / "profile") as browser, labelling(folder) as page:
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
    with labelling(folder) as page:
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
    with opened_browser(tmp_path / "profile") as browser, labelling(folder, *words) as page:
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
