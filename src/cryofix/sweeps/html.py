"""The report as one HTML file that needs nothing else: styles, script and figures are inside.

The page's content security policy allows that one script by its hash and no network at all, so
that even a flaw in the escaping would leave a hostile name in a results file powerless.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import groupby

from cryofix.sweeps.curve_figures import CURVE_METRICS, curve_colours, ratio_curves
from cryofix.sweeps.heatmap import heat_map, quantities
from cryofix.sweeps.html_tables import jobs_table, rows_table
from cryofix.sweeps.keep_figures import mask_panels, start_panels
from cryofix.sweeps.runs import State
from cryofix.sweeps.statistics import Row
from cryofix.sweeps.summarise import CAVEATS, METRIC_TITLES, Summary
from cryofix.sweeps.svg import element, percent, signed
from cryofix.sweeps.varied import Setting


def page(summary: Summary) -> str:
    """Return the whole page."""
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    title = f"Sweep {summary.title}"
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        element("title", title),
        element("style", [_asset("page.css")]),
    ]
    body = [
        *_header(summary, title),
        *_best(summary),
        *_figures(summary),
        *_table(summary),
        *_jobs(summary),
        *_notes(summary),
        element("script", [script]),
    ]
    parts = [element("head", head), element("body", body)]
    return f'<!doctype html>\n<html lang="en">{"".join(parts)}</html>\n'


def _asset(name: str) -> str:
    return (files("cryofix.reporting") / "templates" / name).read_text(encoding="utf-8")


def _card(title: str, content: str, wide: bool = False) -> str:
    inner = element("div", [content], class_="scroll") if wide else content
    return element("section", [element("h3", title), inner], class_="card")


def _header(summary: Summary, title: str) -> Iterator[str]:
    yield element("h1", title)
    made = summary.made.strftime("%Y-%m-%d %H:%M UTC")
    yield element(
        "p", f"Semi-supervised particle picking with cryofix. Made {made}.", class_="muted"
    )
    chips = [
        element("a", f"{n} {state.value}", href="#jobs", class_=f"chip {state.value}")
        for state in State
        if (n := summary.sweep.count(state))
    ]
    yield element("div", chips, class_="chips")


def _best(summary: Summary) -> Iterator[str]:
    if not summary.best:
        return
    title = METRIC_TITLES[summary.metric]
    yield element("h2", "Best setting")
    if any(choice.source == "test" for choice in summary.best):
        yield element(
            "p",
            "Ranked by test scores, because these results hold none of validation: the winner's "
            "score is flattered. Measure it again with new seeds before quoting it.",
            class_="muted",
        )
    cards = []
    for choice in summary.best:
        gain = choice.gain
        over = f"; {signed(gain.mean)} over control on test" if gain else ""
        of = f"best of {choice.candidates}"
        if choice.passed_over:
            of += f"; {choice.passed_over} with too few runs passed over"
        where = f"{choice.scene}, {percent(choice.row.ratio)} labelled"
        cards.append(
            element(
                "section",
                [
                    element("h3", where),
                    element("p", [element("span", f"{choice.score:.3f}", class_="number")]),
                    element("p", f"{title} on {choice.source}{over}"),
                    element("p", f"{choice.name} ({of}). {choice.advice}", class_="muted"),
                    element("code", choice.line, class_="paste"),
                ],
                class_="card",
            )
        )
    yield element("div", cards, class_="cards best")


def _figures(summary: Summary) -> Iterator[str]:
    for scene, group in groupby(summary.rows, key=lambda row: summary.namer.scene(row.setting)):
        everything = list(group)
        rows = [row for row in everything if row.fixmatch]
        if not rows:
            continue
        yield element("h2", "Settings and label ratios")
        yield element("h3", scene, class_="scene")
        panels = [
            _card(quantity.title, heat_map(rows, summary.namer, quantity), wide=True)
            for quantity in quantities(summary.metric)
            if any(quantity.value(row) is not None for row in rows)
        ]
        yield element("div", panels, class_="cards")
        if len({row.ratio for row in everything}) > 1:
            yield from _ratio_section(everything, summary)
        yield from _keep_section(everything, summary)


def _ratio_section(rows: Sequence[Row], summary: Summary) -> Iterator[str]:
    yield element("h2", "More labels")
    panels = [
        _card(METRIC_TITLES[metric], ratio_curves(rows, summary.namer, metric))
        for metric in CURVE_METRICS
        if any(metric in row.fixmatch for row in rows)
    ]
    names: Mapping[Setting, str] = curve_colours(
        list(dict.fromkeys(row.setting for row in rows if row.fixmatch))
    )
    legend = [_legend("supervised control", "swatch dashed", None, -1)]
    legend += [
        _legend(summary.namer.curve(setting), "swatch", colour, number)
        for number, (setting, colour) in enumerate(names.items())
    ]
    content = [element("div", legend, class_="legend"), element("div", panels, class_="cards")]
    yield element("div", content, class_="lines")


def _legend(name: str, kind: str, colour: str | None, number: int | None) -> str:
    style = None if colour is None else f"color:{colour}"
    swatch = element("i", class_=kind, style=style)
    return element("span", [swatch, " ", element("b", name)], data_for=number)


def _keep_section(rows: Sequence[Row], summary: Summary) -> Iterator[str]:
    legend = [
        _legend("particle pixels", "swatch particle", None, None),
        _legend("background pixels", "swatch background", None, None),
    ]
    for title, about, panels in (
        (
            "What a threshold keeps at the fork",
            "Shares of the pixels predicted as each class that a confidence threshold keeps, of "
            "the model that FixMatch starts from. Particles kept less than background are starved: "
            "the log of the ratio is the drift.",
            start_panels(rows),
        ),
        (
            "What each mask kept in the end",
            "The same shares for each mask, in the last audit of training. The further apart the "
            "dots, the stronger the drift.",
            mask_panels(rows, summary.namer),
        ),
    ):
        if panels:
            yield element("h2", title)
            yield element("p", about, class_="muted")
            cards = [_card(f"{percent(ratio)} labelled", drawn) for ratio, drawn in panels.items()]
            content = [
                element("div", legend, class_="legend"),
                element("div", cards, class_="cards"),
            ]
            yield element("div", content, class_="lines")


def _table(summary: Summary) -> Iterator[str]:
    if summary.rows:
        yield element("h2", "All settings")
        yield element("section", [rows_table(summary)], class_="card scroll")


def _jobs(summary: Summary) -> Iterator[str]:
    unfinished = summary.sweep.unfinished
    yield element("h2", "Jobs without a result", id="jobs")
    if unfinished:
        yield element("section", [jobs_table(unfinished)], class_="card scroll")
    else:
        yield element("p", "None: every job that is known of has finished.")


def _notes(summary: Summary) -> Iterator[str]:
    yield element("h2", "How to read this")
    notes = [element("li", note) for note in (*summary.notes, *CAVEATS)]
    yield element("ul", notes, class_="notes")
