"""``python -m cryofix.report``: tables, figures and the best setting of a sweep."""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from rich.console import Console
from rich.live import Live

from cryofix.config import entry_point
from cryofix.errors import CryofixError, check_range, reason
from cryofix.sweeps.collect import collect

if TYPE_CHECKING:
    from cryofix.sweeps.summarise import SweepSummary

MOST_JOBS = 100_000


@entry_point("report")
def main(config: DictConfig) -> float:
    """Print and write the report; return the number of finished runs."""
    check_range("every_seconds", config.every_seconds, 0, 86_400)
    console = Console()
    summary = _look(config)
    from cryofix.sweeps.report_forms import render, write_report

    if config.watch:
        summary = _watch(config, summary, console)
    else:
        console.print(render(summary, console.width))
    for path in write_report(summary, config.output):
        console.print(f"wrote {path}", markup=False, highlight=False)
    return float(len(summary.sweep.finished))


def _look(config: DictConfig) -> "SweepSummary":
    sweep = collect(Path(config.sweep), expand_sweep, config.stalled_after_minutes)
    from cryofix.sweeps.summarise import summarise_sweep  # pandas, which no mistake has to wait for

    return summarise_sweep(sweep, config.metric)


def _watch(config: DictConfig, summary: "SweepSummary", console: Console) -> "SweepSummary":
    """Look again and again until nothing runs or is yet to come, or until Ctrl-C.

    The files are written anew whenever another job has ended, so that an open page can be
    reloaded.
    """
    from cryofix.sweeps.report_forms import render, write_report

    with Live(render(summary, console.width), console=console, auto_refresh=False) as live:
        try:
            write_report(summary, config.output)
            while not summary.sweep.over:
                time.sleep(config.every_seconds)
                before, summary = summary, _look(config)
                if summary.counts != before.counts:
                    write_report(summary, config.output)
                live.update(render(summary, console.width), refresh=True)
        except KeyboardInterrupt:
            console.print("Stopped watching; the jobs go on.")
    return summary


def expand_sweep(lines: Sequence[str], params: Mapping[str, str]) -> list[tuple[str, ...]]:
    """List the overrides of every job of a sweep, in the order of Hydra's job numbers.

    ``lines`` are overrides as typed, such as ``ratio=0.05,0.1``, and replace ``params``, Hydra's
    ``sweeper.params``, which stand in experiments. Raises CryofixError: a line is not in Hydra's
    grammar, or there are more jobs than anybody would start.
    """
    typed = [f"{key}={value}" for key, value in params.items()] + list(lines)
    # Inside an entry point the loader is there, and resolves mask=glob(*).
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    choices: dict[str, list[str]] = {}
    try:
        for override in OverridesParser.create(config_loader=loader).parse_overrides(typed):
            key = override.get_key_element()
            if override.is_sweep_override():
                values = itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1)
                choices[key] = [f"{key}={value}" for value in values]
            else:
                choices[key] = [f"{key}={override.get_value_element_as_str()}"]
    except (HydraException, ValueError, TypeError, RecursionError) as error:
        raise CryofixError(f"Hydra cannot expand its overrides: {reason(error)}") from error
    if math.prod(map(len, choices.values())) > MOST_JOBS:
        raise CryofixError(f"its overrides ask for more than {MOST_JOBS} jobs")
    return list(itertools.product(*choices.values()))


if __name__ == "__main__":
    main()
