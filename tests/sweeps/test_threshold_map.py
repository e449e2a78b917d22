"""The scripts that make docs/thresholds.md, on sweeps that are not complete."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from cryofix.diagnosis.forecast import FEATURES, probability
from cryofix.errors import CryofixError

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "study"))
import forecast_fit
import guard_replay
import threshold_map
from marked_page import fill
from threshold_map import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "thresholds.md"


@pytest.fixture
def runs(sweep: Any, make_results: Any) -> pd.DataFrame:
    """Read two seeds of one cell of each regime, one of which collapsed."""
    for regime, recall in (("ema", 0.6), ("self", 0.1)):
        for seed in (0, 1):
            found = make_results("symmetric", 0.1, seed, 0, threshold=0.9)
            found["data"] = "synthetic"
            found["fixmatch"]["pixel"]["recall"] = recall if seed else 0.5
            found["supervised"]["pixel"]["recall"] = 0.5
            overrides = [
                "mask=symmetric",
                "mask.threshold=0.9",
                f"teacher={regime}",
                f"seed={seed}",
            ]
            overrides += ["guard.lost_patience=2"] * seed  # of a guard that only reports: one cell
            run = sweep.run(f"{regime}_{seed}", overrides, found, {"state": "finished"})
            config = {"teacher": {"kind": regime}, "trainer": {"precision": "32-true"}}
            (run / "config.json").write_text(json.dumps(config))
    return threshold_map.read_runs(sweep.path)


def test_the_map_has_a_panel_for_each_regime_and_a_number_for_each_cell(
    runs: pd.DataFrame, tmp_path: Path
) -> None:
    alarmed: Any = [False, None, True, True]
    cells = threshold_map.read_cells(runs.assign(alarmed=alarmed))
    assert cells.alarms.to_list() == ["0/2", "2/2"]
    assert cells[["regime", "runs", "collapsed"]].to_numpy().tolist() == [
        ["advised", 2, 0],
        ["collapsing", 2, 1],
    ]
    assert cells.recall.to_list() == pytest.approx([0.55, 0.3])
    threshold_map.draw_maps(cells, tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == threshold_map.MAPS.keys()
    said = threshold_map.answer(runs)
    assert (
        "advised regime (the average as teacher, weight 1) the recall at 0.5 ended below half"
        in (said)
    )
    assert "in 1 of 2 runs; the lowest was 20 % of it, with `mask=symmetric` 0.9 at 10 %" in said


def test_new_runs_are_added_and_runs_made_anew_take_the_place_of_the_old(
    runs: pd.DataFrame,
) -> None:
    known = threshold_map.together(runs.iloc[:0], runs[:3])
    assert threshold_map.new_runs(runs, known).index.to_list() == [3]
    anew = runs[:1].assign(written="2026-12-01 00:00:00+00:00", gain=0.5)
    assert threshold_map.new_runs(anew, known).index.to_list() == [0]
    grown = threshold_map.together(known, pd.concat([runs[3:], anew]))
    assert grown[["regime", "seed"]].to_numpy().tolist() == [
        ["advised", 0],
        ["advised", 1],
        ["collapsing", 0],
        ["collapsing", 1],
    ]
    assert grown.gain[0] == 0.5
    nothing = threshold_map.new_runs(runs[:3], known)
    assert list(nothing.columns) == list(runs.columns)
    assert threshold_map.together(known, nothing).equals(known)


def test_the_page_and_the_rule_are_what_the_committed_runs_give() -> None:
    folder = PAGE.with_suffix("")
    runs, layout, few = (threshold_map.read_table(folder / f"{name}.csv") for name in TABLES)
    rule, _ = forecast_fit.fitted(runs)
    assert rule == yaml.safe_load(forecast_fit.RULE.read_text())
    page = PAGE.read_text()
    for name, part in threshold_map.page_parts(runs, layout, few, rule).items():
        assert part.strip() in page, name
    cells = threshold_map.read_cells(runs).drop(columns=threshold_map.DRAWN)
    written = pd.read_csv(folder / "cells.csv")
    pd.testing.assert_frame_equal(cells, written, rtol=0, atol=1e-5, check_dtype=False)


def test_what_is_missing_is_said_by_ratio_and_threshold(runs: pd.DataFrame) -> None:
    planned = threshold_map.of_planned(runs)
    row = planned[(planned.data == "synthetic") & (planned["mask"] == "symmetric")].iloc[0]
    assert (row.finished, row.planned) == (2, 54)
    assert row["empty"] == "5 %: all, 10 %: 0.5 0.6 0.7 0.8 0.95, 20 %: all"
    assert planned.finished.sum() == 4


def test_the_cure_is_compared_with_its_control_in_the_advised_regime() -> None:
    cells = pd.DataFrame(
        [
            ("synthetic", "quota", "advised", 0.1, 3, 0.50, 0.49, 0.002),
            ("masks", "quota", "advised", 0.1, 3, 0.50, 0.52, -0.03),
            ("masks", "quota", "collapsing", 0.1, 3, 0.10, 0.52, -0.3),
            ("masks", "symmetric", "advised", 0.1, 3, 0.10, 0.52, -0.3),
        ],
        columns=["data", "mask", "regime", "ratio", "runs", "f1", "control_f1", "gain"],
    )
    said = threshold_map.cure(cells)
    assert "In 1 of 2 cells its F1 is more than a point below its control's." in said
    assert "| synthetic | 10 % | 3 | 0.500 | 0.490 | +0.010 | +0.002 |" in said


def test_alarms_are_counted_in_healthy_runs_and_in_time_in_collapsed_ones() -> None:
    runs = pd.DataFrame(
        [
            ("synthetic", "advised", True, False, None, None),
            ("synthetic", "advised", False, False, 12, None),
            ("masks", "collapsing", True, True, 30, 50),
            ("masks", "collapsing", True, True, 100, 50),
            ("masks", "collapsing", True, False, 20, None),
        ],
        columns=["data", "regime", "alarmed", "collapsed", "alarm_step", "halved_step"],
    )
    said = guard_replay.parts(runs)
    assert said["healthy"].splitlines()[-1] == "| all | 2 | 1 | 1 |"
    assert said["caught"].splitlines()[-1] == "| all | 2 | 2 | 1 |"
    assert guard_replay.parts(runs[:1])["caught"] == "There is no such run yet."


def test_the_rule_finds_the_feature_that_decides_and_says_a_share_where_none_does() -> None:
    rows = [
        {**dict.fromkeys(FEATURES, 0.0), "self_teaching": 2.3 * (n % 2), "drift": -0.1 * (n % 5)}
        | {"collapsed": n % 2 == 1}
        for n in range(40)
    ]
    rule = forecast_fit.fit(pd.DataFrame(rows))
    assert all((probability(rule, row) > 0.5) == row["collapsed"] for row in rows)
    assert rule["coefficients"]["self_teaching"] > 0.5 > abs(rule["coefficients"]["drift"])
    healthy = forecast_fit.fit(pd.DataFrame(rows).assign(collapsed=False))
    assert probability(healthy, rows[1]) == pytest.approx(1 / 42, abs=1e-4)


def test_a_page_is_filled_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one: by the script -->\nold\n<!-- end of one -->\nafter\n")
    for _ in range(2):
        fill(page, {"one": "new"})
    assert page.read_text() == (
        "before\n<!-- one: by the script -->\nnew\n<!-- end of one -->\nafter\n"
    )
    with pytest.raises(CryofixError, match="no place for 'two'"):
        fill(page, {"two": "new"})
