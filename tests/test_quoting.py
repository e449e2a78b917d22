"""Paths, patterns and names mean what was typed, whatever Hydra's language makes of them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from cryofix.formats import write_mrc
from cryofix.quoting import quote_text

AWKWARD = (
    "2024_11_05",
    "1_2",
    "12",
    "1e3",
    "true",
    "nan",
    "raw/sim_000[0-3].mrc",
    "[2024] grid/*.mrc",
    "a=b",
    "a, b",
    "(1) x",
    "a#b~c!d&e;f{g}",
    "Größe/é/日本",
    "it's",
    'a "b" c',
    " padded ",
    "runs/${now:%Y}_x",
    "/data/**/*.mrc",
    "str(3)",
    "a\tb",
)


def read(word: str, command: str = "train", *others: str) -> Any:
    """Return the value that Hydra reads of a word after quoting."""
    (override,) = OverridesParser.create().parse_overrides(quote_text([word], command))
    value = override.value()
    return getattr(value, "text", value)


@pytest.mark.parametrize("typed", AWKWARD)
@pytest.mark.parametrize(
    "key", ["output", "data.root", "data.masks", "model.initial", "names.data", "+data.ignored"]
)
def test_text_is_what_was_typed(key: str, typed: str) -> None:
    assert read(f"{key}={typed}") == typed


@pytest.mark.parametrize("word", ["output=runs/a", "output=null", "output=", "output='1_2'", "-m"])
@pytest.mark.parametrize("key", ["", "mask.threshold=0_7", "seed=1_0", "data.limit=12"])
def test_what_hydra_reads_well_and_other_keys_stay(word: str, key: str) -> None:
    words = [word, *filter(None, [key])]
    assert quote_text(words, "train") == words


def test_quotes_of_the_user_stay_and_count_once() -> None:
    assert read("output='a=b'") == "a=b"
    assert read('output="1_2"') == "1_2"


def test_the_home_folder_is_meant_by_a_tilde_in_quotes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for word in ("output=~/picks", "output='~/picks'", "cache=~/picks", "data.root=~/picks"):
        assert read(word) == "/home/somebody/picks"


def test_lists_of_paths_stay_lists() -> None:
    assert read("micrographs=[2024_1,b[0-3].mrc, 'c,d']", "pick") == ["2024_1", "b[0-3].mrc", "c,d"]
    assert read("data.never_scored=[1_2,é]") == ["1_2", "é"]
    assert read("picks={topaz: a.tsv}", "evaluate") == {"topaz": "a.tsv"}


def test_commas_make_a_sweep_only_in_a_sweep() -> None:
    assert read("data.root=a,b") == "a,b"
    multirun, word, other = quote_text(
        ["-m", "data.root=2024_1,/b=c", "data.ignored=glob(*)"], "train"
    )
    assert multirun == "-m"
    assert word == "data.root='2024_1','/b=c'"
    assert other == "data.ignored=glob(*)"


def test_the_micrographs_of_a_simulation_are_a_number() -> None:
    assert read("micrographs=40", "simulate") == 40


def run(command: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"cryofix.{command}", *words],
        cwd=folder,
        env={**os.environ, "HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_command_reads_and_writes_where_it_was_told(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    raw, labels = tmp_path / "raw=1, (a)", tmp_path / "2024_11_05"
    raw.mkdir()
    labels.mkdir()
    for number in range(5):
        image = random.normal(0, 1, (64, 64)).astype(np.float32)
        write_mrc(raw / f"sim_000{number}.mrc", image, 2.0)
        (labels / f"sim_000{number}.csv").write_text(
            "X-Coordinate,Y-Coordinate,Diameter\n40,30,12\n"
        )
    done = run(
        "convert",
        "in=2024_11_05",
        "micrographs=raw=1, (a)/sim_000[0-3].mrc",
        "out=~/é#1",
        "format=eman",
        "check_y=false",
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    written = sorted(path.name for path in (tmp_path / "home" / "é#1").iterdir())
    assert written == [f"sim_000{number}.box" for number in range(4)]


def test_runs_of_other_names_have_other_folders(tmp_path: Path) -> None:
    for name in ("1_2", "12"):
        run("diagnose", "probabilities=nothing.npy", f"output={name}", folder=tmp_path)
        assert (tmp_path / name / ".hydra").is_dir()


def test_other_values_that_hydra_cannot_read_are_shown_quoted(tmp_path: Path) -> None:
    said = run("train", "mask.target=a=b", folder=tmp_path).stderr
    assert """'mask.target="a=b"'""" in said
    said = run("train", "mask=symmetric", "mask.threshold=0.5,0.6", folder=tmp_path).stderr
    assert "add -m" in said
