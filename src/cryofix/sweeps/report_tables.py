"""The tables of a report: its columns, for a page, for Markdown and for a terminal; and its CSV."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pandas as pd
from markupsafe import Markup

from cryofix.experiment.run_folder import SELECTED_BY, SELECTED_PARTIALLY_BY
from cryofix.reporting.frame_tables import Column, markdown_code
from cryofix.reporting.numbers import NOT_MEASURED, percent, plain, signed
from cryofix.reporting.pages import fragment
from cryofix.sweeps.gains import Gain
from cryofix.sweeps.reading import text
from cryofix.sweeps.run_results import METRICS
from cryofix.sweeps.runs import Run, State
from cryofix.sweeps.statistics import ROW, Spread
from cryofix.sweeps.summarise import SweepSummary

STATE_STYLES = {
    State.FINISHED: "green",
    State.RUNNING: "cyan",
    State.REQUEUED: "cyan",
    State.FAILED: "red",
    State.STALLED: "red",
    State.UNREADABLE: "red",
    State.STOPPED: "yellow",
    State.MISSING: "yellow",
}
FURTHER = {
    "particle_f1": "Particle F1",
    "particle_recall": "Particle recall",
    "particle_average_precision": "Particle AP",
    "pixel_f1": "Pixel F1",
    "pixel_recall": "Pixel recall",
}
_TONES = {"better": "good", "worse": "bad"}  # of a page; a terminal's are colours
_COLOURS = {"better": "green", "worse": "red"}
_TITLED = Markup('<span title="{}">{}</span>')
_SMALL = Markup('{} <span class="sd">{}</span>')


def row_columns(summary: SweepSummary, page: bool = False) -> list[Column]:
    """Return the columns of all settings, in a page or in Markdown."""
    gains = summary.rows.gain.dropna()
    ends = [abs(end) for gain in gains for end in (gain.mean, *(gain.interval or ()))]
    metric, reach, tested = summary.metric, max(ends, default=0.0), summary.rows.tested.any()
    unknown = "" if tested else NOT_MEASURED

    def spread(title: str, column: str) -> Column:
        return Column(title, f"{column}_spread", html=_spread, key=_mean, unknown=unknown)

    mask = Column("Mask", "mask", text=True)
    settings = Column("Settings", "settings", text=True)
    data = Column("Data", "scene", text=True)
    first = [data, mask, settings]
    if page:
        settings = Column(
            "Settings",
            "setting_words",
            html=lambda words: _TITLED.format(words[1], words[0] or "defaults"),
            key=lambda words: words[0],
            text=True,
            css="narrow",
        )
        first = [mask, settings, *([data] if summary.rows.scene.nunique() > 1 else [])]
    forest = Column("", "gain", html=lambda gain: _forest(gain, reach), key=_mean)
    return [
        *first,
        Column("Labelled", "ratio", percent),
        Column("n", "runs"),
        *([] if tested else [spread("On validation", f"validation_fixmatch_{metric}")]),
        spread(summary.metric_title, f"fixmatch_{metric}"),
        spread("Control", f"supervised_{metric}"),
        Column("Gain [95 %]", "gain", html=_gain, key=_mean, unknown=unknown),
        *([forest] if page else []),
        Column("Worst run", f"gain_{metric}_worst", signed),
        Column("Verdict", "verdict", html=_verdict, text=True),
        *(
            spread(title, f"fixmatch_{name}")
            for name, title in FURTHER.items()
            if name != metric and summary.rows[f"fixmatch_{name}_mean"].notna().any()
        ),
        Column(
            "Min. drift",
            "min_drift_spread",
            lambda found: signed(found.mean),
            html=lambda found: _spread(found, signed),
            key=_mean,
        ),
        Column("Alarms", "alarms", key=lambda alarms: float(Fraction(alarms))),
    ]


def terminal_columns(summary: SweepSummary, wide: bool) -> list[Column]:
    """Return the columns of a terminal; a narrow one shows the most important."""
    metric, tested = summary.metric, summary.rows.tested.any()
    unknown = "" if tested else NOT_MEASURED
    several = summary.rows.scene.nunique() > 1
    first = [
        *([Column("data", "scene", text=True)] if several else []),
        Column("mask", "mask_words" if wide else "curve", text=True),
        Column("labelled", "ratio", percent),
        Column("n", "runs"),
        *([] if tested else [Column("on validation", f"validation_fixmatch_{metric}_spread")]),
        Column("score" if tested else "on test", f"fixmatch_{metric}_spread", unknown=unknown),
    ]
    gain = Column("gain [95 %]", "gain", unknown=unknown)
    if not wide:
        return [*first, gain]
    return [
        *first,
        Column("control", f"supervised_{metric}_spread", unknown=unknown),
        gain,
        Column("verdict", "verdict", style=lambda said: _COLOURS.get(said, ""), text=True),
        Column("recall", f"fixmatch_{metric.split('_')[0]}_recall_mean", plain),
        Column("drift", "min_drift_mean", signed),
        Column("alarms", "alarms", style=lambda said: "" if said[:2] == "0/" else "red"),
    ]


def shown_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with what tables say of their settings."""
    full = [", ".join(f"{k} {v}" for k, v in each.mask_config) for each in rows.setting]
    words = pd.Series(zip(rows.settings, full, strict=True), rows.index, dtype=object)
    return rows.assign(setting_words=words, mask_words=rows["mask"] + " " + rows.settings)


JOB_COLUMNS = (
    Column("Job", "name", text=True),
    Column(
        "State",
        "state",
        lambda state: state.value,
        html=lambda state: Markup('<span class="chip {0}">{0}</span>').format(state.value),
        key=lambda state: state.value,
        style=lambda state: STATE_STYLES[state],
        text=True,
    ),
    Column(
        "Why",
        "run",
        lambda run: run.reason,
        html=lambda run: fragment("job.html", run=run, log=run.log and text(str(run.log), 500)),
        key=lambda run: run.reason,
        text=True,
        css="wrap",
    ),
    Column(
        "Overrides",
        "overrides",
        html=lambda line: Markup("<code>{}</code>").format(line),
        markdown=markdown_code,
        text=True,
        css="wrap",
    ),
)
"""The columns of the jobs without a result, in every form."""


def jobs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a line for each job."""
    lines = [(run.name, run.state, run, " ".join(run.overrides)) for run in runs]
    return pd.DataFrame(lines, columns=["name", "state", "run", "overrides"], dtype=object)


def rows_csv(rows: pd.DataFrame) -> str:
    """Return a line for each setting and ratio, with numbers in full; unknown cells are empty.

    Scores of particles that no run has are left out.
    """
    names = _measured(rows, "_mean")
    branches = [f"{branch}_{name}" for branch in ("fixmatch", "supervised") for name in names]
    return _csv(
        rows,
        *(*ROW, "runs", "seeds", "label_draws"),
        *(f"{name}_{what}" for name in branches for what in ("mean", "sd")),
        *(f"gain_{name}{what}" for name in names for what in ("", "_low95", "_high95", "_worst")),
        *("verdict", "interval_basis", "min_drift_mean", "min_drift_worst", "collapse_alarms"),
        *("particle_keep", "background_keep", "seconds_mean"),
    )


def runs_csv(runs: pd.DataFrame) -> str:
    """Return a line for each finished run, in the order of the rows that they belong to."""
    validated = [f"validation_{name}" for name in (SELECTED_BY, "particle_f1")]
    if runs.get(f"validation_fixmatch_{SELECTED_PARTIALLY_BY}", pd.Series()).notna().any():
        validated.append(f"validation_{SELECTED_PARTIALLY_BY}")
    named = {name.replace("_", "_fixmatch_", 1): name for name in validated}
    return _csv(
        runs.rename(columns=named | {"alarmed": "collapse_alarm"}),
        *(*ROW, "seed", "split_seed", "label_draw", "selected"),
        *(f"{branch}_{name}" for branch in ("fixmatch", "supervised") for name in _measured(runs)),
        *(*validated, "min_drift", "collapse_alarm"),
        *("particle_keep", "background_keep", "seconds"),
    )


def _measured(frame: pd.DataFrame, what: str = "") -> list[str]:
    """Return the scores of pixels, and those of particles that any line has on test."""

    def known(name: str) -> bool:
        columns = [f"{branch}_{name}{what}" for branch in ("fixmatch", "supervised")]
        return not frame.empty and bool(frame[columns].notna().any(axis=None))

    return [name for name in METRICS if not name.startswith("particle_") or known(name)]


def _csv(frame: pd.DataFrame, *columns: str) -> str:
    if frame.empty:
        return ""
    # With a quote before it, a spreadsheet does not take a name for a formula.
    texts = {
        name: frame[name].str.replace(r"^(?=[=+@-])", "'", regex=True)
        for name in ("data", "mask", "settings")
    }
    return frame.assign(**texts)[list(columns)].to_csv(index=False, lineterminator="\n")


def _mean(found: Gain | Spread) -> float:
    return found.mean


def _spread(found: Spread, written: Callable[[float], str] = plain) -> str:
    mean = written(found.mean)
    return mean if found.sd is None else _SMALL.format(mean, f"±{plain(found.sd)}")


def _gain(gain: Gain) -> str:
    mean, _, interval = str(gain).partition(" ")
    return _TITLED.format(gain.basis, _SMALL.format(mean, interval.strip("()")))


def _verdict(verdict: str) -> str:
    return Markup('<span class="verdict {}">{}</span>').format(_TONES.get(verdict, ""), verdict)


def _forest(gain: Any, reach: float) -> str:
    """Draw a gain and its interval about zero, on the scale that all rows share."""
    return fragment("forest.html", gain=gain, reach=reach) if reach > 0 else ""
