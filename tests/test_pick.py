"""The command that picks, run as a user runs it; its network knows nothing, as is enough here."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from cryofix import files
from cryofix.formats import find_micrographs, index_micrographs, read_coordinates, write_coordinates
from disc_finder import draw
from random_picker import THRESHOLD


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three micrographs in two subfolders."""
    for number, name in enumerate(("a/one.mrc", "a/two.mrc", "b/three.mrc")):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(path, (240, 320), pixel_size=1.5, count=5, seed=number)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pick(checkpoint: Path, *overrides: str) -> int:
    """Run the command and return how many picks its table has."""
    from cryofix.pick import main

    common = [f"checkpoint={checkpoint}", "micrographs=raw/**/*.mrc", "output=picks", "workers=1"]
    with mock.patch.object(sys, "argv", ["cryofix.pick", *common, *overrides]):
        main()
    rows = Path("picks/summary.tsv").read_text().splitlines()[1:]
    return sum(int(row.split("\t")[1]) for row in rows)


def results(folder: Path) -> dict[str, int]:
    """Return when each micrograph was finished."""
    kept = (folder / "picks" / "results").rglob("*.npz")
    return {path.name: path.stat().st_mtime_ns for path in kept}


def test_picks_tables_and_the_page_are_written(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = pick(checkpoint, "format=[star,json]")
    printed = capsys.readouterr().out
    micrographs = index_micrographs(find_micrographs("raw/**/*.mrc"))
    back = read_coordinates("picks/relion", micrographs)
    assert set(back) == {"one", "two", "three"}
    assert sum(map(len, back.values())) == count > 0
    for each in back.values():
        assert each.score is not None
        assert each.score.min() >= THRESHOLD
    low = read_coordinates("picks/points.json", micrographs)
    assert sum(map(len, low.values())) > count
    rows = Path("picks/summary.tsv").read_text().splitlines()
    assert len(rows) == 4
    assert rows[1].startswith(f"a/one.mrc\t{len(back['one'])}\t")
    assert Path("picks/index.html").is_file()
    assert not Path("picks/failed.tsv").exists()
    assert f"picks that score {THRESHOLD:.3f} or more" in printed
    assert "picks/relion/autopick.star" in printed


def test_finished_micrographs_are_skipped_whatever_is_written_of_them(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = pick(checkpoint)
    before = results(folder)
    assert pick(checkpoint, "format=box", f"threshold={THRESHOLD + 0.01}") < count
    assert "(3 before)" in capsys.readouterr().out
    assert results(folder) == before
    assert sorted(p.name for p in Path("picks/eman").rglob("*.box")) == [
        "one.box",
        "three.box",
        "two.box",
    ]
    draw(folder / "raw" / "c" / "four.mrc", (240, 320), pixel_size=1.5, count=5, seed=9)
    pick(checkpoint)
    after = results(folder)
    assert {name for name in after if before.get(name) != after[name]} == {"four.mrc.npz"}
    pick(checkpoint, "min_distance=0.7")
    assert all(results(folder)[name] != when for name, when in after.items())


def test_a_bad_file_is_reported_at_the_end_with_exit_code_2_and_picked_once_it_is_good(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = folder / "raw" / "a" / "two.mrc"
    good = bad.read_bytes()
    bad.write_bytes(good[:5000])
    with pytest.raises(SystemExit) as stop:
        pick(checkpoint)
    assert stop.value.code == 2
    printed = capsys.readouterr().out
    assert "failed: " in printed
    assert "two.mrc is truncated" in printed
    assert Path("picks/failed.tsv").read_text().splitlines()[1].startswith("a/two.mrc\t")
    assert "two.mrc is truncated" in Path("picks/index.html").read_text()
    micrographs = index_micrographs(
        p for p in find_micrographs("raw/**/*.mrc") if p.name != bad.name
    )
    assert set(read_coordinates("picks/relion", micrographs)) == {"one", "three"}
    before = results(folder)
    bad.write_bytes(good)
    pick(checkpoint)
    after = results(folder)
    assert {name for name in after if before.get(name) != after[name]} == {"two.mrc.npz"}
    assert not Path("picks/failed.tsv").exists()


def test_nothing_but_bad_files_is_still_a_report(folder: Path, checkpoint: Path) -> None:
    for path in find_micrographs("raw/**/*.mrc"):
        path.write_bytes(b"no image")
    with pytest.raises(SystemExit) as stop:
        pick(checkpoint)
    assert stop.value.code == 2
    assert len(Path("picks/failed.tsv").read_text().splitlines()) == 4
    assert Path("picks/index.html").is_file()


@pytest.mark.slow
def test_the_command_works_in_several_processes(folder: Path, checkpoint: Path) -> None:
    (folder / "raw" / "b" / "bad.mrc").write_bytes(b"no image")
    common = [f"checkpoint={checkpoint}", "micrographs=raw/**/*.mrc", "output=picks", "workers=2"]
    done = subprocess.run(
        [sys.executable, "-m", "cryofix.pick", *common],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "picking 4/4" in done.stdout
    assert "1 failed" in done.stdout
    assert len(results(folder)) == 3


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Restore the handlers: a command that was stopped ignores signals until its process ends."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_is_told_the_folder_and_the_command_that_goes_on(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    from cryofix.picking import jobs, micrographs

    real, seen = micrographs.pick_micrograph, []

    def stop_at_the_second(network: object, path: Path, *rest: object) -> object:
        seen.append(path)
        if len(seen) == 2:
            os.kill(os.getpid(), number)
        return real(network, path, *rest)  # type: ignore[arg-type]  # passed through

    with (
        mock.patch.object(jobs, "pick_micrograph", stop_at_the_second),
        pytest.raises(SystemExit) as stop,
    ):
        pick(checkpoint, "format=[star,box]")
    assert stop.value.code == 128 + number
    assert len(results(folder)) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert f"stopped by {number.name}; `" in said
    assert f"output={folder}/picks" in said
    command = shlex.split(said.split("`")[1])
    assert command[:3] == ["python", "-m", "cryofix.pick"]
    from cryofix.pick import main

    kept = results(folder)
    with mock.patch.object(sys, "argv", command[2:]):
        main()
    assert len(results(folder)) == 3
    assert results(folder).items() > kept.items()


def test_a_disk_that_takes_nothing_ends_the_run_with_one_sentence(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not go through all micrographs to say of each that it cannot be kept."""
    Path("picks").mkdir()
    Path("picks/results").write_text("in the way of a folder")
    with pytest.raises(SystemExit) as stop:
        pick(checkpoint)
    assert stop.value.code == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{folder}/picks/results/" in said
    assert "Not a directory" in said


def test_a_micrograph_that_may_not_be_read_is_one_failure(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cryofix.picking import jobs, micrographs

    real = micrographs.pick_micrograph

    def refused(network: object, path: Path, *rest: object) -> object:
        if path.name == "two.mrc":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(network, path, *rest)  # type: ignore[arg-type]  # passed through

    with mock.patch.object(jobs, "pick_micrograph", refused), pytest.raises(SystemExit) as stop:
        pick(checkpoint)
    assert stop.value.code == 2
    assert capsys.readouterr().err == ""
    (failed,) = Path("picks/failed.tsv").read_text().splitlines()[1:]
    assert failed.startswith(f"a/two.mrc\t{folder}/raw/a/two.mrc cannot be used: Permission denied")


def test_a_damaged_result_is_made_again(folder: Path, checkpoint: Path) -> None:
    count = pick(checkpoint)
    kept = next(Path("picks/results").rglob("two.mrc.npz"))
    damaged = bytearray(kept.read_bytes())
    damaged[len(damaged) // 4] ^= 0xFF  # in an array: the archive's list of parts is sound
    kept.write_bytes(damaged)
    left, new = (kept.with_name(f"{files.TEMPORARY}{name}.npz") for name in ("left", "new"))
    for path in (left, new):
        path.write_bytes(b"of a process that was killed, or of one that is still there")
    os.utime(left, (0, 0))
    assert pick(checkpoint) == count
    assert kept.read_bytes() != bytes(damaged)
    assert not left.exists()
    assert new.exists()


def test_odd_names_are_written_out_in_tables(folder: Path, checkpoint: Path) -> None:
    odd = "tab\tline\nhash#quote'.mrc"
    (folder / "raw" / "a" / "two.mrc").rename(folder / "raw" / "a" / odd)
    pick(checkpoint, "format=[box,tsv,json]")
    names = [line.split("\t")[0] for line in Path("picks/summary.tsv").read_text().splitlines()]
    assert names == ["micrograph", "a/one.mrc", r"a/tab\tline\nhash#quote'.mrc", "b/three.mrc"]
    assert Path("picks/eman/a", odd).with_suffix(".box").is_file()


def test_particles_want_pixel_sizes_before_anything_is_picked(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(folder / "raw" / "b" / "three.mrc", (240, 320), pixel_size=None, count=5)
    with pytest.raises(SystemExit) as stop:
        pick(checkpoint, "format=particles")
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert "three.mrc does not say its pixel size, which format=particles needs" in said
    assert not results(folder)


def test_low_scores_are_counted_only_below_the_threshold(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pick(checkpoint)
    assert "further picks down to 0.05" in capsys.readouterr().out
    pick(checkpoint, "threshold=0.027")
    assert "further picks" not in capsys.readouterr().out


def test_formats_with_low_scores_are_said_and_the_remedy(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = pick(checkpoint, "format=[cs,relion]", "y_origin=top")
    said = capsys.readouterr().out
    assert f"cryosparc: {count} of " in said
    assert "low_scores=false leaves the others out" in said
    pick(checkpoint, "format=[cs,relion]", "y_origin=top", "low_scores=false")
    assert "leaves the others out" not in capsys.readouterr().out


def test_the_index_that_is_announced_is_the_one_that_is_written(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pick(checkpoint, "write.kind=manualpick")
    printed = capsys.readouterr().out
    assert "autopick.star" not in printed
    assert f"{folder}/picks/relion/manualpick.star" in printed
    assert Path("picks/relion/manualpick.star").is_file()


def test_unknown_pixel_sizes_are_said(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(folder / "raw" / "a" / "one.mrc", (240, 320), pixel_size=None, count=5)
    pick(checkpoint)
    assert "1 micrographs do not say their pixel size" in capsys.readouterr().err
    pick(checkpoint, "pixel_size_angstrom=1.5")
    assert "pixel size" not in capsys.readouterr().err


def test_sizes_filter_picks(folder: Path, checkpoint: Path) -> None:
    count = pick(checkpoint, "min_size=0.01")
    assert pick(checkpoint, "min_size=0.01", "max_size=0.5") < count


def test_picks_score_as_their_model_does(folder: Path, checkpoint: Path) -> None:
    """Files of picks and the model itself go two ways through the program, to one score."""
    from cryofix.evaluate import main as evaluate

    draw(folder / "raw" / "b" / "four.mrc", (240, 320), pixel_size=1.5, count=5, seed=8)
    paths = find_micrographs("raw/**/*.mrc")
    truth = {
        path.stem: draw(path, (240, 320), pixel_size=1.5, count=5, seed=seed)
        for seed, path in enumerate(paths)
    }
    infos = index_micrographs(paths)
    write_coordinates("labels", truth, infos, format="cryoppp", diameter_px=40.0)
    pick(checkpoint, "format=[star,tsv,cs]", "y_origin=top")
    data = [
        "data=micrographs",
        "data.images=raw/**/*.mrc",
        "data.coordinates=labels",
        "part=all",
        "hydra.job_logging.root.level=ERROR",  # 20 dark discs can look upside down
    ]
    with mock.patch.object(sys, "argv", ["e", f"checkpoint={checkpoint}", "output=model", *data]):
        evaluate()
    cs = "cs: {path: picks/cryosparc.cs, y_origin: top}"
    picks = f"picks={{star: picks/relion, tsv: picks/topaz.tsv, {cs}}}"
    with mock.patch.object(
        sys, "argv", ["e", picks, f"threshold={THRESHOLD}", "output=files", *data]
    ):
        evaluate()
    model = json.loads(Path("model/scores.json").read_text())["scores"]["particle"]
    files = json.loads(Path("files/comparison.json").read_text())
    assert model["picks"] > 0
    for name in ("star", "cs"):
        scores = files["programs"][name]["particle"]
        for key in ("precision", "recall", "f1", "picks", "matched", "truth"):
            assert scores[key] == pytest.approx(model[key], abs=1e-12), (name, key)
    assert Path("files/figures/comparison.png").is_file()


def coordinate_files() -> set[str]:
    """Return the files of coordinates in the output folder."""
    suffixes = (".star", ".box", ".cbox", ".csv", ".cs", ".tsv", ".json")
    return {
        path.relative_to("picks").as_posix()
        for path in Path("picks").rglob("*")
        if path.suffix in suffixes and path.name not in ("summary.tsv", "failed.tsv")
    } - {"written.json"}


def test_the_folder_holds_the_picks_of_the_last_run_only(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer micrographs, another format, another threshold: nothing of before lies beside it."""
    pick(checkpoint, "format=[star,tsv]")
    first = {"relion/autopick.star", "relion_low_scores/autopick.star", "topaz.tsv"}
    assert coordinate_files() > first
    assert capsys.readouterr().err == ""
    before = results(folder)
    bad = folder / "raw" / "a" / "two.mrc"
    good = bad.read_bytes()
    bad.write_bytes(good[:5000])  # it was picked before, and cannot be picked now
    with pytest.raises(SystemExit):
        pick(checkpoint, "format=[star,box]", "low_scores=false")
    picked = {f"{name}_autopick.star" for name in ("raw/a/one", "raw/b/three")}
    assert coordinate_files() == {
        "relion/autopick.star",
        *(f"relion/{name}" for name in picked),
        "eman/a/one.box",
        "eman/b/three.box",
    }
    said = " ".join(capsys.readouterr().err.split())
    # An index, three of low scores, a table, and what was picked in the bad file.
    assert "removed 6 files (relion/raw/a/two_autopick.star, " in said
    record = json.loads(Path("picks/written.json").read_text())
    assert set(record["files"]) == coordinate_files()
    assert record["threshold"] == THRESHOLD
    assert record["formats"] == ["relion", "eman"]
    bad.write_bytes(good)
    pick(checkpoint, "format=[star,tsv]")
    assert not Path("picks/eman").exists()
    assert coordinate_files() > first
    after = results(folder)
    assert {name for name in after if before[name] != after[name]} == {"two.mrc.npz"}


def test_files_that_pick_did_not_write_are_counted_and_never_touched(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pick(checkpoint, "format=[star,box]")
    edited, own = Path("picks/eman/a/one.box"), Path("picks/relion/raw/mine_autopick.star")
    edited.write_text("1 2 3 4\n")
    own.write_text("data_\n")
    Path("picks/relion/notes.txt").write_text("not coordinates")
    outside = folder / "outside.box"
    outside.write_text("")
    record = json.loads(Path("picks/written.json").read_text())
    stamp = [0, outside.stat().st_mtime_ns]
    record["files"] |= {
        "eman/../../outside.box": stamp,
        str(outside): stamp,
        "": [],
        "eman/\0.box": [],
    }
    Path("picks/written.json").write_text(json.dumps(record))
    capsys.readouterr()
    pick(checkpoint, "format=star")
    assert edited.read_text() == "1 2 3 4\n"
    assert own.read_text() == "data_\n"
    assert outside.exists()
    said = " ".join(capsys.readouterr().err.split())
    assert "removed 2 files (eman/a/two.box, eman/b/three.box) of an earlier run" in said
    assert "holds 2 files (relion/raw/mine_autopick.star, eman/a/one.box) that this run" in said


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["format=cs"], "needs y_origin=top or y_origin=bottom"),
        (["format=start"], "format=start is not known"),
        (["micrographs=gone/*.mrc"], "no micrographs at gone/*.mrc"),
        (["threshold=1.5"], "threshold=1.5 must lie in [0, 1)"),
        (["diameter_px=wide"], "diameter_px=wide does not fit: give a number or null"),
        (["diameter_px=-5"], "diameter_px=-5.0 must be above 0"),
        (["pixel_size_angstrom=inf"], "pixel_size_angstrom=inf must be above 0 and finite"),
        (["border_px=inf"], "border_px=inf must be finite"),
        (["min_size=inf"], "min_size=inf must be finite"),
        (["max_size=-1"], "max_size=-1.0 must be finite and not negative"),
        (["write.kind=manual"], "write.kind=manual is not known"),
        (["write.box_size_px=-8", "format=box"], "write.box_size_px=-8 has to be a number above 0"),
        (["workers=0"], "workers=0"),
        (["checkpoint=gone"], "checkpoint=gone does not exist"),
        (["diametre_px=40"], "did you mean diameter_px?"),
    ],
)
def test_mistakes_are_one_sentence_before_anything_is_picked(
    folder: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    sentence: str,
) -> None:
    with pytest.raises(SystemExit) as stop:
        pick(checkpoint, *overrides)
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert not results(folder)


def test_help_names_keys_and_formats_without_loading_torch() -> None:
    code = (
        "import sys; sys.argv = ['cryofix.pick', '--help']\n"
        "from cryofix.pick import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert shown.returncode == 0, shown.stderr
    from cryofix.formats.registry import ALIASES

    assert len(ALIASES) == 7
    for name in ALIASES:
        assert f"  {name} " in shown.stdout
    assert "keep_above" in shown.stdout


@pytest.mark.parametrize("both", [False, True])
def test_evaluate_wants_a_model_or_picks_and_not_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], both: bool
) -> None:
    from cryofix.evaluate import main as evaluate

    given = ["checkpoint=a", "picks=b"] if both else []
    with (
        mock.patch.object(sys, "argv", ["e", *given, f"output={tmp_path}"]),
        pytest.raises(SystemExit) as stop,
    ):
        evaluate()
    assert stop.value.code == 1
    assert "checkpoint=RUN or picks=FILE_OR_FOLDER" in capsys.readouterr().err
