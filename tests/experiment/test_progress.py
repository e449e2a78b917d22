"""Lines where there is no terminal, a bar where there is one."""

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from cryofix.experiment.progress import Display


def test_without_a_terminal_there_are_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(seconds_between_lines=1000) as display:
        tick = display.counter("simulating", 5)
        for _ in range(5):
            tick()
    said = capsys.readouterr().out
    assert said.splitlines() == ["simulating 5/5 | 0 s"]
    assert "\x1b" not in said


def test_lines_have_the_time_left_and_the_latest_score(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(seconds_between_lines=0) as display:
        phase = display.phase("fixmatch", 10, done=4)
        phase.advance("F1 0.5")
    assert capsys.readouterr().out == "fixmatch 5/10 | 0 s left | F1 0.5\n"


def test_on_a_terminal_there_is_a_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Display(console) as display:
        display.phase("burn-in", 3).advance("F1 0.5")
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "burn-in" in shown
    assert "F1 0.5" in shown


def shown(width: int) -> str:
    """Return the last line that a bar of a long training leaves on a terminal of a width."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with Display(console) as display:
        phase = display.phase("scoring supervised", 12_000, done=8_411)
        phase.advance("F1 particle 0.812 pixel 0.743 recall 0.701")
    assert isinstance(console.file, io.StringIO)
    lines = Text.from_ansi(console.file.getvalue()).plain.splitlines()
    return next(line for line in reversed(lines) if "scoring" in line).rstrip()


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60])
def test_a_bar_shows_whole_numbers_and_the_time_left_at_any_width(width: int) -> None:
    line = shown(width)
    assert len(line) <= width
    assert "scoring supervised" in line
    assert "8412/12000" in line
    assert re.search(r"(\d+:\d\d:\d\d|-:--:--) left", line)
    assert "F1 particle" in line


def test_the_bar_goes_before_the_scores_and_these_before_the_counts() -> None:
    assert "━" in shown(200)
    assert "recall 0.701" in shown(120)
    assert "━" not in shown(80)
    assert "8412/12000" in shown(40)
    assert "F1" not in shown(40)
