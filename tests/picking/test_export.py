"""Picks in every format: which picks, which files, and what comes back."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from cryofix.errors import CryofixError
from cryofix.formats import (
    FORMATS,
    MicrographInfo,
    Particles,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    write_mrc,
)
from cryofix.picking.export import LOW_SCORES, Export

ROWS, COLUMNS = 300, 500
NAMES = ("a/one.mrc", "a/two.mrc", "b/three.mrc")
SCORES = np.array([0.9, 0.7, 0.4, 0.1])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        image = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
        write_mrc(tmp_path / "raw" / name, image, 1.5)
    return tmp_path / "raw"


def found(root: Path) -> Any:
    """Return what gives four picks in each micrograph, two of them good, in the upper half."""

    def read(which: Literal["good", "all"]) -> Iterator[tuple[str, MicrographInfo, Particles]]:
        for number, name in enumerate(NAMES):
            random = np.random.default_rng(number)
            x, y = random.uniform(10, COLUMNS - 10, 4), random.uniform(10, ROWS / 2, 4)
            particles = Particles(x, y, SCORES, np.full(4, 40.0))
            info = MicrographInfo(root / name, (ROWS, COLUMNS), 1.5)
            yield name, info, particles.select(slice(2 if which == "good" else 4))

    return read


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_back_with_the_right_picks(root: Path, name: str) -> None:
    export = Export([name], root, y_origin="top")
    written, files = export.write(root.parent / "picks", found(root))
    target = written[name]
    assert {path for path in (root.parent / "picks").rglob("*") if path.is_file()} == set(files)
    assert target.exists()
    kept = 4 if FORMATS[name].takes_low_scores else 2
    micrographs = index_micrographs(find_micrographs(f"{root}/**/*.mrc"))
    folders = [target] if FORMATS[name].file or name == "relion" else [target / "a", target / "b"]
    back: dict[str, Particles] = {}
    for folder in folders:
        options: dict[str, Any] = {"y_origin": "top"} if name == "cryosparc" else {}
        back |= read_coordinates(folder, micrographs, format=name, **options)
    assert set(back) == {"one", "two", "three"}
    for each, _, particles in found(root)("all" if kept == 4 else "good"):
        its = back[Path(each).stem]
        assert len(its) == kept
        np.testing.assert_allclose(np.sort(its.x), np.sort(particles.x), atol=1.0)
        np.testing.assert_allclose(np.sort(its.y), np.sort(particles.y), atol=1.0)
        if its.score is not None:
            np.testing.assert_allclose(np.sort(its.score)[::-1], SCORES[:kept], atol=1e-3)


def test_relion_gets_low_scores_beside_and_not_among_its_picks(root: Path) -> None:
    written, _ = Export(["star"], root).write(root.parent / "picks", found(root))
    assert set(written) == {"relion", LOW_SCORES}
    micrographs = index_micrographs(find_micrographs(f"{root}/**/*.mrc"))
    counts = {
        name: [len(each) for each in read_coordinates(path, micrographs).values()]
        for name, path in written.items()
    }
    assert counts == {"relion": [2, 2, 2], LOW_SCORES: [4, 4, 4]}
    folder = root.parent / "picks" / "relion"
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.star")} == {
        "autopick.star",
        "a/one_autopick.star",
        "a/two_autopick.star",
        "b/three_autopick.star",
    }


def test_relion_names_are_relative_to_the_working_folder_where_it_holds_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    written, _ = Export(["relion"], root).write(root.parent / "picks", found(root))
    index = written["relion"].read_text()
    assert "raw/a/one.mrc" in index
    assert "picks/relion/raw/a/one_autopick.star" in index
    assert str(root) not in index


def test_low_scores_can_be_left_out_of_everything(root: Path) -> None:
    export = Export(["cbox", "relion"], root, low_scores=False)
    written, _ = export.write(root.parent / "picks", found(root))
    assert set(written) == {"cryolo", "relion"}
    micrographs = index_micrographs(find_micrographs(root / "a"))
    back = read_coordinates(written["cryolo"] / "a", micrographs)
    assert [len(each) for each in back.values()] == [2, 2]


def test_one_name_in_two_folders_keeps_two_files(root: Path, tmp_path: Path) -> None:
    micrographs = [("a/x.mrc", root / "a/x.mrc"), ("b/x.mrc", root / "b/x.mrc")]
    Export(["star", "box", "csv"], root).check_names(micrographs, tmp_path)
    with pytest.raises(CryofixError, match=r"a/x\.mrc and .*b/x\.mrc have one name.*topaz"):
        Export(["star", "tsv"], root).check_names(micrographs, tmp_path)
    twins = [("x.mrc", root / "x.mrc"), ("x.tif", root / "x.tif")]
    with pytest.raises(CryofixError, match="share the files"):
        Export(["star"], root).check_names(twins, tmp_path)


def test_micrographs_whose_picks_relion_would_look_for_in_one_file_are_refused(
    root: Path, tmp_path: Path
) -> None:
    """RELION leaves the job out of a micrograph's name when it looks for its picks."""
    names = [f"MotionCorr/job00{job}/x.mrc" for job in (1, 2)]
    micrographs = [(name, root / name) for name in names]
    with pytest.raises(
        CryofixError, match=r"job001/x\.mrc and .*job002/x\.mrc would both.*write\.project"
    ):
        Export(["star"], root).check_names(micrographs, tmp_path)
    Export(["box"], root).check_names(micrographs, tmp_path)


ODD = ("tab\t", "line\n", "hash#", "quote'", 'quotes"')


@pytest.mark.parametrize("name", FORMATS)
def test_an_odd_name_is_refused_before_picking_or_comes_back(
    root: Path, tmp_path: Path, name: str
) -> None:
    export = Export([name], root, y_origin="top")
    particles = Particles(np.array([100.0, 200.0]), np.array([50.0, 60.0]), SCORES[:2], np.ones(2))
    for odd in (*ODD, "two  spaces", "é", "data_", "comma,", "<b>&"):
        source = root / f"{odd}one.mrc"
        if name.startswith("relion") and odd in ODD:
            with pytest.raises(CryofixError, match="rename the file or the folder, or choose"):
                export.check_names([(source.name, source)], tmp_path)
            continue
        export.check_names([(source.name, source)], tmp_path)
        info = MicrographInfo(source, (ROWS, COLUMNS), 1.5)
        of_one = [(source.name, info, particles)]
        written, _ = export.write(tmp_path / odd, {"good": of_one, "all": of_one}.__getitem__)
        options: dict[str, Any] = {"y_origin": "top"} if name == "cryosparc" else {}
        (back,) = read_coordinates(
            written[name], {source.name: info}, format=name, **options
        ).values()
        np.testing.assert_allclose(np.sort(back.x), [100, 200], atol=0.51)


@pytest.mark.parametrize("name", FORMATS)
def test_names_that_no_file_can_follow_are_refused_for_every_format(
    root: Path, tmp_path: Path, name: str
) -> None:
    export = Export([name], root, y_origin="top")
    latin = Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.mrc"))
    with pytest.raises(CryofixError, match=r"caf\\xe9\.mrc: the name is not in UTF-8"):
        export.check_names([(latin.name, latin)], tmp_path)
    long = root / f"{'x' * 240}.mrc"
    with pytest.raises(CryofixError, match="leaves no room"):
        export.check_names([(long.name, long)], tmp_path)


def test_relion_is_not_given_a_folder_that_its_files_cannot_name(root: Path) -> None:
    micrographs = [("x.mrc", root / "x.mrc")]
    with pytest.raises(CryofixError, match=r"picks #2.*rename the file or the folder"):
        Export(["star"], root).check_names(micrographs, root / "picks #2")


@pytest.mark.parametrize(
    ("formats", "options", "sentence"),
    [
        (["start"], {}, "format=start is not known.*star"),
        (["cs"], {}, "the format cryosparc needs y_origin"),
        (["star"], {"y_origin": "left"}, "y_origin=left"),
        (["star"], {"options": {"downsample": 4}}, r"write\.downsample is an option of none"),
        (["box"], {"options": {"box_size_px": -5}}, "box_size_px=-5 has to be a number above 0"),
        (["box"], {"options": {"box_size_px": np.inf}}, r"write\.box_size_px=inf has to be"),
        (["tsv"], {"options": {"downsample": 0}}, r"write\.downsample=0 has to be a number"),
        ([], {}, r"format=\[\] writes nothing"),
    ],
)
def test_mistakes_are_said_before_anything_is_picked(
    root: Path, formats: list[str], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CryofixError, match=sentence):
        Export(formats, root, **options)


def test_options_reach_the_formats_that_have_them(root: Path) -> None:
    options = {"box_size_px": 64, "downsample": 2, "kind": None}
    export = Export(["box", "tsv"], root, options=options)
    written, _ = export.write(root.parent / "picks", found(root))
    first = (written["eman"] / "a" / "one.box").read_text().split()
    assert first[2:4] == ["64", "64"]
    x = [int(line.split("\t")[1]) for line in written["topaz"].read_text().splitlines()[1:]]
    assert max(x) <= COLUMNS / 2
