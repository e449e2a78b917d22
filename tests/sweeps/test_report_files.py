"""The four forms of the report: what they hold, and that hostile names stay inert in each."""

import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cryofix.errors import CryofixError
from cryofix.experiment.run_folder import SELECTED_BY
from cryofix.sweeps.collect import collect
from cryofix.sweeps.gains_figure import gains_figure
from cryofix.sweeps.heat_maps import Quantity, heat_map, ink_on, quantities
from cryofix.sweeps.report_forms import html, markdown, render, write_report
from cryofix.sweeps.report_tables import rows_csv, runs_csv
from cryofix.sweeps.summarise import SweepSummary, summarise_sweep
from cryofix.sweeps.sweep_figures import figures_of_scene, ratio_curves
from support import growth

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\"'&|`=cmd()[red]\x1b[31m"
VOID = {"meta", "link"}


class Outline(HTMLParser):
    """Collects tags with attributes and text, and checks that elements nest."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def summary(sweep: Any) -> SweepSummary:
    sweep.grid(
        [("symmetric", {"threshold": t}) for t in (0.5, 0.7, 0.9)] + [("none", {})],
        (0.05, 0.1),
        (0, 1, 2),
    )
    error = "Traceback\nValueError: no labelled micrograph"
    sweep.run("24", ["ratio=0.001"], None, {"state": "failed", "error": error})
    sweep.run("25", ["ratio=0.2"], "{", {"state": "finished"})
    return summarise_sweep(collect(sweep.path))


@pytest.fixture
def hostile(sweep: Any, make_results: Any) -> SweepSummary:
    for number, ratio in enumerate((0.05, 0.1)):
        result = make_results("none", ratio, 0)
        result |= {"mask": HOSTILE, "data": HOSTILE, "mask_config": {HOSTILE: HOSTILE, "b": number}}
        sweep.run(str(number), [f"x={HOSTILE}", f"{number}"], result, {"state": "finished"})
    sweep.run(HOSTILE.replace("/", ""), [HOSTILE], None, {"state": "failed", "error": HOSTILE})
    return summarise_sweep(collect(sweep.path))


def test_page_is_well_formed_and_has_every_section(summary: SweepSummary) -> None:
    outline = Outline(html(summary))
    heads = re.findall(r"<h2[^>]*>([^<]*)", html(summary))
    assert heads == [
        "Best setting",
        "Settings and label ratios",
        "More labels",
        "What a threshold keeps at the fork",
        "What each mask kept in the end",
        "All settings",
        "Which branch to use: Particle average precision",
        "Jobs without a result",
        "How to read this",
    ]
    titles = " ".join(outline.words)
    for panel in (
        "Particle average precision",
        "Particle F1",
        "Pixel F1 at 0.5",
        "Minimum drift",
        "Collapse alarms",
        "Gain over",
    ):
        assert panel in titles
    assert "ValueError: no labelled micrograph" in titles


def test_page_needs_no_network_and_runs_one_script(summary: SweepSummary) -> None:
    outline = Outline(html(summary))
    for tag, attributes in outline.tags:
        for name in ("src", "href", "action", "data"):
            target = attributes.get(name) or ""
            assert target.startswith(("#", "data:")) or not target, (tag, target)
    assert sum(tag == "script" for tag, _ in outline.tags) == 1
    assert "url(" not in html(summary).replace("url(#", ""), "no address but in the page itself"
    policy = next(a["content"] for t, a in outline.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_hostile_names_stay_text_in_the_page(hostile: SweepSummary) -> None:
    outline = Outline(html(hostile))
    assert sum(tag == "script" for tag, _ in outline.tags) == 1
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert "<script>alert(1)</script>" in " ".join(outline.words)
    assert "\x1b" not in html(hostile)


def prose(written: str) -> str:
    """Return what a Markdown reader obeys: without code spans and escaped characters."""
    kept, rest = [], written
    while rest:
        ticks = re.match("`+", rest)
        closing = ticks and re.search(rf"(?<!`){ticks[0]}(?!`)", rest[len(ticks[0]) :])
        if ticks and closing:
            rest = rest[len(ticks[0]) + closing.end() :]
        elif rest[0] == "\\":
            rest = rest[2:]
        else:
            kept.append(rest[0])
            rest = rest[1:]
    return "".join(kept)


def test_hostile_names_stay_text_in_markdown_csv_and_terminal(hostile: SweepSummary) -> None:
    written = markdown(hostile)
    assert not re.search(r"<|\[red|\]\(", prose(written))
    for block in written.split("\n\n"):
        if block.startswith("|"):
            bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(bars) == 1, f"a name has broken out of its cell: {block}"
    for cells_of_line in csv.DictReader(io.StringIO(rows_csv(hostile.rows))):
        assert not any(cell.startswith(("=", "+", "@")) for cell in cells_of_line.values())
    console = Console(width=150, record=True, file=io.StringIO(), color_system=None)
    console.print(render(hostile, 150))
    written = console.export_text()
    assert "\x1b" not in written
    assert "[red]" in written, "markup of names is not obeyed"


def test_formulas_are_disarmed_for_spreadsheets(sweep: Any, make_results: Any) -> None:
    result = make_results("none", 0.1, 0) | {"mask": "=HYPERLINK(1)"}
    sweep.run("0", [], result, {"state": "finished"})
    (line,) = csv.DictReader(io.StringIO(rows_csv(summarise_sweep(collect(sweep.path)).rows)))
    assert line["mask"] == "'=HYPERLINK(1)"


def test_csv_holds_the_numbers_of_the_rows(summary: SweepSummary) -> None:
    lines = list(csv.DictReader(io.StringIO(rows_csv(summary.rows))))
    assert len(lines) == len(summary.rows) == 8
    for line, (_, row) in zip(lines, summary.rows.iterrows(), strict=True):
        gain = row.gain
        assert line["mask"] == row.setting.mask
        assert float(line["ratio"]) == row.ratio
        assert float(line[f"gain_{SELECTED_BY}"]) == gain.mean
        assert gain.interval is not None
        assert float(line[f"gain_{SELECTED_BY}_low95"]) == gain.interval[0]
        assert line["seeds"] == "0 1 2"


def test_csv_of_runs_has_a_line_for_each_with_its_own_scores(summary: SweepSummary) -> None:
    lines = list(csv.DictReader(io.StringIO(runs_csv(summary.runs))))
    assert len(lines) == 24
    for _, row in summary.rows.iterrows():
        found = [
            float(line[f"fixmatch_{SELECTED_BY}"]) - float(line[f"supervised_{SELECTED_BY}"])
            for line in lines
            if (line["mask"], line["settings"], float(line["ratio"]))
            == (row.setting.mask, row.settings, row.ratio)
        ]
        assert len(found) == row.runs
        assert sum(found) / row.runs == pytest.approx(row.gain.mean)


def test_scores_of_particles_that_no_run_has_are_left_out_of_the_csv_files(
    sweep: Any, make_results: Any
) -> None:
    for seed in (0, 1):
        result = make_results("none", 0.1, seed)
        for branch in ("supervised", "fixmatch"):
            result[branch].pop("particle")
            result["validation"][branch] = {"pixel_average_precision": 0.8}
        sweep.finished(str(seed), result)
    found = summarise_sweep(collect(sweep.path))
    for written in (rows_csv(found.rows), runs_csv(found.runs)):
        (names, *_) = csv.reader(io.StringIO(written))
        assert [name for name in names if "_particle_" in name and "validation" not in name] == []
        assert [name for name in names if "fixmatch_pixel_average_precision" in name]


def test_runs_with_partial_labels_are_ranked_by_what_selects_them(
    sweep: Any, make_results: Any
) -> None:
    best = {"none": 0.61, "quota": 0.64, "class_aware": 0.55}
    for mask, score in best.items():
        result = make_results(mask, 0.1, 0)
        scores = {"particle_recall": 0.9, "particle_positive_unlabelled_f1": score}
        for branch in ("supervised", "fixmatch"):
            result[branch] = {"pixel": {"f1": None}, "particle": {"f1": None}}
            result["validation"][branch] = dict(scores)
        sweep.finished(mask, result)
    found = summarise_sweep(collect(sweep.path))
    assert found.metric_title == "Particle positive-unlabelled F1"
    (choice,) = found.best
    assert (choice.row.setting.mask, choice.score, choice.source) == ("quota", 0.64, "validation")
    assert "mask=quota" in choice.line
    for written in (markdown(found), html(found)):
        assert "Particle positive-unlabelled F1" in written
    lines = list(csv.DictReader(io.StringIO(runs_csv(found.runs))))
    written_scores = {
        line["mask"]: float(line["validation_particle_positive_unlabelled_f1"]) for line in lines
    }
    assert written_scores == best


def test_markdown_has_rows_maps_and_jobs(summary: SweepSummary) -> None:
    written = markdown(summary)
    assert written.count("| simulated | symmetric |") == 6
    assert "### Minimum drift \\(log-odds\\): simulated" in written
    assert "ValueError: no labelled micrograph" in written
    assert "not valid JSON" in written


@pytest.mark.parametrize("width", [80, 150])
def test_terminal_fits_its_width_and_ends_with_the_line_to_paste(
    summary: SweepSummary, width: int
) -> None:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render(summary, width))
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert max(len(line) for line in written.splitlines()) <= width
    assert "Best at 10 % labelled (simulated): mask=" in written.split("Jobs without")[1]
    assert re.search(r"symmetric (threshold )?0.9 +5 % +3 ", written)
    assert "24 finished, 1 failed, 1 unreadable" in written


def titles(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter(f"{SVG}title")]


def test_figures_are_valid_xml_with_a_cell_for_each_row(summary: SweepSummary) -> None:
    rows, runs = summary.rows, summary.runs
    for quantity in quantities(SELECTED_BY):
        cells = titles(heat_map(rows, quantity, quantity.scale(rows)))
        assert len([cell for cell in cells if cell.startswith(quantity.title)]) == 8
    curves = ET.fromstring(ratio_curves(rows, runs, SELECTED_BY))
    marks = {each.get("data-curve") for each in curves.iter()} - {None}
    assert marks == {"-1", "0", "1", "2", "3"}, "four settings and the control"
    found = figures_of_scene(rows, runs, rows, SELECTED_BY)
    assert [title for title, _ in found["starts"]] == ["5 % labelled", "10 % labelled"]
    assert titles(found["starts"][0][1]) == ["background pixels kept", "particle pixels kept"]
    kept = dict(found["masks"])["10 % labelled"]
    assert len([each for each in titles(kept) if each.startswith("symmetric 0.9, 10 %")]) == 3
    assert len(titles(kept)) == 3 * 4, "two dots and what joins them for each setting"


def test_heat_maps_of_one_quantity_share_their_colours(sweep: Any, make_results: Any) -> None:
    for number, (data, score) in enumerate([("a", 0.9), ("a", 0.2), ("b", 0.2)]):
        result = make_results("symmetric", 0.05 + 0.05 * number, 0) | {"data": data}
        result["fixmatch"]["particle"]["average_precision"] = score
        sweep.run(str(number), [f"data={data}"], result, {"state": "finished"})
    rows = summarise_sweep(collect(sweep.path)).rows
    quantity: Quantity = quantities(SELECTED_BY)[0]
    fills = {}
    for scene, group in rows.groupby("scene"):
        cells = ET.fromstring(heat_map(group, quantity, quantity.scale(rows)))
        fills[scene] = {
            (each.find(f"{SVG}title").text, each.find(f"{SVG}path").get("style"))  # type: ignore[union-attr] # both are there
            for each in cells.iter(f"{SVG}g")
            if each.find(f"{SVG}title") is not None and "0.2000" in str(each[0].text)
        }
    assert len(fills["a"]) == 1
    assert fills["a"] == fills["b"]


def test_gains_are_drawn_with_every_run(summary: SweepSummary) -> None:
    figure = gains_figure(summary.rows, "F1")
    assert figure is not None
    (axis,) = figure.axes
    rows = summary.rows
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert sum(np.size(line.get_xdata()) for line in dots) == rows.runs.sum()
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert len(names) == len(rows) + 1, "and the name of the one data set"
    low, high = axis.get_xlim()
    drawn = [gain.mean for gain in rows.gain] + [x for gain in rows.gain for x in gain.interval]
    assert low < min(drawn), "no interval is clipped"
    assert max(drawn) < high


def test_hostile_names_are_drawn_and_a_sweep_without_gains_has_no_picture(
    hostile: SweepSummary, sweep: Any, make_results: Any
) -> None:
    figure = gains_figure(hostile.rows, "F1")
    assert figure is not None
    figure.savefig(io.BytesIO())
    (axis,) = figure.axes
    written = axis.xaxis.label.get_window_extent()
    assert 0 <= written.x0 < written.x1 <= figure.bbox.x1, "long names leave room for it"
    folder = sweep.path.parent / "controls"
    (folder / "0").mkdir(parents=True)
    result = make_results("none", 0.05, 0) | {"fixmatch": None}
    (folder / "0" / "results.json").write_text(json.dumps(result))
    (folder / "0" / "status.json").write_text(json.dumps({"state": "finished"}))
    assert gains_figure(summarise_sweep(collect(folder)).rows, "F1") is None


def test_missing_cells_are_left_open(sweep: Any, make_results: Any) -> None:
    sweep.finished("0", make_results("symmetric", 0.05, 0, threshold=0.6))
    sweep.finished("1", make_results("symmetric", 0.1, 0, threshold=0.7))
    rows = summarise_sweep(collect(sweep.path)).rows
    quantity = quantities(SELECTED_BY)[0]
    assert titles(heat_map(rows, quantity, quantity.scale(rows))).count("no finished run") == 2


@pytest.mark.parametrize("broken", ["keep_rates", "collapse", "gain", "supervised", "mask_config"])
def test_a_report_is_made_without_any_one_optional_key(
    sweep: Any, make_results: Any, broken: str
) -> None:
    values: tuple[Any, ...] = (None, "text", [], {}, [[1]])
    for number, value in enumerate(values):
        result = make_results("symmetric", 0.05 + 0.05 * number, 0) | {broken: value}
        sweep.run(str(number), [f"seed={number}"], result, {"state": "finished"})
    summary = summarise_sweep(collect(sweep.path))
    assert summary.rows.runs.sum() == 5
    for content in (html(summary), markdown(summary), rows_csv(summary.rows)):
        assert "simulated" in content


def test_a_sweep_without_any_result_still_reports(sweep: Any, tmp_path: Path) -> None:
    sweep.run("0", ["seed=0"], None, {"state": "running"})
    summary = summarise_sweep(collect(sweep.path))
    assert len(write_report(summary, tmp_path)) == 4
    assert "running" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.csv").read_text() == ""


def test_a_folder_that_cannot_be_written_is_an_error(summary: SweepSummary, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CryofixError, match="output=FOLDER"):
        write_report(summary, tmp_path / "file")


def test_the_time_of_a_report_grows_with_its_runs_alone(sweep: Any, tmp_path: Path) -> None:
    masks = [("symmetric", {"threshold": 0.5 + number / 50}) for number in range(20)]
    assert sweep.grid(masks, (0.05, 0.1), range(5)) == 200
    runs = sorted(path for path in sweep.path.iterdir() if path.is_dir())
    for run in runs[::10]:
        shutil.copytree(run, tmp_path / "20" / run.name)

    def report(count: int) -> None:
        summary = summarise_sweep(collect(sweep.path if count == 200 else tmp_path / "20"))
        write_report(summary, tmp_path / "report")
        assert summary.rows.runs.sum() == count

    assert growth(report, 20, 200) < 40  # 10 times the runs; 100 if it were quadratic


def test_text_stays_readable_on_its_colour() -> None:
    assert ink_on("#ffffff") == "#111111"
    assert ink_on("#000000") == "#ffffff"


def test_of_five_rows_one_that_chance_may_have_lifted_is_not_called_better(
    sweep: Any, make_results: Any
) -> None:
    for mask in ("none", "symmetric", "class_aware", "soft_weight", "quota"):
        lift = 0.05 if mask == "none" else 0.0
        for draw in range(3):  # of none: p = .013, enough alone
            for seed in range(3):
                result = make_results(mask, 0.05, seed, draw)
                result["supervised"]["particle"]["average_precision"] = 0.5
                result["fixmatch"]["particle"]["average_precision"] = 0.5 + lift + 0.01 * (draw - 1)
                sweep.finished(f"{mask}{draw}{seed}", result)
    summary = summarise_sweep(collect(sweep.path))
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render(summary, 160))
    (row,) = (line for line in console.export_text().splitlines() if "+0.05" in line)
    assert "higher, one of many" in row
    assert "better" not in row


def test_a_gain_of_0_004_is_shown_in_every_report(sweep: Any, make_results: Any) -> None:
    result = make_results("none", 0.05, 0)
    score = result["supervised"]["particle"]["average_precision"] + 0.004
    result["fixmatch"]["particle"]["average_precision"] = score
    result["collapse"]["min_drift"] = -0.004
    sweep.finished("0", result)
    summary = summarise_sweep(collect(sweep.path))
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render(summary, 160))
    for written in (console.export_text(), html(summary), markdown(summary).replace("\\", "")):
        assert "+0.004" in written
        assert "\N{MINUS SIGN}0.004" in written
