"""Atomic writes, locks, and what is said when the system refuses them."""

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cryofix.errors import CryofixError
from cryofix.experiment.run_folder import claimed
from cryofix.files import atomic_write, explain_os_error, remove_leftovers, write_json
from cryofix.learning.checkpoint import AtomicCheckpointIO
from support import mounted


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


def test_content_is_on_the_disk_before_its_name_is_and_then_the_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "a.json", list[tuple[int, bool]]()

    def note(handle: int) -> None:
        synced.append((os.fstat(handle).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", note)
    write_json(path, {})
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_a_write_leaves_the_umask_of_other_threads_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o022)
    os.umask(before)

    def refuse(mask: int) -> int:
        raise AssertionError("another thread may be making a file")

    monkeypatch.setattr(os, "umask", refuse)
    write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o666 & ~before


def save_checkpoint(path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(2**19)}, path)


def save_array(path: Path) -> None:
    with atomic_write(path) as temporary:
        np.save(temporary, np.zeros(2**19, np.float32))


def save_archive(path: Path) -> None:
    with atomic_write(path) as temporary:
        np.savez(temporary, a=np.zeros(2**19, np.float32))


def save_text(path: Path) -> None:
    write_json(path, "x" * 2**21)


@pytest.mark.parametrize(
    ("save", "name"),
    [
        (save_checkpoint, "last.ckpt"),
        (save_array, "a.npy"),
        (save_archive, "a.npz"),
        (save_text, "a.json"),
    ],
)
def test_a_full_disk_is_one_sentence_with_the_path_whoever_writes(
    tmp_path: Path, save: Any, name: str
) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        path = disk / name
        path.write_text("old")
        with pytest.raises(OSError, match="No space left") as caught:
            save(path)
        assert list(disk.iterdir()) == [path]
        assert path.read_text() == "old"
    said = explain_os_error(caught.value)
    assert said == (
        f"{path} cannot be used: No space left on device; make room there or choose another"
        " folder, and start again"
    )


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match="Not a directory") as caught:
        write_json(tmp_path / "a" / "b" / "c.json", {})
    assert str(tmp_path / "a" / "b") in explain_os_error(caught.value)


def test_what_killed_processes_left_is_removed_once_it_is_nobodys(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "fixmatch"
    with atomic_write(folder / "last.ckpt") as temporary:
        temporary.write_text("done")
    half = [where / temporary.name for where in (tmp_path, folder, tmp_path / "elsewhere")]
    half[2].parent.mkdir()
    for path in half:  # as it is when a process is killed while it writes
        path.write_text("half")
    remove_leftovers(tmp_path, "checkpoints/*", older_than_s=60)
    assert all(path.exists() for path in half), "somebody may be writing them"
    os.utime(half[1], (0, time.time() - 90))
    remove_leftovers(tmp_path, "checkpoints/*", older_than_s=60)
    assert [path.exists() for path in half] == [True, False, True]
    with claimed(tmp_path):
        assert [path.exists() for path in half] == [False, False, True]
    assert (folder / "last.ckpt").read_text() == "done"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_others_out_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr("cryofix.experiment.run_folder.SECONDS_TO_LEAVE", 0.2)
    with (
        claimed(tmp_path),
        pytest.raises(CryofixError, match="in use by another process"),
        claimed(tmp_path),
    ):
        pass
    with claimed(tmp_path):
        pass
