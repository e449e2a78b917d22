"""Draw the figure of gains of docs/study.md from the runs.csv that is committed with it.

python docs/study/redraw.py
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from cryofix.reporting.plots import save
from cryofix.sweeps.gains import gain_over_seeds, paired_differences
from cryofix.sweeps.gains_figure import gains_figure
from cryofix.sweeps.run_results import METRICS
from cryofix.sweeps.varied import Setting, make_names, sort_key

STUDY = Path(__file__).parent


def gains_rows(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return what `gains_figure` draws of a report's ``runs.csv``."""
    settings: Any = [
        Setting(data, mask, pairs(config), pairs(others))
        for data, mask, config, others in runs[
            ["data", "mask", "mask_config", "other_overrides"]
        ].to_numpy()
    ]
    runs = runs.assign(setting=settings)
    groups: dict[Any, pd.DataFrame] = dict(iter(runs.groupby(["setting", "ratio"], sort=False)))
    names = make_names(list(dict.fromkeys(settings)))
    rows: list[dict[str, Any]] = [
        {
            "scene": names[setting].scene,
            "curve": names[setting].curve,
            "ratio": ratio,
            "gain": gain_over_seeds(groups[setting, ratio], metric),
            "differences": tuple(paired_differences(groups[setting, ratio], metric)),
        }
        for setting, ratio in sorted(groups, key=lambda key: (*sort_key(key[0]), key[1]))
    ]
    return pd.DataFrame(rows, dtype=object)


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return what a column of JSON holds, as a :class:`Setting` has it."""
    return tuple(sorted(json.loads(text).items()))


def main() -> None:
    rows = gains_rows(pd.read_csv(STUDY / "runs.csv"), "particle_f1")
    figure = gains_figure(rows, METRICS["particle_f1"])
    assert figure is not None
    save(figure, STUDY / "gains.png")


if __name__ == "__main__":
    main()
