"""The pages of the real TensorBoard in a real browser, after a real training."""

import itertools
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.browser import Browser, opened_browser

from cryofix.experiment.dashboard_layout import KEEP, PAGES
from support import SMALL, free_port, run_train, wait_until

pytestmark = pytest.mark.slow

# Enough of a training for p to pass 0.5 somewhere, so that no line is missing.
TRAINING = (
    *SMALL,
    "ratio=0.5",
    "loss=tversky",
    "optimiser={warm_up: 5, learning_rate: 0.01}",
    "teacher.decay=0.8",
    "steps={burn_in: 60, stage: 24, validate_every: 12, checkpoint_every: 20, log_every: 2,"
    " audit_every: 2}",
)
STAGES = ("burn_in", "supervised", "fixmatch")
SECONDS = 120  # for a page to draw, on a machine that has other things to do

# Pages are nested in shadow roots, which selectors do not look into.
FIND = """
const find = (node, selector) => [
  ...node.querySelectorAll(selector),
  ...[...node.querySelectorAll('*')].filter(e => e.shadowRoot)
    .flatMap(e => find(e.shadowRoot, selector)),
];
"""
CHARTS = (
    FIND
    + """
return find(document, 'tf-custom-scalar-multi-line-chart-card').map(card => ({
  title: find(card.shadowRoot, 'tf-card-heading')[0].displayName,
  series: find(card.shadowRoot, '.match-list-entry')
    .map(e => e.textContent.trim().split(/\\s+/)[1]),
  colours: find(card.shadowRoot, 'path.line').filter(e => (e.getAttribute('d') || '').length > 10)
    .map(e => getComputedStyle(e).stroke),
}))
"""
)
TEXT = (
    FIND
    + """
return [document, ...find(document, '*').map(e => e.shadowRoot).filter(r => r)]
  .map(root => (root.body || root).textContent).join(' ')
"""
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Train, then serve what was written until the tests are done."""
    run = tmp_path_factory.mktemp("runs") / "run"
    run_train(*TRAINING, f"output={run}")
    program = Path(sys.executable).with_name("tensorboard")
    port = free_port()
    served = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [program, "--logdir", run / "tensorboard", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(f"{served}/data/runs"), SECONDS, "TensorBoard to start")
        yield served
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.resize(1500, 1400)
        yield opened


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            said = answer.read().decode()
    except OSError:
        return False
    return all(stage in said for stage in STAGES)


def show(browser: Browser, address: str, page: str) -> None:
    browser.open("about:blank")  # the same address with another fragment would not be loaded anew
    browser.open(f"{address}/#{page}")


def screenshot(browser: Browser, page: str, folder: Path) -> None:
    browser.screenshot(folder / f"{page}.png")
    assert (folder / f"{page}.png").stat().st_size > 20_000, "more than an empty page"


def test_the_first_page_has_the_six_charts_with_their_lines(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    show(browser, address, "custom_scalars")
    pages = PAGES["Is it collapsing?"]
    # Estimated scores are those of partial labels, which this run does not have.
    first = {
        title: [tag for tag in tags if "estimated" not in tag] for title, tags in pages.items()
    }

    def drawn() -> bool:
        charts = {chart["title"]: chart for chart in browser.run(CHARTS)}
        return all(
            title in charts
            and set(charts[title]["series"]) == set(tags)
            and len(charts[title]["colours"]) >= len(tags) + (KEEP in tags)
            for title, tags in first.items()
        )

    wait_until(drawn, SECONDS, f"the lines of {first}")
    (kept,) = (chart for chart in browser.run(CHARTS) if chart["series"][:1] == [KEEP])
    assert len(set(kept["colours"])) == 2, "particles and background"
    titles = [chart["title"] for chart in browser.run(CHARTS)]
    assert titles == list(itertools.chain.from_iterable(PAGES.values()))
    screenshot(browser, "custom_scalars", tmp_path)


@pytest.mark.parametrize(
    ("page", "tags"),
    [
        ("pr_curves", ("precision_recall/pixels", "precision_recall/particles")),
        ("histograms", tuple(f"log_odds_of_p/{name}" for name in ("unlabelled", "true_particle"))),
        ("images", ("maps/micrograph_and_truth", "maps/p", "maps/pseudo_labels")),
    ],
)
def test_curves_histograms_and_pictures_are_there(
    browser: Browser, address: str, tmp_path: Path, page: str, tags: tuple[str, ...]
) -> None:
    show(browser, address, page)
    shown = f"{tags} on the page {page}"
    wait_until(lambda: all(tag in browser.run(TEXT) for tag in tags), SECONDS, shown)
    screenshot(browser, page, tmp_path)


def test_pictures_are_loaded(browser: Browser, address: str) -> None:
    show(browser, address, "images")
    widths = f"{FIND} return find(document, 'img').map(image => image.naturalWidth)"
    wait_until(lambda: len(browser.run(widths)) >= 7, SECONDS, "three stages' maps and one overlay")
    wait_until(lambda: min(browser.run(widths)) > 100, SECONDS, "the pictures")
