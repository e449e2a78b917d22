"""The report as Markdown, for a repository, an issue or a lab notebook."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from cryofix.sweeps.gains import Gain
from cryofix.sweeps.heatmap import Quantity, make_grid, quantities
from cryofix.sweeps.runs import Run
from cryofix.sweeps.statistics import Row, Spread
from cryofix.sweeps.summarise import CAVEATS, METRIC_TITLES, Summary
from cryofix.sweeps.svg import percent, signed

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


def markdown(summary: Summary) -> str:
    """Return the whole report; everything that came from files is escaped."""
    title = _plain(summary.title)
    blocks = [f"# Sweep {title}", f"{summary.counts}. Made {summary.made:%Y-%m-%d %H:%M} UTC."]
    blocks += _best(summary)
    if summary.rows:
        blocks += ["## All settings", _rows(summary)]
        blocks += _maps(summary)
    blocks += ["## Jobs without a result", _jobs(summary.sweep.unfinished)]
    blocks += ["## How to read this"]
    blocks += ["\n".join(f"- {_plain(note)}" for note in (*summary.notes, *CAVEATS))]
    return "\n\n".join(blocks) + "\n"


def _plain(content: str) -> str:
    return _SPECIAL.sub(r"\\\1", content)


def _code(content: str) -> str:
    """Return inline code that a backtick or pipe in ``content`` cannot break out of."""
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", content)), default=0))
    pad = " " if fence != "`" else ""
    return f"{fence}{pad}{content}{pad}{fence}".replace("|", "\\|")


def _table(heads: Sequence[str], body: Sequence[Sequence[str]], texts: int) -> str:
    """Return a table of which the first ``texts`` columns are left-aligned."""
    rule = [":--" if number < texts else "--:" for number in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *body))


def _best(summary: Summary) -> Iterator[str]:
    if not summary.best:
        return
    yield "## Best setting"
    title = METRIC_TITLES[summary.metric]
    body = [
        [
            _plain(choice.scene),
            percent(choice.row.ratio),
            f"{choice.score:.3f} ({choice.source})",
            _said(choice.gain),
            _code(choice.line),
            choice.advice,
        ]
        for choice in summary.best
    ]
    heads = ["Data", "Labelled", title, "Gain over control", "Overrides", "Advice"]
    yield _table(heads, body, 2)
    if any(choice.source == "test" for choice in summary.best):
        yield (
            "Ranked by test scores, because these results hold none of validation: the winner's "
            "score is flattered."
        )


def _rows(summary: Summary) -> str:
    metric = summary.metric
    heads = ["Data", "Mask", "Settings", "Labelled", "n", METRIC_TITLES[metric], "Control"]
    heads += ["Gain [95 %]", "Worst run", "Verdict", "Particle recall", "Particle AP"]
    heads += ["Pixel F1", "Pixel recall", "Min. drift", "Alarms"]
    body = []
    for row in summary.rows:
        gain = row.gains.get(metric)
        names = ("particle_recall", "particle_average_precision", "pixel_f1", "pixel_recall")
        body.append(
            [
                _plain(summary.namer.scene(row.setting)),
                _plain(row.setting.mask),
                _plain(summary.namer.settings(row.setting)),
                percent(row.ratio),
                str(row.n),
                _said(row.fixmatch.get(metric)),
                _said(row.supervised.get(metric)),
                _said(gain),
                "" if gain is None else signed(gain.worst),
                "" if gain is None else gain.verdict,
                *(_said(row.fixmatch.get(name)) for name in names),
                "" if row.drift is None else signed(row.drift.mean),
                f"{row.alarmed}/{row.watched}" if row.watched else "",
            ]
        )
    return _table(heads, body, 3)


def _maps(summary: Summary) -> Iterator[str]:
    """Yield a table of settings x ratios for each quantity of the heat maps."""
    for scene, group in groupby(summary.rows, key=lambda row: summary.namer.scene(row.setting)):
        rows = [row for row in group if row.fixmatch]
        grid = make_grid(rows)
        for quantity in quantities(summary.metric) if rows else ():
            body = []
            for ratio in grid.ratios:
                cells = [grid.cells.get((setting, ratio)) for setting in grid.settings]
                body.append([percent(ratio), *(_cell(row, quantity) for row in cells)])
            heads = ["Labelled", *(_plain(summary.namer.curve(s)) for s in grid.settings)]
            yield f"### {_plain(quantity.title)}: {_plain(scene)}"
            yield _table(heads, body, 1)


def _cell(row: Row | None, quantity: Quantity) -> str:
    return "" if row is None or quantity.value(row) is None else quantity.written(row)


def _jobs(runs: Sequence[Run]) -> str:
    if not runs:
        return "None: every job that is known of has finished."
    body = [
        [_plain(run.name), run.state.value, _plain(run.reason), _code(" ".join(run.overrides))]
        for run in runs
    ]
    return _table(["Job", "State", "Why", "Overrides"], body, 4)


def _said(found: Gain | Spread | None) -> str:
    return "" if found is None else str(found)
