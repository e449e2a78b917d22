"""The vocabulary of reports: numbers, tables, figures and pages."""

import io
import math
import xml.etree.ElementTree as ET
from typing import Any

import jinja2
import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from cryofix.reporting.figures import PARTICLE, inline_svg, sized, style, tip
from cryofix.reporting.frame_tables import (
    Column,
    html_table,
    markdown_code,
    markdown_table,
    terminal_table,
)
from cryofix.reporting.numbers import count, gain_with_interval, percent, plain, signed
from cryofix.reporting.pages import page, template_environment
from cryofix.reporting.run_lines import keep_rate_line, warn_of_missing_labels

HOSTILE = "<script>alert(1)</script>\"'|`[red]$x$"


def test_signs_are_written_out() -> None:
    minus = "\N{MINUS SIGN}"
    assert (signed(0.058), signed(-0.058)) == ("+0.058", f"{minus}0.058")
    assert (signed(0.004), signed(-0.004)) == ("+0.004", f"{minus}0.004")
    assert (signed(0.0), signed(-0.0)) == ("+0.000", "+0.000")
    assert signed(-0.0004) == f"{minus}0.000"
    assert (signed(math.inf), signed(-math.inf)) == ("infinity", "minus infinity")


def test_numbers_have_one_form_each() -> None:
    assert (percent(0.05), percent(0.025), percent(0.2419, 1)) == ("5 %", "2.5 %", "24.2 %")
    assert (plain(0.56), count(12345)) == ("0.560", "12,345")
    assert gain_with_interval(0.02, (-0.001, 0.04)) == "+0.020 [\N{MINUS SIGN}0.001, +0.040]"
    assert gain_with_interval(0.02, None, "n = 1") == "+0.020 (n = 1)"
    assert [write(None) for write in (plain, signed, percent)] == ["", "", ""]
    assert [write(math.nan) for write in (plain, signed, percent)] == ["", "", ""]


@pytest.fixture
def table() -> tuple[pd.DataFrame, list[Column]]:
    frame = pd.DataFrame({"name": [HOSTILE, "b"], "f1": [0.5, None]})
    return frame, [Column("Name", "name", text=True), Column("F1", "f1", plain)]


def test_a_table_keeps_hostile_names_text_in_every_form(table: Any) -> None:
    cells = list(ET.fromstring(html_table(*table)).iter("td"))
    assert [cell.text for cell in cells] == [HOSTILE, "0.500", "b", None]
    assert [cell.get("data-key") for cell in cells] == [HOSTILE, "0.5", "b", ""]
    lines = markdown_table(*table).splitlines()
    assert len(lines) == 4
    assert "\\<script\\>" in lines[2]
    assert lines[3] == "| b |  |"
    console = Console(width=150, file=io.StringIO(), color_system=None, record=True)
    console.print(terminal_table(table[0], table[1], "t"))
    assert "[red]" in console.export_text()


def test_code_ends_where_it_should() -> None:
    assert markdown_code("a ` b | c") == "`` a ` b \\| c ``"


def drawn(words: str) -> Figure:
    with style():
        figure = sized(200, 100)
        axis = figure.subplots()
        (line,) = axis.plot([0, 1], [0, 1], "o-", color=PARTICLE)
        axis.set_xlabel(words)
        tip(line, words, curve=3)
    return figure


def test_a_figure_is_the_same_text_each_time_and_names_what_it_shows() -> None:
    svg = inline_svg(drawn(HOSTILE), f"About {HOSTILE}")
    assert svg == inline_svg(drawn(HOSTILE), f"About {HOSTILE}")
    root = ET.fromstring(svg)
    assert root.get("aria-label") == f"About {HOSTILE}"
    (curve,) = (each for each in root.iter() if each.get("data-curve") == "3")
    assert [title.text for title in curve if title.tag.endswith("title")] == [HOSTILE]
    assert "var(--particle)" in svg
    assert PARTICLE not in svg
    assert "font-family" not in svg, "the page chooses"
    assert HOSTILE in [each.text for each in root.iter() if each.tag.endswith("text")]


def test_a_page_escapes_and_misses_nothing() -> None:
    template = template_environment().from_string(
        "{% extends 'page.html' %}{% block title %}{{ name }}{% endblock %}"
        "{% block main %}<p>{{ name }}</p>{% endblock %}"
    )
    written = "".join(page(template, name=HOSTILE))
    assert written.count("<script>") == 1
    assert "default-src 'none'" in written
    with pytest.raises(jinja2.UndefinedError):
        "".join(page(template))


def test_far_more_picks_than_labels_are_warned_of_with_the_remedy() -> None:
    (said,) = warn_of_missing_labels({"on_labelled": {"labels": 30, "picks": 91}})
    assert "picks 91 particles in labelled micrographs with 30 labels" in said
    assert "data.labels=partial and data.particles_per_micrograph" in said
    for counted in ({"labels": 30, "picks": 90}, {"labels": 0, "picks": 0}, None):
        assert warn_of_missing_labels({"on_labelled": counted}) == []


@pytest.mark.parametrize(
    ("particle", "background", "said"),
    [
        (0.0, 0.8, "minus infinity"),
        (0.3, 0.0, "plus infinity"),
        (0.0, 0.0, "undefined"),
        (0.3, None, "undefined"),
    ],
)
def test_an_endless_drift_has_the_sign_of_what_is_kept(
    particle: float, background: float | None, said: str
) -> None:
    kept = {"particle_keep": particle, "background_keep": background, "particle_share": 0.5}
    results = {"collapse": {"first_step": None}, "prior": 0.04}
    line = keep_rate_line(results | {"mask_keep_rates": {**kept, "drift": None}})
    assert f"drift {said};" in line
