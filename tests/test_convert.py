"""The command that converts coordinates, run as a user runs it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryofix.convert import main
from cryofix.formats import (
    Particles,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    write_coordinates,
    write_mrc,
)

ROWS, COLUMNS = 300, 500


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two micrographs with dark discs and CryoPPP labels, and one without labels."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    labels = {}
    for name in ("a", "b", "c"):
        x, y = random.uniform(30, COLUMNS - 30, 15), random.uniform(30, ROWS - 30, 15)
        image = random.normal(size=(ROWS, COLUMNS))
        for column, row in zip(x, y, strict=True):
            image -= 2.0 * (np.hypot(rows - row, columns - column) < 10)
        write_mrc(tmp_path / "raw" / f"{name}.mrc", image, 1.5)
        if name != "c":
            labels[name] = Particles(x, y, random.uniform(size=15), np.full(15, 20.0))
    micrographs = index_micrographs(find_micrographs(tmp_path / "raw"))
    write_coordinates(tmp_path / "coords", labels, micrographs, format="cryoppp")
    (tmp_path / "notes.txt").write_text("nothing")
    for name, rows in (("bare", "60,10\n"), ("far", "60,10\n999,10\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text(f"X-Coordinate,Y-Coordinate\n{rows}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def convert(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    monkeypatch.setattr(sys, "argv", ["cryofix.convert", *overrides])
    main()


def test_cryoppp_becomes_relion_and_comes_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    convert(
        monkeypatch, "in=coords", "out=External/job007", "format=relion", "micrographs=raw/*.mrc"
    )
    printed = capsys.readouterr().out
    assert "the labels lie on particles" in printed
    assert "30 particles in 2 micrographs (1 more are unlabelled), cryoppp to relion" in printed
    new = {path for path in folder.rglob("*") if path not in before and path.is_file()}
    job = folder / "External" / "job007"
    assert new == {
        job / "autopick.star",
        job / "raw" / "a_autopick.star",
        job / "raw" / "b_autopick.star",
    }
    convert(monkeypatch, "in=External/job007", "out=back", "format=cryoppp", "micrographs=raw")
    micrographs = index_micrographs(find_micrographs(folder / "raw"))
    first = read_coordinates(folder / "coords", micrographs)
    last = read_coordinates(folder / "back", micrographs)
    for name in ("a", "b"):
        np.testing.assert_allclose(last[name].y, first[name].y, atol=1e-3)


def test_upside_down_labels_are_reported_on_stderr(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("in=coords", "out=all.json", "format=json", "micrographs=raw", "y_origin=top")
    convert(monkeypatch, *common)
    assert "THE LABELS SEEM UPSIDE DOWN" in capsys.readouterr().err
    convert(monkeypatch, *common, "check_y=false")
    assert "UPSIDE" not in "".join(capsys.readouterr())


def test_cryosparc_is_asked_which_way_up_once_and_the_labels_stay_as_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("in=coords", "out=all.cs", "format=cryosparc", "micrographs=raw")
    with pytest.raises(SystemExit):
        convert(monkeypatch, *common)
    assert "contrast" not in "".join(capsys.readouterr())  # nothing is read before it is asked
    convert(monkeypatch, *common, "out_y_origin=top")
    said = capsys.readouterr()
    assert "the labels lie on particles" in said.out
    assert said.err == ""


def test_labels_of_which_one_has_no_diameter_are_compared_with_the_images(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "coords" / "a.csv"
    path.write_text(path.read_text().replace(",20.0,", ",,", 1))
    convert(monkeypatch, "in=coords", "out=all.json", "format=json", "micrographs=raw")
    said = capsys.readouterr()
    assert said.err == ""
    assert "the labels lie on particles" in said.out


def test_particles_outside_are_dropped_if_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("in=far", "out=a.json", "format=json", "micrographs=raw", "check_y=false")
    convert(monkeypatch, *common, "outside=drop")
    said = capsys.readouterr()
    assert "1 particles in 1 micrographs" in said.out
    assert "left out 1 particles outside of their image" in said.err


def test_options_reach_the_formats(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(
        monkeypatch,
        "in=coords",
        "out=picks.txt",
        "format=topaz",
        "micrographs=raw",
        "write.downsample=4",
        "check_y=false",
    )
    convert(
        monkeypatch,
        "in=picks.txt",
        "out=boxes",
        "format=eman",
        "micrographs=raw",
        "read.downsample=4",
        "write.box_size_px=32",
        "check_y=false",
    )
    micrographs = index_micrographs(find_micrographs(folder / "raw"))
    first = read_coordinates(folder / "coords", micrographs)["a"]
    last = read_coordinates(folder / "boxes", micrographs)["a"]
    np.testing.assert_allclose(last.x, first.x, atol=2.5)


def test_short_names_of_formats_are_known_and_a_single_file_gets_its_suffix(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("micrographs=raw", "check_y=false")
    convert(monkeypatch, "in=coords", "in_format=csv", "out=v1.picks", "format=tsv", *common)
    assert (folder / "v1.picks.tsv").is_file()
    (folder / "there").mkdir()
    convert(monkeypatch, "in=v1.picks.tsv", "out=there", "format=json", *common)
    assert (folder / "there" / "points.json").is_file()
    convert(monkeypatch, "in=there/points.json", "out=job", "format=star", *common)
    assert (folder / "job" / "autopick.star").is_file()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("in=coords", "out=o", "micrographs=raw"), "format has no default: give format=VALUE"),
        (
            ("in=coords", "out=o", "format=start", "micrographs=raw"),
            "format=start is not known: choose one of cryoppp",
        ),
        (
            ("in=gone", "out=o", "format=eman", "micrographs=raw"),
            "gone does not exist: check the path of the coordinates",
        ),
        (
            ("in=coords", "out=o", "format=eman", "micrographs=raw", "write.downsample=3"),
            "write.downsample is no option of the format eman: it has write.box_size_px",
        ),
        (
            ("in=coords", "out=o", "format=cryolo", "micrographs=raw", "read.suffix=_x.star"),
            "read.suffix is no option of the format cryoppp",
        ),
        (
            ("in=coords", "out=o", "format=eman", "micrographs=raw", "write.box_size_px=-5"),
            "write.box_size_px=-5 has to be a number above 0",
        ),
        (
            ("in=notes.txt", "out=o", "format=eman", "micrographs=raw"),
            "notes.txt is in no format that cryofix recognises: say in_format=, one of",
        ),
        (
            ("in=coords", "out=o", "format=cryosparc", "micrographs=raw"),
            "the format cryosparc needs out_y_origin=top or out_y_origin=bottom",
        ),
        (
            ("in=bare", "out=o", "format=eman", "micrographs=raw", "check_y=false"),
            "EMAN needs the size of its boxes: set write.box_size_px=",
        ),
        (("in=far", "out=o", "format=json", "micrographs=raw"), "outside=drop leaves them out"),
        (
            ("in=coords", "out=o", "format=eman", "micrographs=raw", "y_orgin=top"),
            "y_orgin is not a key of cryofix.convert; did you mean y_origin?",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_1(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
    sentence: str,
) -> None:
    with pytest.raises(SystemExit) as caught:
        convert(monkeypatch, *overrides)
    assert caught.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("cryofix.convert: ")
    assert sentence in err
    assert "Traceback" not in err
    assert not (folder / "o").exists()


def test_help_names_every_format_and_runs_as_a_module() -> None:
    from cryofix.formats import FORMATS

    done = subprocess.run(
        [sys.executable, "-m", "cryofix.convert", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in FORMATS:
        assert f"  {name} " in done.stdout
