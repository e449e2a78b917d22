"""The two tables of the page: settings with their scores, and jobs without a result."""

from collections.abc import Sequence

from cryofix.sweeps.gains import Gain
from cryofix.sweeps.reading import text
from cryofix.sweeps.runs import Run
from cryofix.sweeps.statistics import Row, Spread
from cryofix.sweeps.summarise import METRIC_TITLES, Summary
from cryofix.sweeps.svg import element, percent, signed

_Cell = tuple[str, str, str]  # inner HTML, sort key, class

MOST_JOBS = 500


def rows_table(summary: Summary) -> str:
    """Return the sortable table of all rows."""
    metric = summary.metric
    title = METRIC_TITLES[metric]
    several = len({summary.namer.scene(row.setting) for row in summary.rows}) > 1
    reach = max(
        [abs(end) for row in summary.rows for end in _ends(row.gains.get(metric))], default=0.0
    )
    heads = [
        ("Mask", "text"),
        ("Settings", "text"),
        *([("Data", "text")] if several else []),
        ("Labelled", ""),
        ("n", ""),
        (title, ""),
        ("Control", ""),
        ("Gain [95 %]", ""),
        ("", ""),
        ("Worst run", ""),
        ("Verdict", "text"),
        ("Particle recall", ""),
        ("Particle AP", ""),
        ("Pixel F1", ""),
        ("Pixel recall", ""),
        ("Min. drift", ""),
        ("Alarms", ""),
    ]
    body = []
    for row in summary.rows:
        gain = row.gains.get(metric)
        settings = summary.namer.settings(row.setting)
        full = ", ".join(f"{key} {value}" for key, value in row.setting.mask_config)
        settings_cell = element("span", settings or "defaults", title=full)
        cells = [
            _text(row.setting.mask),
            (settings_cell, settings, "text narrow"),
            *([_text(summary.namer.scene(row.setting))] if several else []),
            (percent(row.ratio), str(row.ratio), ""),
            (str(row.n), str(row.n), ""),
            _spread(row.fixmatch.get(metric)),
            _spread(row.supervised.get(metric)),
            _gain(gain),
            (_forest(gain, reach), "" if gain is None else str(gain.mean), ""),
            ("", "", "") if gain is None else (signed(gain.worst), str(gain.worst), ""),
            _verdict(gain),
            *(
                _spread(row.fixmatch.get(name))
                for name in (
                    "particle_recall",
                    "particle_average_precision",
                    "pixel_f1",
                    "pixel_recall",
                )
            ),
            _spread(row.drift, sign=True),
            (f"{row.alarmed}/{row.watched}" if row.watched else "", _alarm_key(row), ""),
        ]
        body.append(cells)
    return _table(heads, body)


def jobs_table(runs: Sequence[Run]) -> str:
    """Return the sortable table of jobs that failed, are missing or still run."""
    heads = [("Job", "text"), ("State", "text"), ("Why", "text"), ("Overrides", "text")]
    body = []
    for run in runs[:MOST_JOBS]:
        why = [element("span", run.reason)]
        if run.detail:
            shown = [element("summary", "log"), element("pre", run.detail)]
            why.append(element("details", shown))
        if run.log is not None:
            why.append(element("small", text(str(run.log), 500)))
        chip = element("span", run.state.value, class_=f"chip {run.state.value}")
        body.append(
            [
                _text(run.name),
                (chip, run.state.value, "text"),
                ("".join(why), run.reason, "text wrap"),
                (element("code", " ".join(run.overrides)), " ".join(run.overrides), "text wrap"),
            ]
        )
    more = len(runs) - MOST_JOBS
    return _table(heads, body) + (element("p", f"… and {more} more.") if more > 0 else "")


def _table(heads: Sequence[tuple[str, str]], body: Sequence[Sequence[_Cell]]) -> str:
    head = [
        element("th", [element("button", name, type="button")] if name else [], class_=kind or None)
        for name, kind in heads
    ]
    rows = [
        element(
            "tr",
            [
                element("td", [inner], data_key=key, class_=kind or None)
                for inner, key, kind in cells
            ],
        )
        for cells in body
    ]
    content = [element("thead", [element("tr", head)]), element("tbody", rows)]
    return element("table", content, class_="sortable")


def _cell(inner: str, key: str, kind: str) -> str:
    return element("td", [inner], data_key=key, class_=kind or None)


def _text(content: str) -> _Cell:
    return element("span", content), content, "text"


def _spread(summary: Spread | None, sign: bool = False) -> _Cell:
    if summary is None:
        return "", "", ""
    mean = signed(summary.mean) if sign else f"{summary.mean:.3f}"
    sd = "" if summary.sd is None else element("span", f" ±{summary.sd:.3f}", class_="sd")
    return element("span", mean) + sd, str(summary.mean), ""


def _gain(gain: Gain | None) -> _Cell:
    if gain is None:
        return "", "", ""
    if gain.interval is None:
        interval = "n = 1"
    else:
        interval = f"[{signed(gain.interval[0])}, {signed(gain.interval[1])}]"
    inner = element("span", signed(gain.mean)) + element("span", f" {interval}", class_="sd")
    return element("span", [inner], title=gain.basis), str(gain.mean), ""


def _verdict(gain: Gain | None) -> _Cell:
    if gain is None:
        return "", "", "text"
    tone = {"better": " good", "worse": " bad"}.get(gain.verdict, "")
    return element("span", gain.verdict, class_=f"verdict{tone}"), gain.verdict, "text"


def _alarm_key(row: Row) -> str:
    return str(row.alarmed / row.watched) if row.watched else ""


def _ends(gain: Gain | None) -> tuple[float, ...]:
    if gain is None:
        return ()
    return (gain.mean, *(gain.interval or ()))


def _forest(gain: Gain | None, reach: float) -> str:
    """Draw a gain and its interval about zero, on the scale that all rows share."""
    if gain is None or reach <= 0:
        return ""
    width, middle = 90.0, 7.0

    def x(value: float) -> float:
        return width / 2 + value / reach * (width / 2 - 5)

    parts = [element("line", class_="zero", x1=x(0), x2=x(0), y1=0, y2=14)]
    if gain.interval is not None:
        low, high = gain.interval
        parts.append(element("line", class_="bar", x1=x(low), x2=x(high), y1=middle, y2=middle))
    parts.append(element("circle", cx=x(gain.mean), cy=middle, r=3))
    return element("svg", parts, class_="forest", width=90, height=14, aria_hidden="true")
