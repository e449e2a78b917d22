"""The script that makes docs/how_many_labels.md, on numbers that are known."""

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "study"))
import label_curve

from cryofix.reporting.numbers import signed


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
                "selected": cure_was_chosen == (program == "cure"),
                "average_precision": f1 + 0.05,
                "f1": f1,
            }
            for seed, (control, cure, cure_was_chosen) in scores.items()
            for program, f1 in (("control", control), ("cure", cure))
        ]
    )


def test_a_cell_has_means_and_the_paired_gain(runs: pd.DataFrame) -> None:
    table = label_curve.tabulate(runs).set_index("score")
    means = table[["control", "cure", "gain"]].to_numpy(float)
    assert means[list(table.index).index("f1")] == pytest.approx([0.82, 0.82, 0])
    assert means[list(table.index).index("average_precision")] == pytest.approx([0.87, 0.87, 0])
    # t of three pairs (2 degrees of freedom: 4.303) times the standard error of +.03, -.01, -.02
    assert table.loc["f1", "high"] == pytest.approx(4.303 * 0.026458 / 3**0.5, rel=1e-3)


def test_a_choice_costs_what_the_other_branch_had_more(runs: pd.DataFrame) -> None:
    partial = pd.DataFrame(
        {
            "control_f1": [0.80, 0.82],
            "cure_f1": [0.83, 0.81],
            "control": [0.9, 0.9],
            "cure": [0.8, 0.8],
        }
    )
    lines = label_curve.selection(runs, partial).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["complete", "3", "1", "0.0067", "0.0200", "1", signed(-0.02, 4)]
    assert cells[1][1:] == ["2", "1", "0.0150", "0.0300", "0", "+0.0000"]
