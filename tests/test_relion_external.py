"""RELION's External job, called as RELION calls it, without RELION."""

import json
import sys
from pathlib import Path
from unittest import mock

import pytest
import starfile

from cryofix.formats import find_micrographs
from cryofix.formats.micrograph_list import listed_pixel_size
from cryofix.relion_job import main, overrides, write_nodes
from disc_finder import draw

JOB = "External/job007/"
TABLE = "MotionCorr/job002/micrographs.star"
OPTICS = """data_optics

loop_
_rlnOpticsGroup
_rlnMicrographPixelSize
1 1.5
2 {}

data_micrographs

loop_
_rlnMicrographName
_rlnOpticsGroup
"""


def list_in_table(*names: str, second_size: float = 1.5) -> None:
    rows = "".join(f"MotionCorr/job002/{name} 1\n" for name in names)
    Path(TABLE).write_text(OPTICS.format(second_size) + rows)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("grid/a.mrc", "other/a.mrc")):
        path = tmp_path / "MotionCorr" / "job002" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(path, (240, 320), pixel_size=None, count=5, seed=number)
    list_in_table("grid/a.mrc", "other/a.mrc")
    return tmp_path


def run(*words: str) -> int:
    argv = ["cryofix.relion_job", "--o", JOB, "--in_mics", TABLE, *words, "--j", "1"]
    with mock.patch.object(sys, "argv", argv), pytest.raises(SystemExit) as stop:
        main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def marker() -> str:
    (path,) = Path(JOB).glob("RELION_JOB_EXIT_*")
    return path.name.removeprefix("RELION_JOB_EXIT_")


def test_the_job_writes_what_relion_looks_for_and_goes_on_where_it_was(
    project: Path, checkpoint: Path
) -> None:
    list_in_table("grid/a.mrc")
    assert run("--checkpoint", str(checkpoint), "--device", "cpu") == 0
    assert marker() == "SUCCESS"
    index = starfile.read(f"{JOB}autopick.star")
    assert index.iloc[0].tolist() == [
        "MotionCorr/job002/grid/a.mrc",
        f"{JOB}relion/grid/a_autopick.star",
    ]
    (first,) = Path(JOB, "results").rglob("*.npz")
    when = first.stat().st_mtime_ns
    list_in_table("grid/a.mrc", "other/a.mrc")
    assert run("--checkpoint", str(checkpoint), "--device", "cpu") == 0
    assert first.stat().st_mtime_ns == when
    index = starfile.read(f"{JOB}autopick.star")
    assert [Path(each).is_file() for each in index["rlnMicrographCoordinates"]] == [True, True]
    record = json.loads(Path(JOB, "written.json").read_text())
    assert record["micrographs"] == 2


def test_the_pixel_size_of_the_table_counts(project: Path) -> None:
    words = ["--o", JOB, "--in_mics", TABLE, "--checkpoint", "run", "--pipeline_control", JOB]
    assert set(overrides(words)) == {
        f"output={JOB}",
        f"micrographs={TABLE}",
        "checkpoint=run",
        "format=star",
        "pixel_size_angstrom=1.5",
        f"write.project={project}",
        f"stop_file={JOB}RELION_JOB_ABORT_NOW",
    }
    assert "pixel_size_angstrom=2" in overrides([*words, "--pixel_size_angstrom", "2"])
    list_in_table("grid/a.mrc", second_size=0.8)
    assert listed_pixel_size(Path(TABLE)) is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--checkpoint", "gone"], "checkpoint=gone does not exist"),
        ([], "--checkpoint is missing"),
        (["--checkpoint", "--j"], "--checkpoint is not a label with a value"),
        (["--checkpoint", "gone", "--treshold", "1"], "did you mean threshold?"),
    ],
)
def test_what_is_wrong_is_said_and_the_job_has_failed(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    Path(JOB).mkdir(parents=True)
    Path(JOB, "RELION_JOB_EXIT_SUCCESS").touch()  # of the run before
    assert run(*words) == 1
    assert sentence in capsys.readouterr().err
    assert marker() == "FAILURE"
    assert not Path(JOB, "RELION_OUTPUT_NODES.star").exists()


def test_a_bad_micrograph_does_not_fail_the_job_and_nothing_but_bad_ones_does(
    project: Path, checkpoint: Path
) -> None:
    Path("MotionCorr/job002/grid/a.mrc").write_bytes(b"no image")
    assert run("--checkpoint", str(checkpoint), "--device", "cpu") == 0
    assert marker() == "SUCCESS"
    Path("MotionCorr/job002/other/a.mrc").unlink()
    assert run("--checkpoint", str(checkpoint), "--device", "cpu") == 2
    assert marker() == "FAILURE"
    assert len(Path(JOB, "failed.tsv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("table", "node", "kind"),
    [
        ("_rlnPipeLineProcessType #3", "relion/coords_suffix_autopick.star", 2),
        (
            "_rlnPipeLineProcessTypeLabel #3",
            "autopick.star",
            "MicrographsCoords.star.relion.autopick",
        ),
        (
            "_rlnPipeLineProcessTypeLabel #3\n_rlnPipeLineNodeTypeLabelDepth #3",
            "autopick.star",
            "MicrographCoordsGroup.star.relion.autopick",
        ),
        ("", "autopick.star", "MicrographCoordsGroup.star.relion.autopick"),
    ],
)
def test_the_node_is_that_of_the_release_which_made_the_job(
    project: Path, table: str, node: str, kind: str | int
) -> None:
    folder = Path(JOB)
    (folder / "relion").mkdir(parents=True)
    index = folder / "relion" / "autopick.star"
    index.write_text("data_\n")
    (folder / "job_pipeline.star").write_text(f"data_pipeline_processes\n\nloop_\n{table}\n")
    write_nodes(folder, index, Path(TABLE))
    written = starfile.read(folder / "RELION_OUTPUT_NODES.star", always_dict=True)
    nodes = written["output_nodes"]
    assert nodes.iloc[0].tolist() == [f"{JOB}{node}", kind]
    assert Path(JOB, node).is_file()


def test_a_star_stands_for_the_micrographs_that_it_lists(project: Path) -> None:
    list_in_table("other/a.mrc", "grid/a.mrc", "other/a.mrc", "gone.mrc")
    names = ("other/a.mrc", "grid/a.mrc", "gone.mrc")
    assert find_micrographs(TABLE) == [Path("MotionCorr/job002", name) for name in names]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("data_\n\nloop_\n_rlnCoordinateX\n1\n", "has no column rlnMicrographName"),
        ("data_\n\nloop_\n_rlnMicrographName\nraw/a.mrc\n", "start in the folder of the RELION"),
    ],
)
def test_a_star_that_lists_nothing_here_is_refused(
    project: Path, content: str, sentence: str
) -> None:
    from cryofix.errors import CryofixError

    Path("list.star").write_text(content)
    with pytest.raises(CryofixError, match=sentence):
        find_micrographs("list.star")
