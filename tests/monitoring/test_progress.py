"""Lines where there is no terminal, a bar where there is one."""

import io

import pytest
from rich.console import Console

from cryofix.monitoring.progress import Display


def test_without_a_terminal_there_are_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(seconds_between_lines=1000) as display:
        tick = display.counter("simulating", 5)
        for _ in range(5):
            tick()
    said = capsys.readouterr().out
    assert said.splitlines() == ["simulating 5/5 | 0 s"]
    assert "\x1b" not in said


def test_lines_have_the_time_left_and_the_latest_score(
    capsys: pytest.CaptureFixture[str],
) -> None:
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
