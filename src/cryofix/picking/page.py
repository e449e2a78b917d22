"""The page of a picking run: one HTML file with pictures, picks, scores and counts inside it.

Its content security policy allows that one script by its hash and no network at all.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import numpy as np

from cryofix.files import atomic_write
from cryofix.picking.charts import histogram_chart, picks_chart
from cryofix.picking.pick_summary import Selection, Summary
from cryofix.picking.picked import Job, Result, read_result
from cryofix.sweeps.svg import element

STEP = 0.05  # of the slider
MOST_ROWS = 2000
Attributes = dict[str, str]


def write_page(
    path: Path, summary: Summary, selection: Selection, jobs: Sequence[Job], model: Path, shown: int
) -> Path:
    """Write the page.

    Parameters
    ----------
    path
        The file.
    summary, selection
        What was found, and which picks count.
    jobs
        Finished ones.
    model
        File of the model.
    shown
        Show pictures of so many micrographs, evenly spread.
    """
    levels = slider_levels(selection)
    chosen = _spread(jobs, shown)
    title = f"Picks in {len(summary.rows)} micrographs"
    script = _asset("reporting/templates", "page.js") + _asset("picking", "page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        element("title", title),
        element(
            "style", [_asset("reporting/templates", "page.css"), _asset("picking", "page.css")]
        ),
    ]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(f'<!doctype html>\n<html lang="en">{element("head", head)}<body>')
        stream.writelines(_header(summary, selection, title, model))
        stream.writelines(_charts(summary, selection, levels))
        stream.writelines(_pictures(chosen, len(jobs), selection, levels))
        stream.writelines(_failures(summary))
        stream.writelines(_table(summary))
        stream.write(f"{element('script', [script])}</body></html>\n")
    return path


def slider_levels(selection: Selection) -> list[float]:
    """Return the thresholds that the slider offers, ascending, the chosen one among them."""
    low = min(selection.keep_above, selection.threshold)
    steps = np.arange(np.ceil(low / STEP - 1e-9), 1 / STEP) * STEP
    return sorted({round(float(level), 6) for level in (low, selection.threshold, *steps)})


def _asset(package: str, name: str) -> str:
    return (files("cryofix") / package / name).read_text(encoding="utf-8")


def _spread(jobs: Sequence[Job], count: int) -> list[Job]:
    """Return up to ``count`` jobs, evenly spread."""
    if count >= len(jobs):
        return list(jobs)
    return [jobs[i] for i in np.linspace(0, len(jobs) - 1, max(count, 0)).round().astype(int)]


def _header(summary: Summary, selection: Selection, title: str, model: Path) -> Iterator[str]:
    yield element("h1", title)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield element("p", f"By cryofix with {model}. Made {made}.", class_="muted")
    counts = [row.picks for row in summary.rows]
    numbers = [
        (f"{summary.picks:,}", f"picks that score {selection.threshold:.3f} or more"),
        (f"{np.median(counts):,.0f}" if counts else "-", "median per micrograph"),
        (f"{len(summary.rows):,}", "micrographs"),
    ]
    if summary.failures:
        numbers.append((f"{len(summary.failures):,}", "could not be picked"))
    boxes = [
        element("div", [element("b", value), element("span", name, class_="muted")])
        for value, name in numbers
    ]
    yield element("div", boxes, class_="numbers")


def _charts(summary: Summary, selection: Selection, levels: list[float]) -> Iterator[str]:
    if not summary.rows:
        return
    start = levels.index(round(selection.threshold, 6))
    slider = element(
        "input",
        id="threshold",
        type="range",
        min=0,
        max=len(levels) - 1,
        step=1,
        value=start,
        data_levels=json.dumps(levels),
        aria_label="score threshold of the picks drawn below",
    ).removesuffix("</input>")
    label = element("label", "Draw picks that score at least ", for_="threshold")
    level = element("output", f"{selection.threshold:.3f}", id="level")
    yield element("div", [label, level, slider], class_="slide")
    cards = [
        element("section", [element("h3", name), chart], class_="card")
        for name, chart in (
            ("Scores", histogram_chart(summary.histogram, selection.threshold)),
            ("Picks per micrograph, in the order of names", picks_chart(summary.rows)),
        )
    ]
    yield element("div", cards, class_="cards charts")


def _pictures(
    jobs: Sequence[Job], total: int, selection: Selection, levels: list[float]
) -> Iterator[str]:
    if not jobs:
        return
    yield element("h2", "Micrographs")
    few = f"{len(jobs)} of {total}, evenly spread. " if len(jobs) < total else ""
    about = "As the network sees them: without slow background, row 0 at the top."
    yield element("p", few + about, class_="muted")
    yield '<div class="shots">'
    for number, job in enumerate(jobs):
        yield _picture(number, job, read_result(job), selection, levels)
    yield "</div>"


def _picture(
    number: int, job: Job, result: Result, selection: Selection, levels: list[float]
) -> str:
    """Draw one micrograph; its picks are the vertices of one line for each band of scores."""
    rows, columns = result.info.shape
    particles = selection.all(result)
    assert particles.score is not None
    band = np.searchsorted(levels, particles.score, side="right") - 1
    lines = []
    ring = f"url(#ring{number})"
    marks = {"marker-start": ring, "marker-mid": ring, "marker-end": ring}
    threshold = levels.index(round(selection.threshold, 6))
    for index in range(len(levels)):
        here = band == index
        if not here.any():
            continue
        # A line of one point has no middle and draws both its ends, one upon the other.
        points = " ".join(
            f"{x:.0f},{y:.0f}" for x, y in zip(particles.x[here], particles.y[here], strict=True)
        )
        hidden: Attributes = {} if index >= threshold else {"data-hidden": ""}
        lines.append(element("polyline", points=points, data_band=index, **marks, **hidden))
    diameter = float(result.particles.diameter_px[0]) if len(particles) else 1.0  # type: ignore[index] # written with diameters
    marker = element(
        "marker",
        [element("circle", r=1, class_="ring")],
        id=f"ring{number}",
        viewBox="-1.1 -1.1 2.2 2.2",
        markerUnits="userSpaceOnUse",
        markerWidth=1.1 * diameter,
        markerHeight=1.1 * diameter,
    )
    drawing = element("svg", [marker, *lines], viewBox=f"0 0 {columns} {rows}", aria_hidden="true")
    encoded = base64.b64encode(result.thumbnail).decode()
    picture = element(
        "img", src=f"data:image/jpeg;base64,{encoded}", alt=job.name, loading="lazy"
    ).removesuffix("</img>")
    counts = [int((band >= index).sum()) for index in range(len(levels))]
    count = element("b", f"{counts[threshold]}", data_counts=json.dumps(counts))
    caption = element("figcaption", [element("span", f"{job.name}: "), count, " picks"])
    return element("figure", [element("div", [picture, drawing], class_="frame"), caption])


def _failures(summary: Summary) -> Iterator[str]:
    if summary.failures:
        yield element("h2", "Could not be picked")
        items = [element("li", str(each.error)) for each in summary.failures[:MOST_ROWS]]
        yield element("ul", items, class_="notes")


def _table(summary: Summary) -> Iterator[str]:
    yield element("h2", "All micrographs")
    if len(summary.rows) > MOST_ROWS:
        yield element("p", f"The first {MOST_ROWS}; summary.tsv has all.", class_="muted")
    heads = ("Micrograph", "Picks", "Lower scores", "Mean score", "Angstrom per pixel", "Diameter")
    head = [
        element("th", [element("button", name, type="button")], class_="text" if not i else None)
        for i, name in enumerate(heads)
    ]
    body = []
    for row in summary.rows[:MOST_ROWS]:
        cells = [row.name, str(row.picks), str(row.low)]
        numbers = ((row.mean_score, 3), (row.pixel_size_angstrom, 3), (row.diameter_px, 1))
        cells += ["" if value is None else f"{value:.{digits}f}" for value, digits in numbers]
        body.append(
            element(
                "tr",
                [
                    element("td", cell, data_key=cell, class_="text" if not i else None)
                    for i, cell in enumerate(cells)
                ],
            )
        )
    content = [element("thead", [element("tr", head)]), element("tbody", body)]
    table = element("table", content, class_="sortable")
    yield element("section", [table], class_="card scroll")
