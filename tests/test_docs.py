"""What the pages say: every command that they show composes, and made pages have every key."""

import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from docs.reference_pages import keys_of, masks_page, pages
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from cryofix.checking import check_types
from cryofix.config import config_folder
from cryofix.keys import COMMANDS
from cryofix.masking.policy import MaskingPolicy
from cryofix.quoting import quote_text

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"]
COMMAND = re.compile(r"(?:python -m cryofix\.|cryofix )(\w+) ?(.*)")


def in_blocks(text: str) -> Iterator[str]:
    """Yield the lines of a page's code blocks; a backslash joins two of them."""
    blocks = re.findall(r"^ *```(?:bash)?\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    for block in blocks:
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines())


def in_sentences(text: str) -> Iterator[str]:
    """Yield the pieces of code that stand in a page's sentences."""
    outside = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", outside))


def commands(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the words of each command of cryofix."""
    for line in lines:
        found = COMMAND.search(line)
        if found and found[1] in COMMANDS:
            yield found[1], re.split(r" && | \| |\)$", found[2])[0]


def shown(path: Path) -> Iterator[str]:
    """Yield all code of a page."""
    text = path.read_text()
    return chain(in_blocks(text), in_sentences(text))


SHOWN = sorted({(path.name, *command) for path in PAGES for command in commands(shown(path))})
HELP = [
    (path.name, *command)
    for path in sorted((ROOT / "conf" / "hydra" / "help").glob("*.yaml"))
    for command in commands(line.strip() for line in path.read_text().splitlines())
]


def first_job(word: str) -> str:
    """Return the override of the first job of a sweep: the first of several values."""
    (override,) = OverridesParser.create().parse_overrides([word])
    if not override.is_sweep_override():
        return word
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def test_many_commands_are_shown() -> None:
    assert {name for _, name, _ in SHOWN} == set(COMMANDS)
    assert len(SHOWN) > 60


@pytest.mark.parametrize(("page", "name", "words"), SHOWN)
def test_a_command_that_a_page_shows_composes(page: str, name: str, words: str) -> None:
    """Its groups, keys and types are right; paths and sweeps that it names need not be there."""
    typed = [word for word in shlex.split(words, comments=True) if not word.startswith("-")]
    if any(word.startswith("resume_sweep=") for word in typed):  # what follows is for its jobs
        typed = []
    typed = [word for word in typed if "=" in word]
    sweep = "-m" in words.split()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        quoted = quote_text(typed, name)
        config = compose(name, [first_job(word) if sweep else word for word in quoted])
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    known = {key: value for key, value in plain.items() if "${" not in str(value)}
    check_types({str(key): value for key, value in known.items()}, *COMMANDS[name])


def test_a_shell_changes_no_word_of_a_shown_command() -> None:
    """Braces and spaces are quoted: bash makes several words of x={a,b}."""
    assert len(HELP) > 20
    for page, name, words in [*SHOWN, *HELP]:
        if "$" in words or "#" in words:  # loops over variables, and comments
            continue
        said = subprocess.run(
            ["bash", "-c", f"set -f; printf '%s\\n' word {words}"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert said.stdout.splitlines() == ["word", *shlex.split(words)], (page, name)
        assert not re.search(r"[\[{]", re.sub("'[^']*'", "", words)), f"{page}: quote {words}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_modules_scripts_and_targets_that_a_page_names_exist(path: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in shown(path):
        for module in re.findall(r"python -m (benchmarks[\w.]*)", line):
            place = ROOT / module.replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").is_file(), line
        for script in re.findall(r"python ((?:docs|notebooks)/[\w/]+\.py)", line):
            assert (ROOT / script).is_file(), line
        for target in re.findall(r"^make ([a-z-]+)", line):
            assert target in targets, line


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_the_reference_has_every_key_of_a_file(path: Path) -> None:
    def names(node: object, prefix: str = "") -> Iterator[str]:
        for key, value in node.items() if isinstance(node, dict) else ():
            if prefix or key not in ("defaults", "hydra"):
                yield f"{prefix}{key}"
                yield from names(value, f"{prefix}{key}.")

    keys = keys_of(path.read_text())
    written, loaded = (
        {key.name for key in keys},
        set(names(OmegaConf.to_container(OmegaConf.load(path)))),
    )
    in_braces = tuple(f"{key.name}." for key in keys if key.default[:1] == "{")
    assert written <= loaded
    assert {name for name in loaded - written if not name.startswith(in_braces)} == set()


def test_the_table_of_masks_has_a_rule_and_a_use_for_each_mask() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\].*$", masks_page(), re.MULTILINE)
    assert rows == sorted(path.stem for path in (ROOT / "conf" / "mask").glob("*.yaml"))
    for row in re.findall(r"^\| \[`.*$", masks_page(), re.MULTILINE):
        _, _, rule, formula, use, _ = re.split(r"(?<!\\)\|", row)
        assert len(rule) > 20
        assert " = " in formula
        assert "Use it" in use
    made_of = [policy.__module__ for policy in MaskingPolicy.__subclasses__()]
    own = [module for module in made_of if module.startswith("cryofix.")]  # tests make policies too
    assert len(rows) == len(own)


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    written = {path.name for path in ROOT.glob("docs/*.md")}
    assert written | set(pages()) <= listed
