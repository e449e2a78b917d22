"""The script that makes docs/how_many_labels.md, on numbers that are known."""

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "study"))
import label_curve

from cryofix.reporting.numbers import signed

PAGE = Path(__file__).parents[2] / "docs" / "how_many_labels.md"


@pytest.fixture
def runs() -> pd.DataFrame:
    """Return three repetitions, in the last of which validation chose the worse branch."""
    scores = {0: (0.80, 0.83, True), 1: (0.82, 0.81, False), 2: (0.84, 0.82, True)}
    return pd.DataFrame(
        [
            {
                "data": "synthetic",
                "noise": 0.0,
                "clicks": "30",
                "seed": seed,
                "program": program,
                "selected": fixmatch_was_chosen == (program == "FixMatch"),
                "average_precision": f1 + 0.05,
                "f1": f1,
            }
            for seed, (control, fixmatch, fixmatch_was_chosen) in scores.items()
            for program, f1 in (("control", control), ("FixMatch", fixmatch))
        ]
    )


def test_a_cell_has_means_and_the_paired_gain(runs: pd.DataFrame) -> None:
    table = label_curve.tabulate(runs).set_index("score")
    means = table[["control", "FixMatch", "gain"]].to_numpy(float)
    assert means[list(table.index).index("f1")] == pytest.approx([0.82, 0.82, 0])
    assert means[list(table.index).index("average_precision")] == pytest.approx([0.87, 0.87, 0])
    # t of three pairs (2 degrees of freedom: 4.303) times the standard error of +.03, -.01, -.02
    assert table.loc["f1", "high"] == pytest.approx(4.303 * 0.026458 / 3**0.5, rel=1e-3)


def test_a_choice_costs_what_the_other_branch_had_more(runs: pd.DataFrame) -> None:
    partial = pd.DataFrame(
        {
            "run": ["synthetic_0_30_0", "synthetic_0_30_1"],
            "control_f1": [0.80, 0.82],
            "fixmatch_f1": [0.83, 0.81],
            "control": [0.9, 0.9],
            "FixMatch": [0.8, 0.8],
        }
    )
    lines = label_curve.selection(runs, partial).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["all", "complete", "3", "1", "0.0067", "0.0200", "1", signed(-0.02, 4)]
    assert cells[1][2:] == ["2", "0", "0.0000", "0.0000", "0", "+0.0000"]
    assert cells[2][2:] == ["2", "1", "0.0150", "0.0300", "0", "+0.0000"]


def test_a_run_that_is_made_anew_takes_the_place_of_the_old(runs: pd.DataFrame) -> None:
    anew = runs[runs["seed"] == 2].assign(f1=0.5)
    grown = label_curve.together(runs, pd.concat([anew, runs[:1].assign(seed=7)]))
    assert grown["seed"].to_list() == [0, 0, 1, 1, 2, 2, 7]
    assert grown["f1"].to_list()[4:6] == [0.5, 0.5]


def test_the_page_is_what_the_committed_tables_give() -> None:
    page, folder = PAGE.read_text(), PAGE.with_suffix("")
    runs = pd.read_csv(folder / "runs.csv", dtype={"clicks": str})
    for name, part in label_curve.page_parts(runs, folder).items():
        assert part.strip() in page, name
    written = pd.read_csv(folder / "table.csv", dtype={"clicks": str})
    made = label_curve.tabulate(runs).reset_index(drop=True)
    pd.testing.assert_frame_equal(made, written, rtol=0, atol=1e-4, check_dtype=False)
