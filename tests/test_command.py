"""``cryofix``: commands by name, their help and version, and what the Tab key offers."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cryofix import __version__
from cryofix.completing import suggestions
from cryofix.keys import COMMANDS


def cryofix(*words: str, module: str = "cryofix") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_has_one_line_for_each_command_and_nothing_else_of_them() -> None:
    shown = cryofix("--help")
    named = [line.split()[0] for line in shown.stdout.splitlines() if line.startswith("  ")]
    assert (shown.returncode, named) == (0, list(COMMANDS))
    assert cryofix().stdout == shown.stdout


def test_the_version_is_that_of_the_package() -> None:
    assert cryofix("--version").stdout == f"cryofix {__version__}\n"


def test_a_command_is_the_same_by_its_name_and_by_its_module() -> None:
    words = ("--cfg", "job", "mask=symmetric", "mask.threshold=0.8", "output=2024_11_05")
    by_name = cryofix("train", *words)
    assert "threshold: 0.8" in by_name.stdout
    assert by_name.stdout == cryofix(*words, module="cryofix.train").stdout


def test_an_error_of_a_command_comes_through_with_its_exit_code() -> None:
    failed = cryofix("pick", "checkpoint=x")
    assert failed.returncode == 1
    assert failed.stderr == "cryofix.pick: output has no default: give output=VALUE\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "trian is not a command; did you mean train?"),
        (["mask=quota"], "mask=quota is not a command; `cryofix --help`"),
        (["-sc", "install=tcsh"], "-sc install=tcsh is not a request for completion"),
        (["-sc"], "-sc  is not a request"),
    ],
)
def test_a_wrong_first_word_is_one_sentence(words: list[str], said: str) -> None:
    failed = cryofix(*words)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"cryofix: {said}")
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("cryofix ", list(COMMANDS)),
        ("cryofix tr", ["train"]),
        ("cryofix train mask=cl", ["mask=class_aware"]),
        ("cryofix train mask=symmetric mask.thr", ["mask.threshold="]),
        ("cryofix train data=micrographs data.images='/a/*.mrc' data.coor", ["data.coordinates="]),
        ("cryofix train +experiment=cur", ["+experiment=cure"]),
        ("cryofix pick form", ["format="]),
        ("cryofix pick write.box", ["write.box_size_px="]),
        ("cryofix pick ma", ["max_size="]),  # and not the group of masks, which it does not take
        ("cryofix train data=ba", []),  # base is a part of the choices and none itself
        ("cryofix train mask=nonsense mask.", []),
        ("cryofix nonsense mask=", []),
        ("cryofix pick output=", ["output=a/", "output=c.txt"]),
        ("cryofix pick checkpoint=c", ["checkpoint=c.txt"]),
    ],
)
def test_the_tab_key_offers_commands_keys_choices_and_files(
    line: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMP_LINE", line)
    (tmp_path / "a").mkdir()
    (tmp_path / "c.txt").touch()
    assert suggestions(line) == offered


def test_bash_completes_the_installed_command(tmp_path: Path) -> None:
    program = tmp_path / "cryofix"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cryofix "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(cryofix -sc install=bash)" && complete -p cryofix\n'
        'COMP_LINE="cryofix train mask=cl" COMP_CWORD=2\n'
        'hydra_bash_completion && echo "${COMPREPLY[@]}"'
    )
    run = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    registered, completed = run.stdout.splitlines()
    assert registered.endswith("-F hydra_bash_completion cryofix")
    assert completed == "mask=class_aware"
