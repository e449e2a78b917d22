"""Clicks that nobody meant: each is refused in a sentence, or warned of and trained on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cryofix.data.datamodule import CryoDataModule
from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.diagnosis.model_pixels import observe_network
from cryofix.errors import CryofixError
from cryofix.learning.evaluation import confidence_histogram
from cryofix.learning.prior import estimate_prior
from cryofix.metrics.rates import UNKNOWN
from support import message, results, run_train

Place = tuple[float, float]
SPREAD: list[Place] = [(60 + 100 * column, 60 + 100 * row) for row in range(4) for column in (0, 3)]


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four micrographs of 512 x 512 pixels with particles of 48."""
    folder = tmp_path_factory.mktemp("simulated")
    write_dataset(SimulatorConfig(micrographs=4, shape=(512, 512)), folder)
    return folder / "micrographs"


@pytest.fixture
def clicked(micrographs: Path, cache: Path, tmp_path: Path) -> Callable[..., CryoDataModule]:
    """Make a data module of clicks on the first micrograph, and the next ones."""

    def make(*clicks: Sequence[Place], **options: Any) -> CryoDataModule:
        write(tmp_path, *clicks)
        settings = {
            **{"images": str(micrographs), "coordinates": str(tmp_path), "ratio": 1.0, "seed": 0},
            **{"labels": "partial", "particles_per_micrograph": 30.0, "diameter_px": 48.0},
        }
        data = CryoDataModule(cache=str(cache), **{**settings, **options})
        estimate_prior(data)
        return data

    return make


def write(folder: Path, *clicks: Sequence[Place]) -> None:
    """Write one file of clicks for each of the first micrographs."""
    for number, places in enumerate(clicks):
        rows = "".join(f"{x},{y},48\n" for x, y in places)
        text = "X-Coordinate,Y-Coordinate,Diameter\n" + rows
        (folder / f"sim_{number:04d}.csv").write_text(text)


def test_partial_labels_need_tiles_anywhere(clicked: Callable[..., CryoDataModule]) -> None:
    with pytest.raises(CryofixError, match=r"data\.centred_share=1 leaves no tile .* lower it"):
        clicked(SPREAD, centred_share=1.0)


def test_what_no_click_covers_is_not_counted_as_background(
    clicked: Callable[..., CryoDataModule],
) -> None:
    data, network = clicked(SPREAD), torch.nn.Conv2d(1, 1, 1)
    found = confidence_histogram(network, data, data.part("labelled"), torch.device("cpu"))
    seen = observe_network(
        "", network, data, "labelled", prior=0.1, mask=None, counter=lambda title, n: lambda: None
    )
    for histogram in (found, seen.histogram):
        assert not histogram.counts[:UNKNOWN].any()
        assert histogram.counts[UNKNOWN].any()
    assert seen.example is not None
    assert seen.example.truth is None


def test_one_click_cannot_teach_and_validate(clicked: Callable[..., CryoDataModule]) -> None:
    with pytest.raises(CryofixError, match=r"of sim_0000 \(1\) are too few.*label more of them"):
        clicked([(200, 200)])


def test_two_clicks_train_and_are_warned_of(
    micrographs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clicks = tmp_path / "clicks"
    clicks.mkdir()
    write(clicks, [(100, 100), (400, 400)])
    run_train(
        *("trainer=smoke", "data=micrographs", f"data.images={micrographs}", "ratio=1"),
        *(f"data.coordinates={clicks}", "data.labels=partial", "data.particles_per_micrograph=30"),
        f"output={tmp_path / 'run'}",
    )
    said = " ".join(" ".join(capfd.readouterr()).split())
    assert f"{clicks}: IT COULD NOT BE CHECKED WHETHER THE LABELS LIE ON PARTICLES" in said
    assert "1 of 2 labelled particles, which are not taught" in said
    assert 0 < results(tmp_path / "run")["supervised"]["particle"]["threshold"] < 1


def test_a_stage_that_other_clicks_taught_is_not_continued(
    micrographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clicks, run = tmp_path / "clicks", tmp_path / "run"
    clicks.mkdir()
    command = (
        *("trainer=smoke", "data=micrographs", f"data.images={micrographs}", "ratio=1"),
        *(f"data.coordinates={clicks}", "data.labels=partial", "data.particles_per_micrograph=30"),
        f"output={run}",
    )
    write(clicks, SPREAD)
    run_train(*command)
    split = (run / "splits.json").read_text()
    (run / "results.json").unlink()
    write(clicks, [*SPREAD, (256, 256)])
    burn_in = run / "checkpoints" / "burn_in" / "last.ckpt"
    assert message(capsys, *command).endswith(
        f"{burn_in} was trained on other labels, or another split, than the data have now:"
        f" delete {run / 'checkpoints'} to train all stages on what they have now"
    )
    assert (run / "splits.json").read_text() == split
    write(clicks, SPREAD)
    run_train(*command)


def test_a_file_without_clicks_is_named(clicked: Callable[..., CryoDataModule]) -> None:
    said = (
        r"sim_0001\.csv lists no particles for sim_0001\.mrc: remove it .* data\.allow_empty=true"
    )
    with pytest.raises(CryofixError, match=said):
        clicked(SPREAD, [])


def test_empty_files_alone_leave_nothing_to_learn_from(
    clicked: Callable[..., CryoDataModule],
) -> None:
    with pytest.raises(CryofixError, match=r"\(0\) are too few"):
        clicked([], allow_empty=True)
    said = r"labelled micrographs \(sim_000.*\) hold no labelled particle.*label particles there"
    with pytest.raises(CryofixError, match=said):
        clicked([], [], [], allow_empty=True)


def test_validation_micrographs_without_a_click_cannot_select(
    clicked: Callable[..., CryoDataModule],
) -> None:
    first = clicked(SPREAD, SPREAD, SPREAD)
    [validated] = first.split.validation
    clicks = [[] if validated == f"sim_{number:04d}" else SPREAD for number in range(3)]
    said = rf"the validation micrographs \({validated}\) hold no .* or set data\.validation=0"
    with pytest.raises(CryofixError, match=said):
        clicked(*clicks, allow_empty=True)
    assert clicked(*clicks, allow_empty=True, validation=0).blocks


def test_clicks_outside_are_named_with_the_size_of_the_image(
    clicked: Callable[..., CryoDataModule], caplog: pytest.LogCaptureFixture
) -> None:
    outside = [*SPREAD, (900.0, 100.0)]
    said = r"sim_0000\.csv, row 9: x = 900 is outside .* 512 columns.* data\.outside=drop"
    with pytest.raises(CryofixError, match=said):
        clicked(outside)
    kept = clicked(outside, outside="drop")
    assert kept.blocks["sim_0000"].known_labels == len(SPREAD)
    assert "1 " in next(text for text in caplog.messages if "outside" in text)


def test_clicks_on_top_of_each_other_are_counted(
    clicked: Callable[..., CryoDataModule], caplog: pytest.LogCaptureFixture
) -> None:
    again = [(x + 5, y - 3) for x, y in SPREAD[:3]]
    clicked([*SPREAD, *again])
    [said] = [text for text in caplog.messages if "a quarter of" in text]
    assert "3 of 11 labels" in said
    assert "remove the doubles" in said
    caplog.clear()
    clicked(SPREAD)
    assert not [text for text in caplog.messages if "a quarter of" in text]


def test_clicks_on_one_particle_alone_cannot_teach_and_validate(
    clicked: Callable[..., CryoDataModule], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CryofixError, match=r"of sim_0000 \(10\) are too few, or too close"):
        clicked([(200 + step, 200) for step in range(10)])
    assert "9 of 10 labels" in caplog.text


def test_clicks_at_the_edge_train_and_it_is_said_that_nobody_could_check_them(
    clicked: Callable[..., CryoDataModule], caplog: pytest.LogCaptureFixture
) -> None:
    edge = [(0.0, 50.0 * number) for number in range(10)]
    stream = clicked(edge).stream("labelled")
    assert any(stream[index]["known"].any() for index in range(20))
    assert "since none of them can be looked at" in caplog.text


def test_clicks_in_the_border_alone_are_refused(clicked: Callable[..., CryoDataModule]) -> None:
    edge = [(5.0, 50.0 * number) for number in range(10)]
    with pytest.raises(CryofixError, match=r"of sim_0000 \(0\) are too few.*data\.border_px"):
        clicked(edge, border_px=20)
    with pytest.raises(CryofixError, match=r"no labelled particle inside.*data\.border_px"):
        clicked(edge, edge, edge, border_px=20)


def test_fewer_particles_than_were_clicked_cannot_be_expected(
    clicked: Callable[..., CryoDataModule],
) -> None:
    said = r"data\.particles_per_micrograph=5 is less than the 8 particles .* labelled or not"
    with pytest.raises(CryofixError, match=said):
        clicked(SPREAD, particles_per_micrograph=5)
