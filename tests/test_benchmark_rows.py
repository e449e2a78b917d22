"""The table of benchmarks: what a row says, and what running all of them leaves behind."""

import sys
from pathlib import Path

import pytest
from benchmarks import rows
from benchmarks.__main__ import GPU_ROWS, SCRIPTS, main
from benchmarks.rows import Row

SLOW = Row("step", "120.0 ms", "100.0 ms of bare compute", 1.2, 1.1)
FAST = Row("loader", "9.0 batches/s", "2.0 steps/s", 4.5, 3.0, at_least=True)


def test_a_row_says_what_it_must_reach_in_one_line() -> None:
    assert str(SLOW) == "step: 120.0 ms, 100.0 ms of bare compute, 1.2, at most 1.1"
    assert str(FAST) == "loader: 9.0 batches/s, 2.0 steps/s, 4.5, at least 3"


def test_a_target_is_a_ceiling_or_a_floor() -> None:
    assert not SLOW.reached
    assert FAST.reached
    assert Row("at the limit", "", "", 1.1, 1.1).reached
    assert not Row("too slow", "", "", 2.9, 3.0, at_least=True).reached


def test_rows_come_back_from_the_file_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.finish([SLOW, FAST], tmp_path / "rows.json")
    assert rows.read(tmp_path / "rows.json") == [SLOW, FAST]
    assert capsys.readouterr().out == f"{SLOW}\n{FAST}\n"


def test_the_table_names_what_was_missed_and_what_was_not_measured() -> None:
    lines = rows.table([SLOW, FAST], [("a GPU", "not measured")]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].endswith("| 1.2 | at most 1.1 | **missed** |")
    assert lines[3].endswith("| 4.5 | at least 3 | reached |")
    assert lines[4].endswith("| not measured |")


def test_every_script_is_there() -> None:
    folder = Path(rows.__file__).parent
    assert all((folder / f"{script}.py").is_file() for script in SCRIPTS)


def test_a_script_that_fails_is_in_the_table_and_in_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    table = tmp_path / "table.md"
    assert main(["startup", "--output", str(table)]) == 1
    text = table.read_text()
    assert "| startup | | | | | **failed** |" in text
    assert all(f"| {name} | | | | | not measured |" in text for name in GPU_ROWS)
    assert "load average" in text


def test_an_unknown_script_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nope"])
    assert "nope: choose from step" in capsys.readouterr().err
