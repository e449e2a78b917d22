"""Atomic writes."""

from pathlib import Path

import pytest

from cryofix.files import atomic_write, write_json


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_makes_its_folder_and_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "new" / "b.npy") as temporary:
        assert temporary.suffix == ".npy"
        assert temporary.parent == tmp_path / "new"
        temporary.write_text("x")
    assert (tmp_path / "new" / "b.npy").read_text() == "x"


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"f1": float("nan")})
    assert not (tmp_path / "a.json").exists()
