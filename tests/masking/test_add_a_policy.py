"""The page about adding a policy, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add_a_policy.md").read_text()


def blocks() -> dict[str, str]:
    """Return the page's code blocks by the file that the sentence before each names last."""
    found = re.findall(r"`([\w/]+\.\w+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    return dict(found)


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(project / "src")}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what the page touches, with its three steps done."""
    project = tmp_path_factory.mktemp("project")
    for part in ("src/cryofix", "conf/mask", "tests/masking"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / part, project / part)
    for name, text in blocks().items():
        path = project / name
        if not path.exists():
            path.write_text(text)
            continue
        imports, row = text.splitlines()
        table = path.read_text()
        table = table.replace(
            "\nfrom cryofix.masking import", f"\n{imports}\nfrom cryofix.masking import"
        )
        start = table.index("POLICIES = [")
        end = table.index("\n]\n", start)
        path.write_text(f"{table[:end]}\n{row}{table[end:]}")
    return project


def test_the_page_shows_one_class_one_file_and_one_row() -> None:
    assert list(blocks()) == [
        "src/cryofix/masking/sure_background.py",
        "conf/mask/sure_background.yaml",
        "tests/masking/test_policies.py",
    ]


def test_the_policy_of_the_page_passes_every_property(project: Path) -> None:
    (command,) = re.findall(r"^python -m (pytest .*)$", PAGE, re.MULTILINE)
    done = run(project, *command.split(), "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    match = re.search(r"(\d+) passed", done.stdout)
    assert match is not None
    assert int(match[1]) >= 15
    assert "failed" not in done.stdout


def test_the_class_of_the_page_keeps_the_house_rules(project: Path) -> None:
    done = run(project, "ruff", "check", "src/cryofix/masking/sure_background.py")
    assert done.returncode == 0, done.stdout + done.stderr
