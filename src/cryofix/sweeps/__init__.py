"""Reading the runs of a sweep, and reporting them as a terminal table, Markdown, CSV and HTML.

This room reads only what the run folders promise and knows neither torch nor Hydra, so that a
report takes a second and works on any machine that sees the folder.
"""

from cryofix.sweeps.collect import Expand, Sweep, collect
from cryofix.sweeps.report import write_report
from cryofix.sweeps.results import METRICS, Result, read_result
from cryofix.sweeps.runs import Run, State
from cryofix.sweeps.summary import Summary, summarise
from cryofix.sweeps.terminal import render

__all__ = [
    "METRICS",
    "Expand",
    "Result",
    "Run",
    "State",
    "Summary",
    "Sweep",
    "collect",
    "read_result",
    "render",
    "summarise",
    "write_report",
]
