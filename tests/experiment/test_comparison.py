"""Any program's picks by the same rules, whatever its scores look like."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryofix.data.array_cache import CachedMicrograph
from cryofix.data.tiles import Annotated
from cryofix.errors import CryofixError
from cryofix.experiment.comparison import Scored, as_dict, gains, score_program
from cryofix.experiment.comparison import compare as compare_at
from cryofix.formats import MicrographInfo, Particles, write_coordinates
from cryofix.metrics.curves import EDGES, score_bins, threshold_index
from cryofix.metrics.particles import pooled_particles
from cryofix.metrics.programs import Program, read_programs

ROWS, COLUMNS, DIAMETER = 600, 900, 40.0
SCALE = 0.25
NAMES = ("m0", "m1", "m2", "m3")
INFOS = {name: MicrographInfo(Path(f"{name}.mrc"), (ROWS, COLUMNS), 1.5) for name in NAMES}


def truth(name: str) -> Particles:
    """Return 20 particles at full resolution, all in the upper half, none near another."""
    random = np.random.default_rng(int(name[1:]))
    cells = random.permutation(11 * 3)[:20]
    jitter = random.uniform(-8, 8, (2, 20))
    return Particles(60 + 75 * (cells % 11) + jitter[0], 60 + 80 * (cells // 11) + jitter[1])


def labelled(*names: str) -> list[Annotated]:
    """Return labels on a grid four times coarser."""
    path, small = Path("unused"), (ROWS // 4, COLUMNS // 4)
    return [
        Annotated(
            CachedMicrograph(name, path, path, small, (ROWS, COLUMNS), 1.5),
            truth(name).scaled(SCALE),
            Particles.empty(),
            (0.0, 0.0, COLUMNS / 4 - 1, ROWS / 4 - 1),
        )
        for name in names
    ]


def compare(
    programs: list[Program],
    scored_on: list[Annotated],
    validation: list[Annotated],
    threshold: float | None = None,
) -> list[Scored]:
    return compare_at(programs, scored_on, validation, DIAMETER * SCALE, threshold)


def noisy(low: float, high: float, names: tuple[str, ...] = NAMES) -> dict[str, Particles]:
    """Return picks: most particles with high scores, and as many wrong ones with lower scores."""
    picks = {}
    for name in names:
        random = np.random.default_rng(100 + int(name[1:]))
        right = truth(name).select(slice(17))
        x = np.concatenate([right.x, random.uniform(0, COLUMNS, 17)])
        y = np.concatenate([right.y, random.uniform(ROWS - 250, ROWS, 17)])
        quality = np.concatenate([random.beta(4, 2, 17), random.beta(2, 4, 17)])
        picks[name] = Particles(x, y, low + (high - low) * quality)
    return picks


def program(folder: Path, picks: dict[str, Particles], name: str = "topaz") -> Program:
    write_coordinates(folder / f"{name}.tsv", picks, INFOS, format="topaz")
    (read,) = read_programs({name: str(folder / f"{name}.tsv")}, INFOS)
    return read


def test_scores_of_any_range_become_ranks_that_keep_every_threshold(tmp_path: Path) -> None:
    plain = program(tmp_path, noisy(0.0, 1.0), "plain")
    wild = program(tmp_path, noisy(-6.0, 11.0), "wild")
    assert plain.levels is None
    assert wild.levels is not None
    here, validation = labelled("m0", "m1"), labelled("m2", "m3")
    one, other = compare([plain, wild], here, validation)
    assert one.pooled.average_precision() == pytest.approx(other.pooled.average_precision())
    assert one.pooled.f1(one.threshold) == other.pooled.f1(other.threshold)
    assert other.program.own_score(other.threshold) == pytest.approx(
        -6 + 17 * one.threshold, abs=0.2
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30, unique=True), st.data())
def test_a_threshold_goes_to_ranks_and_back(scores: list[float], data: st.DataObject) -> None:
    levels = np.unique(np.array(scores))
    ranked = Program("x", {}, levels)
    own = data.draw(st.sampled_from(levels.tolist()))
    assert ranked.own_score(ranked.unit_score(own)) == own
    between = data.draw(st.floats(-1e6, float(levels[-1])))
    place = (np.searchsorted(levels, levels) + 1) / len(levels)
    passed = place >= ranked.unit_score(between) - 1e-12
    np.testing.assert_array_equal(passed, levels >= between)


@pytest.mark.parametrize("count", [6, 50, 1000, 5000])
def test_every_threshold_of_the_grid_goes_to_the_lowest_score_that_passes_it(count: int) -> None:
    levels = np.arange(5.0, 5.0 + count)
    ranked = Program("x", {}, levels)
    ranks = ((np.arange(count) + 1) / count).astype(np.float32)
    for edge in EDGES[1 : threshold_index(float(ranks[-1])) + 1]:
        passed = levels[score_bins(ranks) >= threshold_index(float(edge))]
        assert ranked.own_score(float(edge)) == passed.min()


@pytest.mark.parametrize("reach", [1.0, 10.0])
def test_a_threshold_above_all_scores_is_a_sentence(tmp_path: Path, reach: float) -> None:
    picks = {name: replace(truth(name), score=np.full(len(truth(name)), reach)) for name in NAMES}
    read = program(tmp_path, picks)
    compare([read], labelled(*NAMES), [], threshold=reach)
    with pytest.raises(CryofixError, match=f"threshold=11 is above all scores .* reach {reach:g}"):
        compare([read], labelled(*NAMES), [], threshold=11.0)


def test_a_given_threshold_counts_on_the_programs_own_scale(tmp_path: Path) -> None:
    picks = noisy(-6.0, 11.0)
    cut = {name: each.select(np.asarray(each.score) >= 3.0) for name, each in picks.items()}
    (at_three,) = compare([program(tmp_path, picks)], labelled(*NAMES), [], threshold=3.0)
    (by_hand,) = compare([program(tmp_path, cut)], labelled(*NAMES), [])
    assert by_hand.basis == "all picks count"
    assert by_hand.threshold == 0.0
    for measure in ("precision", "recall", "f1"):
        ours = getattr(at_three.pooled, measure)(at_three.threshold)
        assert ours == getattr(by_hand.pooled, measure)(0.0)


def test_micrographs_without_picks_have_missed_everything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picks = {name: truth(name) for name in NAMES[:2]}
    with caplog.at_level(logging.WARNING):
        (scored,) = compare([program(tmp_path, picks)], labelled(*NAMES), [])
    assert scored.pooled.recall(0.0) == 0.5
    assert scored.pooled.precision(0.0) == 1.0
    assert "topaz has no picks in 2 of 4 micrographs (m2" in caplog.text


def test_picks_that_are_upside_down_are_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turned = {
        name: Particles(each.x, ROWS - each.y, each.score) for name, each in noisy(0.0, 1.0).items()
    }
    with caplog.at_level(logging.WARNING):
        compare([program(tmp_path, turned)], labelled(*NAMES), [])
    assert "better upside down" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        compare([program(tmp_path, noisy(0.0, 1.0))], labelled(*NAMES), [])
    assert "upside down" not in caplog.text


def test_strict_matches_are_within_a_quarter_diameter(tmp_path: Path) -> None:
    shifted = {name: Particles(truth(name).x + 0.35 * DIAMETER, truth(name).y) for name in NAMES}
    records = score_program(program(tmp_path, shifted), labelled(*NAMES), DIAMETER * SCALE)
    assert pooled_particles(records).counts_at(0.0)[0] == 80
    assert pooled_particles(records, strict=True).counts_at(0.0)[0] == 0


def test_the_dictionary_holds_scores_curve_and_paired_gains(tmp_path: Path) -> None:
    good = program(tmp_path, {name: truth(name) for name in NAMES}, "good")
    fair = program(tmp_path, noisy(0.0, 1.0), "fair")
    scored = compare([good, fair], labelled("m0", "m1"), labelled("m2", "m3"))
    content = as_dict(scored)
    assert list(content["programs"]) == ["good", "fair"]
    assert content["programs"]["good"]["particle"]["f1"] == 1.0
    row = content["programs"]["fair"]
    assert 0 < row["particle"]["f1"] <= row["best_on_these_micrographs"]["f1"] < 1
    assert row["all_picks"]["recall"] >= row["particle"]["recall"]
    recalls = [point["recall"] for point in row["curve"]]
    assert recalls == sorted(recalls, reverse=True)
    assert [each["name"] for each in row["per_micrograph"]] == ["m0", "m1"]
    gain = content["gains"]["fair"]["particle_f1"]
    assert gain["value"] == pytest.approx(row["particle"]["f1"] - 1.0)
    assert gains(scored[:1]) == {}


def test_options_of_a_format_can_be_given_with_its_path(tmp_path: Path) -> None:
    picks = {name: truth(name) for name in NAMES}
    write_coordinates(tmp_path / "a.tsv", picks, INFOS, format="topaz", downsample=4)
    source = {"path": str(tmp_path / "a.tsv"), "downsample": 4}
    (one,) = read_programs(source, INFOS)
    (other,) = read_programs({"topaz": source}, INFOS)
    assert (one.name, other.name) == ("picks", "topaz")
    np.testing.assert_allclose(one.picks["m0"].x, picks["m0"].x, atol=2.1)
    with pytest.raises(CryofixError, match=r"picks\.topaz has no path"):
        read_programs({"topaz": {"downsample": 4}}, INFOS)
    with pytest.raises(CryofixError, match=r"picks\.topaz=\['a', 'b'\] is no file or folder"):
        read_programs({"topaz": ["a", "b"]}, INFOS)
    with pytest.raises(CryofixError, match=r"picks\.topaz\.micrographs is no option"):
        read_programs({"topaz": {"path": "a.tsv", "micrographs": "b"}}, INFOS)
    with pytest.raises(CryofixError, match="2024 does not exist"):
        read_programs({"topaz": 2024}, INFOS)


def test_picks_without_a_score_are_the_least_certain(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(
        "image_name\tx_coord\ty_coord\tscore\nm0\t9\t9\t7\nm0\t99\t9\t\nm0\t199\t9\t-3\n"
    )
    (read,) = read_programs({"topaz": str(path)}, INFOS)
    assert read.picks["m0"].score is not None
    assert read.picks["m0"].score.tolist() == [1.0, 0.5, 0.5]
    for name, merit in (("m0", "0.25 \n9 9 0.75"), ("m1", "-999")):
        (tmp_path / f"{name}_autopick.star").write_text(
            "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnAutopickFigureOfMerit\n"
            f"99 99 {merit}\n"
        )
    (read,) = read_programs({"relion": {"path": str(tmp_path), "format": "relion"}}, INFOS)
    assert {
        name: each.score.tolist() for name, each in read.picks.items() if each.score is not None
    } == {"m0": [0.25, 0.75], "m1": [0.25]}


def test_a_message_about_picks_shows_how_options_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("image_name\tx_coord\ty_coord\nm0\t9999\t9\n")
    with pytest.raises(CryofixError) as caught:
        read_programs({"topaz": str(path)}, INFOS)
    assert "picks.topaz.outside=drop leaves them out" in str(caught.value)
    assert f"picks='{{topaz: {{path: {path}, OPTION: VALUE}}}}'" in str(caught.value)
    (read,) = read_programs({"topaz": {"path": str(path), "outside": "drop"}}, INFOS)
    assert len(read.picks["m0"]) == 0
