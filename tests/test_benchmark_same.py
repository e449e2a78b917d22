"""The check of two source trees: what it notices, and what it lets pass."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.same import cases, differences, facts_of, only_failures, with_needs, without

CONF = Path(__file__).parents[1] / "conf"
FOUND = {"seconds": 3.5, "particle": {"f1": 0.1, "ci95": [0.05, 0.2]}, "picks": "/tmp/a/run"}


def written(folder: Path, content: Any, made: str = "2026-11-29 06:14 UTC") -> dict[str, Any]:
    """Return the facts of a folder with a result, a table, a page and a checkpoint."""
    folder.mkdir(parents=True)
    text = json.dumps(content).replace("/tmp/a", str(folder))
    (folder / "results.json").write_text(text)
    f1 = content["particle"]["f1"]
    (folder / "table.csv").write_text(f"name,f1,seconds\nfirst,{f1},{content['seconds']}\n")
    page = f"<p>Made {made}.</p><b>{f1}</b><script>let a = {len(str(folder))}</script>"
    (folder / "page.html").write_text(page)
    torch.save({"state_dict": {"weight": torch.tensor([f1, 1.0])}}, folder / "last.ckpt")
    return facts_of(folder, folder)


def test_times_and_paths_may_differ(tmp_path: Path) -> None:
    one = written(tmp_path / "one", FOUND)
    other = written(tmp_path / "the other", FOUND | {"seconds": 4.5}, made="2027-01-01 00:00 UTC")
    assert list(differences(one, other)) == []


def test_the_last_bit_of_a_number_is_noticed_in_every_file(tmp_path: Path) -> None:
    one = written(tmp_path / "one", FOUND)
    more = 0.1 + 2**-26  # the least that a float32 shows
    other = written(tmp_path / "other", FOUND | {"particle": {"f1": more, "ci95": [0.05, 0.2]}})
    found = list(differences(one, other))
    assert f"results.json: particle.f1: 0.1 -> {more!r}" in found
    assert f'table.csv: row 1, f1: "0.1" -> "{more!r}"' in found
    assert "page.html: how often 0.1: 1 -> (is not there)" in found
    assert any(line.startswith("last.ckpt: state_dict.weight: ") for line in found)
    assert len(found) == 5


def test_a_file_or_key_that_is_missing_is_noticed(tmp_path: Path) -> None:
    one = written(tmp_path / "one", FOUND)
    (tmp_path / "one" / "table.csv").unlink()
    left = facts_of(tmp_path / "one", tmp_path / "one")
    assert list(differences(one, left)) == ["table.csv: exists: true -> (is not there)"]
    assert list(differences(*(without(["^table"], facts) for facts in (one, left)))) == []


def test_a_case_brings_those_that_it_reads() -> None:
    known = cases(CONF)
    names = [case.name for case in with_needs(["evaluate"], known)]
    assert names == ["model", "simulate", "pick", "evaluate"]
    with pytest.raises(SystemExit, match=re.escape("there is no case pik: choose from model")):
        with_needs(["pik"], known)


def test_a_command_that_fails_is_named_alone() -> None:
    base = {"command 1: exit code": 0, "command 2: exit code": 0, "a.json: f1": 0.5}
    new = {"command 1: exit code": 1}
    assert list(differences(*only_failures(base, new))) == [
        "command 1: exit code: 0 -> 1",
        "command 2: exit code: 0 -> (is not there)",
    ]
