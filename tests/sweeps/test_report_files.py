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
from cryofix.sweeps import Summary, collect, render, summarise, write_report
from cryofix.sweeps.curve_figures import ratio_curves
from cryofix.sweeps.gains_figure import gains_figure
from cryofix.sweeps.heatmap import heat_map, quantities
from cryofix.sweeps.html import page
from cryofix.sweeps.keep_figures import mask_panels, start_panels
from cryofix.sweeps.markdown import markdown
from cryofix.sweeps.svg import DIVERGING, colour, ink_on, signed
from cryofix.sweeps.table import csv_table, runs_table
from support import growth

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
def summary(sweep: Any) -> Summary:
    sweep.grid(
        [("symmetric", {"threshold": t}) for t in (0.5, 0.7, 0.9)] + [("none", {})],
        (0.05, 0.1),
        (0, 1, 2),
    )
    error = "Traceback\nValueError: no labelled micrograph"
    sweep.run("24", ["ratio=0.001"], None, {"state": "failed", "error": error})
    sweep.run("25", ["ratio=0.2"], "{", {"state": "finished"})
    return summarise(collect(sweep.path))


@pytest.fixture
def hostile(sweep: Any, make_results: Any) -> Summary:
    for number, ratio in enumerate((0.05, 0.1)):
        result = make_results("none", ratio, 0)
        result |= {"mask": HOSTILE, "data": HOSTILE, "mask_config": {HOSTILE: HOSTILE, "b": number}}
        sweep.run(str(number), [f"x={HOSTILE}", f"{number}"], result, {"state": "finished"})
    sweep.run(HOSTILE.replace("/", ""), [HOSTILE], None, {"state": "failed", "error": HOSTILE})
    return summarise(collect(sweep.path))


def test_page_is_well_formed_and_has_every_section(summary: Summary) -> None:
    outline = Outline(page(summary))
    heads = re.findall(r"<h2[^>]*>([^<]*)", page(summary))
    assert heads == [
        "Best setting",
        "Settings and label ratios",
        "More labels",
        "What a threshold keeps at the fork",
        "What each mask kept in the end",
        "All settings",
        "Jobs without a result",
        "How to read this",
    ]
    titles = " ".join(outline.words)
    for panel in (
        "Particle F1",
        "Pixel F1 at 0.5",
        "Minimum drift",
        "Collapse alarms",
        "Gain over",
    ):
        assert panel in titles
    assert "ValueError: no labelled micrograph" in titles


def test_page_needs_no_network_and_runs_one_script(summary: Summary) -> None:
    outline = Outline(page(summary))
    for tag, attributes in outline.tags:
        for name in ("src", "href", "action", "data"):
            target = attributes.get(name) or ""
            assert target.startswith(("#", "data:")) or not target, (tag, target)
    assert sum(tag == "script" for tag, _ in outline.tags) == 1
    assert "url(" not in page(summary)
    policy = next(a["content"] for t, a in outline.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_hostile_names_stay_text_in_the_page(hostile: Summary) -> None:
    outline = Outline(page(hostile))
    assert sum(tag == "script" for tag, _ in outline.tags) == 1
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert "<script>alert(1)</script>" in " ".join(outline.words)
    assert "\x1b" not in page(hostile)


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


def test_hostile_names_stay_text_in_markdown_csv_and_terminal(hostile: Summary) -> None:
    written = markdown(hostile)
    assert not re.search(r"<|\[red|\]\(", prose(written))
    for block in written.split("\n\n"):
        if block.startswith("|"):
            bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(bars) == 1, f"a name has broken out of its cell: {block}"
    for cells_of_line in csv.DictReader(io.StringIO(csv_table(hostile))):
        assert not any(cell.startswith(("=", "+", "@")) for cell in cells_of_line.values())
    console = Console(width=150, record=True, file=io.StringIO(), color_system=None)
    console.print(render(hostile, 150))
    written = console.export_text()
    assert "\x1b" not in written
    assert "[red]" in written, "markup of names is not obeyed"


def test_formulas_are_disarmed_for_spreadsheets(sweep: Any, make_results: Any) -> None:
    result = make_results("none", 0.1, 0) | {"mask": "=HYPERLINK(1)"}
    sweep.run("0", [], result, {"state": "finished"})
    (line,) = csv.DictReader(io.StringIO(csv_table(summarise(collect(sweep.path)))))
    assert line["mask"] == "'=HYPERLINK(1)"


def test_csv_holds_the_numbers_of_the_rows(summary: Summary) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_table(summary))))
    assert len(lines) == len(summary.rows) == 8
    for line, row in zip(lines, summary.rows, strict=True):
        gain = row.gains["particle_f1"]
        assert line["mask"] == row.setting.mask
        assert float(line["ratio"]) == row.ratio
        assert float(line["gain_particle_f1"]) == gain.mean
        assert gain.interval is not None
        assert float(line["gain_particle_f1_low95"]) == gain.interval[0]
        assert line["seeds"] == "0 1 2"


def test_csv_of_runs_has_a_line_for_each_with_its_own_scores(summary: Summary) -> None:
    lines = list(csv.DictReader(io.StringIO(runs_table(summary))))
    assert len(lines) == 24
    for row in summary.rows:
        found = [
            float(line["fixmatch_particle_f1"]) - float(line["supervised_particle_f1"])
            for line in lines
            if (line["mask"], line["settings"], float(line["ratio"]))
            == (row.setting.mask, summary.namer.settings(row.setting), row.ratio)
        ]
        assert len(found) == row.n
        assert sum(found) / row.n == pytest.approx(row.gains["particle_f1"].mean)


def test_markdown_has_rows_maps_and_jobs(summary: Summary) -> None:
    written = markdown(summary)
    assert written.count("| simulated | symmetric |") == 6
    assert "### Minimum drift \\(log-odds\\): simulated" in written
    assert "ValueError: no labelled micrograph" in written
    assert "not valid JSON" in written


@pytest.mark.parametrize("width", [80, 150])
def test_terminal_fits_its_width_and_ends_with_the_line_to_paste(
    summary: Summary, width: int
) -> None:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render(summary, width))
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert max(len(line) for line in written.splitlines()) <= width
    assert "Best at 10 % labelled (simulated): mask=" in written.split("Jobs without")[1]
    assert re.search(r"symmetric (threshold )?0.9 +5 % +3 ", written)
    assert "24 finished, 1 failed, 1 unreadable" in written


def test_figures_are_valid_xml_with_a_cell_for_each_row(summary: Summary) -> None:
    for quantity in quantities("particle_f1"):
        drawn = ET.fromstring(heat_map(summary.rows, summary.namer, quantity))
        assert len(drawn.findall("g/rect")) == 8
    curves = ET.fromstring(ratio_curves(summary.rows, summary.namer, "particle_f1"))
    assert len(curves.findall("g[@data-curve]")) == 4 + 1, "four settings and the control"
    starts = start_panels(summary.rows)
    assert list(starts) == [0.05, 0.1]
    assert len(ET.fromstring(starts[0.05]).findall("g/path")) == 2, "particle and background"
    kept = ET.fromstring(mask_panels(summary.rows, summary.namer)[0.1])
    assert len(kept.findall("g/circle")) == 2 * 4
    assert "symmetric 0.9" in "".join(kept.itertext())


def test_gains_are_drawn_with_every_run(summary: Summary) -> None:
    figure = gains_figure(summary)
    assert figure is not None
    (axis,) = figure.axes
    rows = [row for row in summary.rows if "particle_f1" in row.gains]
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert sum(np.size(line.get_xdata()) for line in dots) == sum(row.n for row in rows)
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert len(names) == len(rows) + 1, "and the name of the one data set"
    low, high = axis.get_xlim()
    means = [row.gains["particle_f1"].mean for row in rows]
    assert low < min(means)
    assert max(means) < high


def test_hostile_names_are_drawn_and_a_sweep_without_gains_has_no_picture(
    hostile: Summary, sweep: Any, make_results: Any
) -> None:
    figure = gains_figure(hostile)
    assert figure is not None
    figure.savefig(io.BytesIO())
    folder = sweep.path.parent / "controls"
    (folder / "0").mkdir(parents=True)
    result = make_results("none", 0.05, 0) | {"fixmatch": None}
    (folder / "0" / "results.json").write_text(json.dumps(result))
    assert gains_figure(summarise(collect(folder))) is None


def test_missing_cells_are_left_open(sweep: Any, make_results: Any) -> None:
    sweep.finished("0", make_results("symmetric", 0.05, 0, threshold=0.6))
    sweep.finished("1", make_results("symmetric", 0.1, 0, threshold=0.7))
    summary = summarise(collect(sweep.path))
    drawn = heat_map(summary.rows, summary.namer, quantities("particle_f1")[0])
    assert drawn.count('class="open"') == 2


@pytest.mark.parametrize("broken", ["keep_rates", "collapse", "gain", "supervised", "mask_config"])
def test_a_report_is_made_without_any_one_optional_key(
    sweep: Any, make_results: Any, broken: str
) -> None:
    values: tuple[Any, ...] = (None, "text", [], {}, [[1]])
    for number, value in enumerate(values):
        result = make_results("symmetric", 0.05 + 0.05 * number, 0) | {broken: value}
        sweep.run(str(number), [f"seed={number}"], result, {"state": "finished"})
    summary = summarise(collect(sweep.path))
    assert sum(row.n for row in summary.rows) == 5
    for content in (page(summary), markdown(summary), csv_table(summary)):
        assert "simulated" in content


def test_a_sweep_without_any_result_still_reports(sweep: Any, tmp_path: Path) -> None:
    sweep.run("0", ["seed=0"], None, {"state": "running"})
    summary = summarise(collect(sweep.path))
    assert len(write_report(summary, tmp_path)) == 4
    assert "running" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.csv").read_text() == ""


def test_a_folder_that_cannot_be_written_is_an_error(summary: Summary, tmp_path: Path) -> None:
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
        summary = summarise(collect(sweep.path if count == 200 else tmp_path / "20"))
        write_report(summary, tmp_path / "report")
        assert sum(row.n for row in summary.rows) == count

    assert growth(report, 20, 200) < 40  # 10 times the runs; 100 if it were quadratic


def test_colours_interpolate_and_text_stays_readable() -> None:
    assert colour(DIVERGING, 0.0) == DIVERGING[0]
    assert colour(DIVERGING, 0.5) == DIVERGING[2]
    assert colour(DIVERGING, 7.0) == DIVERGING[-1]
    assert colour(("#000000", "#ffffff"), 0.5) == "#808080"
    assert ink_on("#ffffff") == "#111111"
    assert ink_on("#000000") == "#ffffff"


def test_signs_are_written_out() -> None:
    minus = "\N{MINUS SIGN}"
    assert (signed(0.058), signed(-0.058)) == ("+0.058", f"{minus}0.058")
    assert (signed(0.004), signed(-0.004)) == ("+0.004", f"{minus}0.004")
    assert (signed(0.0), signed(-0.0)) == ("+0.000", "+0.000")
    assert signed(-0.0004) == f"{minus}0.000"


def test_of_five_rows_one_that_chance_may_have_lifted_is_not_called_better(
    sweep: Any, make_results: Any
) -> None:
    for mask in ("none", "symmetric", "class_aware", "soft_weight", "quota"):
        lift = 0.05 if mask == "none" else 0.0
        for draw in range(3):  # of none: p = .013, enough alone
            for seed in range(3):
                result = make_results(mask, 0.05, seed, draw)
                result["supervised"]["particle"]["f1"] = 0.5
                result["fixmatch"]["particle"]["f1"] = 0.5 + lift + 0.01 * (draw - 1)
                sweep.finished(f"{mask}{draw}{seed}", result)
    summary = summarise(collect(sweep.path))
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render(summary, 160))
    (row,) = (line for line in console.export_text().splitlines() if "+0.05" in line)
    assert "higher, one of many" in row
    assert "better" not in row


def test_a_gain_of_0_004_is_shown_in_every_report(sweep: Any, make_results: Any) -> None:
    result = make_results("none", 0.05, 0)
    result["fixmatch"]["particle"]["f1"] = result["supervised"]["particle"]["f1"] + 0.004
    result["collapse"]["min_drift"] = -0.004
    sweep.finished("0", result)
    summary = summarise(collect(sweep.path))
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render(summary, 160))
    for written in (console.export_text(), page(summary), markdown(summary).replace("\\", "")):
        assert "+0.004" in written
        assert "\N{MINUS SIGN}0.004" in written
