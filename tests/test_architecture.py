"""The page about the code names files, classes and functions that exist, and draws every room."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SOURCE = ROOT / "src" / "cryofix"
NAMED = sorted(set(re.findall(r"`([\w/]+\.(?:py|yaml))`", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_the_page_names_exists(name: str) -> None:
    places = [ROOT / name, SOURCE / name, *SOURCE.glob(f"*/{name}")]
    assert any(place.is_file() for place in places)


def test_a_function_that_the_page_places_is_defined_there() -> None:
    placed = re.findall(r"`(\w+)` in\s+`([\w/]+\.py)`", PAGE)
    assert len(placed) > 10
    for name, file in placed:
        text = (SOURCE / file).read_text()
        assert re.search(rf"^(class|def) {name}\b", text, re.M), (name, file)


def test_the_picture_has_every_room_and_no_arrow_up() -> None:
    drawing = runpy.run_path(str(ROOT / "docs" / "rooms.py"))
    lines, imports = drawing["survey"]()
    depth = {room: level for level, rooms in enumerate(drawing["LEVELS"]) for room in rooms}
    assert set(lines) - {"__init__"} == set(depth)
    up = {pair for pair in imports if depth[pair[0]] >= depth[pair[1]]}
    assert up <= {("reporting", "metrics"), ("metrics", "reporting")}
