"""Means, intervals and groups, checked against numbers worked out by other means."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from cryofix.errors import CryofixError
from cryofix.sweeps.collect import collect
from cryofix.sweeps.gains import holm, t_interval, t_test
from cryofix.sweeps.report_forms import html, markdown
from cryofix.sweeps.selection import judge_selection
from cryofix.sweeps.statistics import control_by_ratio, keep_rates_by_ratio, spread
from cryofix.sweeps.summarise import summarise_sweep
from cryofix.sweeps.varied import override_line


def rows(folder: Path) -> list[Any]:
    return [row for _, row in summarise_sweep(collect(folder)).rows.iterrows()]


def set_scores(result: dict[str, Any], supervised: float, fixmatch: float) -> dict[str, Any]:
    for branch, score in (("supervised", supervised), ("fixmatch", fixmatch)):
        result[branch]["particle"] |= {"f1": score, "average_precision": score}
    return result


def test_interval_of_three_differences_by_hand() -> None:
    # mean 0.02, sd 0.01, t(0.975, 2) = 4.302653: half width 4.302653 * 0.01 / sqrt(3)
    low, high = t_interval([0.01, 0.02, 0.03]) or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.02 - 0.024841, 0.02 + 0.024841), abs=1e-6)


def test_selection_is_judged_by_the_branch_that_was_not_taken(
    sweep: Any, make_results: Any
) -> None:
    taken = {"supervised": [(0.6, 0.5), (0.6, 0.7)], "fixmatch": [(0.6, 0.58), (0.6, 0.9)]}
    for seed, (selected, scores) in enumerate(
        (selected, scores) for selected, pairs in taken.items() for scores in pairs
    ):
        result = set_scores(make_results("none", 0.05, seed), *scores) | {"selected": selected}
        # On validation the third run's control is ahead, as on test; runs know no more than F1.
        ahead = (0.2, 0.1) if seed == 2 else (0.1, 0.2)
        for branch, score in zip(("supervised", "fixmatch"), ahead, strict=True):
            result["validation"][branch] = {"particle_f1": score}
        sweep.run(str(seed), [f"seed={seed}"], result, {"state": "finished"})
    summary = summarise_sweep(collect(sweep.path))
    judged = judge_selection(summary.runs, "particle_f1")
    assert [(each.n, each.wrong) for each in judged] == [(4, 2), (4, 1), (4, 2)]
    assert [each.cost for each in judged] == pytest.approx([0.12 / 4, 0.1 / 4, 0.12 / 4])
    assert [each.gain for each in judged] == pytest.approx([0.28 / 4, 0.3 / 4, 0.28 / 4])
    assert [each.worst for each in judged] == pytest.approx([-0.02, -0.1, -0.1])
    assert "| what the runs selected | 4 | 2 | 0.0300 | +0.0700 |" in markdown(summary)
    assert ">higher particle F1 on validation<" in html(summary)
    assert judge_selection(summary.runs.assign(selected=None), "particle_f1") == []


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12))
def test_interval_agrees_with_scipy(values: list[float]) -> None:
    low, high = t_interval(values) or (math.nan, math.nan)
    sem = np.std(values, ddof=1) / math.sqrt(len(values))
    expected = float(scipy.stats.t.ppf(0.975, len(values) - 1) * sem)
    assert high - low == pytest.approx(2 * expected, rel=1e-9, abs=1e-12)
    assert low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high


def test_one_value_has_neither_spread_nor_interval() -> None:
    summary = spread([0.5])
    assert summary is not None
    assert summary.sd is None
    assert t_interval([0.5]) is None
    assert spread([]) is None


def test_seeds_are_repetitions_and_thresholds_are_not(sweep: Any) -> None:
    sweep.grid([("symmetric", {"threshold": t}) for t in (0.6, 0.7)], (0.05, 0.1), (0, 1, 2))
    found = rows(sweep.path)
    assert [(dict(r.setting.mask_config)["threshold"], r.ratio, r.runs) for r in found] == [
        ("0.6", 0.05, 3),
        ("0.6", 0.1, 3),
        ("0.7", 0.05, 3),
        ("0.7", 0.1, 3),
    ]


def test_gain_is_paired_within_runs(sweep: Any, make_results: Any) -> None:
    # Controls differ by 0.3 between seeds; the gains hardly: only pairing sees them.
    for seed, (control, student) in enumerate([(0.3, 0.35), (0.45, 0.51), (0.6, 0.64)]):
        sweep.finished(str(seed), set_scores(make_results("none", 0.05, seed), control, student))
    (row,) = rows(sweep.path)
    gain = row.gain
    assert gain.mean == pytest.approx(0.05)
    assert gain.interval == pytest.approx((0.05 - 0.024841, 0.05 + 0.024841), abs=1e-6)
    assert gain.worst == pytest.approx(0.04)
    assert gain.basis == "t over 3 seeds"
    assert gain.verdict == "higher, few runs"


def test_label_draws_are_the_units_when_there_are_several(sweep: Any, make_results: Any) -> None:
    number = 0
    for draw, lift in enumerate([0.01, 0.02, 0.03]):
        for seed, wobble in enumerate([-0.005, 0.0, 0.005]):
            result = make_results("none", 0.05, seed, draw)
            sweep.finished(str(number), set_scores(result, 0.5, 0.5 + lift + wobble))
            number += 1
    (row,) = rows(sweep.path)
    gain = row.gain
    assert row.runs == 9
    assert gain.interval == pytest.approx((0.02 - 0.024841, 0.02 + 0.024841), abs=1e-6)
    assert gain.basis == "t over 3 label draws"
    assert gain.verdict == "unclear"


def test_the_mean_is_what_the_interval_is_about(sweep: Any, make_results: Any) -> None:
    for number, (draw, seed, lift) in enumerate(
        [(0, 0, 0.09), (0, 1, 0.10), (0, 2, 0.11), (1, 0, 0.02), (2, 0, 0.03)]
    ):
        result = make_results("none", 0.05, seed, draw)
        sweep.finished(str(number), set_scores(result, 0.5, 0.5 + lift))
    (row,) = rows(sweep.path)
    assert row.gain.mean == pytest.approx(0.05)
    assert np.mean(row.gain.interval) == pytest.approx(0.05)


@pytest.mark.parametrize(("gain", "verdict"), [(0.05, "better"), (-0.05, "worse")])
def test_better_needs_three_seeds_and_three_draws(
    sweep: Any, make_results: Any, gain: float, verdict: str
) -> None:
    number = 0
    for draw in range(3):
        for seed in range(3):
            result = make_results("none", 0.05, seed, draw)
            sweep.finished(str(number), set_scores(result, 0.5, 0.5 + gain + 0.001 * draw))
            number += 1
    assert rows(sweep.path)[0].gain.verdict == verdict


def test_of_many_rows_few_are_better_by_chance(sweep: Any, make_results: Any) -> None:
    # t = 8.66 with 2 degrees of freedom, p = .0131: enough alone and not among five.
    for mask in ("none", "symmetric", "class_aware", "soft_weight", "quota"):
        lift = 0.05 if mask in ("none", "quota") else 0.0
        spread_of_draws = 1e-4 if mask == "quota" else 0.01  # quota: p = 1.3e-6
        for draw in range(3):
            for seed in range(3):
                gain = lift + spread_of_draws * (draw - 1)
                result = set_scores(make_results(mask, 0.05, seed, draw), 0.5, 0.5 + gain)
                sweep.finished(f"{mask}{draw}{seed}", result)
    found = {row.setting.mask: row.gain for row in rows(sweep.path)}
    assert found["none"].p == pytest.approx(0.01307, abs=1e-5)
    assert found["none"].interval is not None
    assert found["none"].interval[0] > 0
    assert {mask: gain.verdict for mask, gain in found.items()} == {
        "none": "higher, one of many",
        "symmetric": "unclear",
        "class_aware": "unclear",
        "soft_weight": "unclear",
        "quota": "better",
    }
    assert "among the 5 rows compared here that may be chance" in markdown(
        summarise_sweep(collect(sweep.path))
    )


def test_holm_rejects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]  # Holm's own example
    assert holm([0.04, 0.02]) == [True, True]
    assert holm([]) == []


def test_p_is_that_of_a_t_test() -> None:
    values = [0.01, 0.03, -0.005, 0.02]
    assert t_test(values) == pytest.approx(scipy.stats.ttest_1samp(values, 0).pvalue)
    assert (t_test([0.1]), t_test([0.1, 0.1]), t_test([0.0, 0.0])) == (None, 0.0, 1.0)


def test_runs_of_unequal_steps_say_who_stopped_them(sweep: Any, make_results: Any) -> None:
    for seed, (control, taken) in enumerate(((2000, 340), (2000, 340), (500, 2000), (700, 700))):
        result = make_results("none", 0.05, seed)
        result["steps"] |= {"supervised": control, "fixmatch": taken}
        result["stopped_by_guard"] = seed == 0
        sweep.finished(str(seed), result)
    notes = " ".join(summarise_sweep(collect(sweep.path)).notes)
    assert "In 3 of 4 runs FixMatch and its control took unequal numbers of steps" in notes
    assert "(the guard stopped 1, callbacks 2)" in notes


def test_one_run_says_so(sweep: Any, make_results: Any) -> None:
    sweep.finished("0", make_results("none", 0.05, 0))
    gain = rows(sweep.path)[0].gain
    assert gain.interval is None
    assert gain.verdict == "one run"
    assert gain.basis.startswith("one run: no interval over seeds; over test micrographs [")


def test_other_overrides_separate_rows_and_are_named(sweep: Any, make_results: Any) -> None:
    for number, teacher in enumerate(([], ["teacher=ema"], ["teacher=student"])):
        result = make_results("none", 0.05, 0)
        overrides = ["mask=none", "ratio=0.05", "seed=0", *teacher]
        sweep.run(str(number), overrides, result, {"state": "finished"})
    summary = summarise_sweep(collect(sweep.path))
    scenes = list(summary.rows.scene)
    assert scenes == ["simulated", "simulated, teacher ema", "simulated, teacher student"]


def test_what_goes_with_the_data_is_not_said(sweep: Any, make_results: Any) -> None:
    for number, data in enumerate(("simulated", "real")):
        result = make_results("none", 0.05, 0) | {"data": data}
        overrides = [f"data={data}", *(["data.root=/far/away"] if number else []), "mask=none"]
        sweep.run(str(number), overrides, result, {"state": "finished"})
    summary = summarise_sweep(collect(sweep.path))
    scenes = list(summary.rows.scene)
    assert scenes == ["real", "simulated"]


def test_supervised_runs_have_a_row_of_their_own_without_a_gain(
    sweep: Any, make_results: Any
) -> None:
    sweep.finished("0", make_results("none", 0.05, 0))
    alone = make_results("none", 0.1, 0) | {"fixmatch": None, "gain": None}
    overrides = ["mask=none", "ratio=0.1", "seed=0", "method=supervised"]
    sweep.run("1", overrides, alone, {"state": "finished"})
    summary = summarise_sweep(collect(sweep.path))
    found = {row["mask"]: row for _, row in summary.rows.iterrows()}
    assert set(found) == {"none", "supervised only"}
    assert found["supervised only"].gain is None
    assert list(control_by_ratio(summary.runs, "particle_f1")) == [0.05, 0.1]
    assert [choice.row.setting.mask for choice in summary.best] == ["none"]
    assert "supervised only" in html(summary)
    assert "supervised only" in markdown(summary)


def test_controls_shared_by_masks_count_once(sweep: Any) -> None:
    sweep.grid([("symmetric", {"threshold": t}) for t in (0.6, 0.7, 0.8)], (0.05,), (0, 1, 2))
    runs = summarise_sweep(collect(sweep.path)).runs
    (control,) = control_by_ratio(runs, "particle_f1").values()
    assert control == spread(runs.supervised_particle_f1[:3])
    assert control_by_ratio(runs[:3], "particle_f1") == {0.05: control}


def test_alarms_drift_and_keep_rates_are_summarised(sweep: Any) -> None:
    sweep.grid([("symmetric", {"threshold": 0.9})], (0.05,), (0, 1))
    (row,) = rows(sweep.path)
    assert (row.alarms, row.alarm_share, row.collapse_alarms) == ("2/2", 1, 2)
    assert row.min_drift_worst <= row.min_drift_mean < -1.5
    assert row.particle_keep < 0.2 * row.background_keep
    (rates,) = keep_rates_by_ratio(summarise_sweep(collect(sweep.path)).runs).values()
    assert rates.particle.iloc[0] == pytest.approx(1.0)
    assert rates.particle.is_monotonic_decreasing


def test_older_and_newer_schemas_are_read_and_noted(sweep: Any, make_results: Any) -> None:
    newer = make_results("none", 0.05, 0) | {"schema": 7, "hologram": {}}
    flat = {"mask": "none", "ratio": 0.05, "seed": 1, "fixmatch": {"pixel_f1": 0.4}}
    sweep.run("0", ["mask=none", "ratio=0.05", "seed=0"], newer, {"state": "finished"})
    sweep.run("1", ["mask=none", "ratio=0.05", "seed=1"], flat, {"state": "finished"})
    summary = summarise_sweep(collect(sweep.path))
    assert summary.rows.runs.sum() == 2
    assert any("schema 7, newer" in note for note in summary.notes)
    assert any("no schema number" in note for note in summary.notes)


def test_best_uses_validation_when_every_candidate_has_it(sweep: Any, make_results: Any) -> None:
    for number, (threshold, on_test, on_validation) in enumerate(
        [(0.6, 0.70, 0.50), (0.7, 0.60, 0.65)]
    ):
        result = set_scores(make_results("symmetric", 0.05, 0, threshold=threshold), 0.5, on_test)
        result["validation"]["fixmatch"]["particle_average_precision"] = on_validation
        sweep.finished(str(number), result)
    (by_validation,) = summarise_sweep(collect(sweep.path)).best
    assert by_validation.source == "validation"
    assert by_validation.line == "mask=symmetric mask.threshold=0.7 ratio=0.05"
    (by_test,) = summarise_sweep(collect(sweep.path), "pixel_f1").best
    assert by_test.source == "test", "validation holds no pixel F1"


def test_best_by_test_is_declared_and_skips_lucky_single_seeds(
    sweep: Any, make_results: Any
) -> None:
    for seed in range(3):
        result = set_scores(make_results("none", 0.05, seed), 0.5, 0.55)
        sweep.finished(f"a{seed}", result | {"validation": None})
    sweep.finished("lucky", set_scores(make_results("soft_weight", 0.05, 0), 0.5, 0.9))
    (best,) = summarise_sweep(collect(sweep.path)).best
    assert (best.row.setting.mask, best.source, best.passed_over) == ("none", "test", 1)


def test_no_mask_above_the_control_is_said(sweep: Any, make_results: Any) -> None:
    for seed in range(3):
        sweep.finished(str(seed), set_scores(make_results("none", 0.05, seed), 0.6, 0.5))
    (best,) = summarise_sweep(collect(sweep.path)).best
    assert best.advice.startswith("No mask beats plain supervised training")


def test_override_line_quotes_for_the_shell_and_drops_seeds(sweep: Any, make_results: Any) -> None:
    overrides = [
        "mask=none",
        "ratio=0.05",
        "seed=0",
        "++label_draw=1",
        "data.folder=a b;rm -rf x",
        "$(reboot)",
    ]
    sweep.run("0", overrides, make_results("none", 0.05, 0), {"state": "finished"})
    (best,) = summarise_sweep(collect(sweep.path)).best
    assert best.line == "mask=none ratio=0.05 'data.folder=a b;rm -rf x'"


def test_override_line_without_recorded_overrides_comes_from_the_result(
    sweep: Any, make_results: Any
) -> None:
    sweep.run("0", [], make_results("symmetric", 0.05, 0, threshold=0.6), {"state": "finished"})
    (row,) = rows(sweep.path)
    line = override_line(row.members, row.setting, row.ratio)
    assert line == "mask=symmetric mask.target=hard mask.threshold=0.6 ratio=0.05"


def test_keys_below_one_without_effect_make_no_other_setting(sweep: Any, make_results: Any) -> None:
    for seed in range(2):
        overrides = ["mask=none", "ratio=0.05", f"seed={seed}", f"+logger.wandb.name=run{seed}"]
        sweep.run(str(seed), overrides, make_results("none", 0.05, seed), {"state": "finished"})
    (row,) = rows(sweep.path)
    assert len(row.members) == 2
    assert override_line(row.members[:1], row.setting, row.ratio) == "mask=none ratio=0.05"


def test_names_say_only_what_differs(sweep: Any) -> None:
    sweep.grid([("symmetric", {"threshold": 0.7}), ("none", {})], (0.05,), (0,))
    assert [row.curve for row in rows(sweep.path)] == ["none", "symmetric 0.7"]


def test_an_unknown_metric_names_the_known_ones(sweep: Any, make_results: Any) -> None:
    sweep.finished("0", make_results("none", 0.05, 0))
    with pytest.raises(CryofixError, match=r"metric=f2.*particle_f1"):
        summarise_sweep(collect(sweep.path), "f2")
