"""Reading the runs of a sweep, and reporting them as a terminal table, Markdown, CSV and HTML.

This room reads only what the run folders promise and knows neither torch nor Hydra, so that a
report takes a second and works on any machine that sees the folder.
"""

from cryofix.sweeps.collect import Expand, Sweep, collect
from cryofix.sweeps.report_forms import render, write_report
from cryofix.sweeps.run_results import METRICS, Result, read_result
from cryofix.sweeps.runs import Run, State
from cryofix.sweeps.summarise import SweepSummary, summarise_sweep

__all__ = [
    "METRICS",
    "Expand",
    "Result",
    "Run",
    "State",
    "Sweep",
    "SweepSummary",
    "collect",
    "read_result",
    "render",
    "summarise_sweep",
    "write_report",
]
