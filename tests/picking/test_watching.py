"""Micrographs come one after the other while the command watches, and dies now and then."""

import functools
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import starfile

from cryofix.picking.planning import Arrivals, find_all, plan_jobs
from disc_finder import draw
from random_picker import save_random_picker
from support import wait_until

SCRIPT = Path(__file__).parents[1] / "counted_pick.py"


def arrive(folder: Path, sample: Path, count: int, every: float, generator: random.Random) -> None:
    """Copy micrographs into the folder, some of them in two parts with a pause between."""
    content = sample.read_bytes()
    for number in range(count):
        path = folder / f"grid{number % 3}" / f"m{number:04}.mrc"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb", buffering=0) as stream:
            if generator.random() < 0.1:
                stream.write(content[:5000])
                time.sleep(0.3)
                stream.write(content[5000:])
            else:
                stream.write(content)
        time.sleep(generator.uniform(0, 2 * every))


def watch_and_kill(folder: Path, count: int, every: float, kills: int, seconds: float) -> None:
    """Let the command watch while micrographs come, and kill it so often at random moments."""
    generator = random.Random(7)
    (folder / "raw").mkdir()
    draw(folder / "sample.mrc", (128, 160), pixel_size=1.5, count=2, seed=1)
    save_random_picker(folder / "run")
    words = ["checkpoint=run", "micrographs=raw/**/*.mrc", "output=picks", "workers=1"]
    words += ["device=cpu", "watch=true", "every_seconds=0.2", "steady_seconds=0.5", "shown=4"]
    coming = threading.Thread(
        target=arrive, args=(folder / "raw", folder / "sample.mrc", count, every, generator)
    )
    coming.start()
    for life in range(kills + 1):
        said = folder / f"said{life}.txt"
        with said.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), "kept.log", *words],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=stream,
                stderr=stream,
            )
        try:
            wait_until(functools.partial(watching, said), seconds)
            if life < kills:
                more = generator.randint(1, count // (kills + 1))
                wait_until(functools.partial(holds, folder, len(kept(folder)) + more), seconds)
                time.sleep(generator.uniform(0, 0.5))
                continue
            coming.join()
            wait_until(functools.partial(holds, folder, count - kills), seconds)
            noted = -1  # a result kept just before a kill has no note, so the sum is not known
            while noted != (noted := len(kept(folder))):
                time.sleep(5)
            (folder / "picks" / "STOP").touch()
            assert process.wait(seconds) == 0, said.read_text()
        finally:
            process.kill()  # with SIGKILL, between any two instructions
            process.wait()


def watching(said: Path) -> bool:
    return "watching" in said.read_text()


def holds(folder: Path, count: int) -> bool:
    return len(kept(folder)) >= count


def kept(folder: Path) -> list[str]:
    log = folder / "kept.log"
    return log.read_text().splitlines() if log.exists() else []


def check(folder: Path, count: int) -> None:
    names = {f"m{number:04}.mrc" for number in range(count)}
    often = Counter(kept(folder))
    # A result that was kept in the moment before a kill has no note, and is not made again.
    assert set(often) <= names
    assert {name for name, times in often.items() if times > 1} == set()
    index = starfile.read(folder / "picks" / "relion" / "autopick.star")
    listed = Counter(Path(name).name for name in index["rlnMicrographName"])
    assert listed == Counter(names)
    assert not (folder / "picks" / "failed.tsv").exists()  # no half of a file was read
    assert len((folder / "picks" / "summary.tsv").read_text().splitlines()) == count + 1


def test_no_arrival_is_lost_or_picked_twice_although_it_is_killed(tmp_path: Path) -> None:
    watch_and_kill(tmp_path, count=30, every=0.3, kills=1, seconds=120)
    check(tmp_path, 30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_arrival_of_a_thousand_is_lost_or_picked_twice(tmp_path: Path) -> None:
    watch_and_kill(tmp_path, count=1000, every=0.2, kills=8, seconds=600)
    check(tmp_path, 1000)


def test_a_file_counts_once_it_is_steady_and_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("cryofix.picking.planning.time.monotonic", lambda: now)
    old, growing = tmp_path / "old.mrc", tmp_path / "growing.mrc"
    old.write_bytes(b"whole")
    os.utime(old, (0, 0))
    growing.write_bytes(b"half")
    arrivals = Arrivals(10.0)
    assert arrivals.new([old, growing]) == [old]
    assert arrivals.waiting
    now += 9
    growing.write_bytes(b"more of it")
    assert arrivals.new([old, growing]) == []
    now += 9
    assert arrivals.new([old, growing]) == []
    now += 2
    assert arrivals.new([old, growing]) == [growing]
    assert not arrivals.waiting
    growing.write_bytes(b"another one of this name")
    now += 1
    assert arrivals.new([old, growing]) == []
    now += 10
    assert arrivals.new([old, growing, tmp_path / "gone.mrc"]) == [growing]


def test_a_temporary_name_that_was_renamed_is_not_waited_for(tmp_path: Path) -> None:
    growing, renamed = tmp_path / "growing.mrc", tmp_path / "whole.mrc"
    growing.write_bytes(b"half")
    arrivals = Arrivals(10.0)
    assert arrivals.new([growing]) == []
    growing.rename(renamed)
    os.utime(renamed, (0, 0))
    assert arrivals.new([renamed]) == [renamed]
    assert not arrivals.waiting


def test_there_may_be_nothing_yet(tmp_path: Path) -> None:
    assert find_all([f"{tmp_path}/*.mrc"], none_yet=True) == set()
    assert plan_jobs(set(), tmp_path) == ([], Path.cwd())


def test_an_idle_time_ends_it_and_a_bad_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unittest import mock

    from cryofix.pick import main

    monkeypatch.chdir(tmp_path)
    save_random_picker(Path("run"))
    draw(Path("raw/a.mrc"), (128, 160), pixel_size=1.5, count=2, seed=1)
    shutil.copy("raw/a.mrc", "raw/b.mrc")
    words = ["checkpoint=run", "micrographs=raw", "output=picks", "device=cpu", "watch=true"]
    quick = ["every_seconds=0.05", "steady_seconds=0.1", "idle_minutes=0.01"]
    with mock.patch.object(sys, "argv", ["cryofix.pick", *words, *quick]):
        main()
    said = capsys.readouterr().out
    assert "2 new; 2 micrographs with " in said
    assert f"output={tmp_path}/picks` goes on from there" in said
    with (
        mock.patch.object(sys, "argv", ["cryofix.pick", *words, "every_seconds=-1"]),
        pytest.raises(SystemExit),
    ):
        main()
    assert "every_seconds=-1 must not be negative" in capsys.readouterr().err


def test_a_stop_file_ends_picking_after_the_micrograph_in_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unittest import mock

    from cryofix.pick import main
    from cryofix.picking import jobs, micrographs

    monkeypatch.chdir(tmp_path)
    save_random_picker(Path("run"))
    for name in "abc":
        draw(Path(f"raw/{name}.mrc"), (128, 160), pixel_size=1.5, count=2, seed=1)
    real = micrographs.pick_micrograph

    def ask_to_stop(network: object, path: Path, *rest: object) -> object:
        if path.name == "b.mrc":
            Path("enough").touch()
        return real(network, path, *rest)  # type: ignore[arg-type]  # passed through

    words = ["checkpoint=run", "micrographs=raw", "output=picks", "device=cpu", "workers=1"]
    with (
        mock.patch.object(jobs, "pick_micrograph", ask_to_stop),
        mock.patch.object(sys, "argv", ["cryofix.pick", *words, "stop_file=enough"]),
    ):
        main()
    assert "stopped by enough; 1 micrographs are left; `" in capsys.readouterr().out
    index = starfile.read("picks/relion/autopick.star")
    assert [Path(name).name for name in index["rlnMicrographName"]] == ["a.mrc", "b.mrc"]
    with mock.patch.object(sys, "argv", ["cryofix.pick", *words]):
        main()
    assert len(starfile.read("picks/relion/autopick.star")) == 3
