"""What a stage writes for TensorBoard, read back from its event files."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cryofix.data.array_cache import CachedMicrograph
from cryofix.data.datamodule import CryoDataModule
from cryofix.data.tiles import Annotated
from cryofix.diagnosis.overlay import LegendEntry, Overlay
from cryofix.experiment.dashboard import Dashboard
from cryofix.experiment.dashboard_layout import KEEP, PAGES
from cryofix.experiment.guard import CollapseGuard
from cryofix.experiment.tile_pictures import with_legend
from cryofix.formats import Particles
from cryofix.learning.module import FixMatch
from cryofix.learning.settings import StageSettings, Steps, TeacherSettings
from cryofix.masking import Symmetric
from cryofix.reporting.console import quieten
from cryofix.reporting.plots import BACKGROUND, IGNORED, PARTICLES, WRONG

SIDE = 64
STEPS, FIRST = 4, 10


def micrograph() -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its truth: sure, unsure and missed particles on background."""
    image = np.full((SIDE, SIDE), -2, np.float16)
    truth = np.zeros(image.shape, bool)
    for column, height in ((5, 1.8), (25, 0.3), (45, -1.5)):
        image[20:30, column : column + 10] = height
        truth[20:30, column : column + 10] = True
    return image, truth


class OneMicrograph:
    """As much of a data module as a stage asks for."""

    radius_px, dataset = 5.0, SimpleNamespace(particle_px=10.0, particle_radius_px=5.0)
    scored_partially = False
    has_particles = True

    def __init__(self, folder: Path) -> None:
        image, self.truth = micrograph()
        np.save(folder / "m.npy", image)
        cached = CachedMicrograph(
            "m", folder / "m.mrc", folder / "m.npy", image.shape, image.shape, None
        )
        particles = Particles(x=np.array([9.5, 29.5, 49.5]), y=np.array([24.5] * 3))
        whole = (0.0, 0.0, SIDE - 1.0, SIDE - 1.0)
        self.annotated = Annotated(cached, particles, Particles.empty(), whole)

    def part(self, name: str) -> list[Annotated]:
        return [self.annotated]

    def maps(self, annotated: Annotated) -> tuple[np.ndarray, np.ndarray]:
        return self.truth, np.ones_like(self.truth)

    def tiles(self) -> dict[str, Tensor]:
        image, truth = (torch.from_numpy(part).float()[None, None] for part in micrograph())
        yes = torch.ones_like(truth, dtype=torch.bool)
        return {"image": image, "target": truth, "valid": yes, "known": yes, "visible": yes} | {
            "index": torch.tensor([0])
        }


def train(folder: Path, policy: Symmetric | None, teacher: str = "ema") -> EventAccumulator:
    """Train a stage of four steps with everything that writes events; return these."""
    quieten()
    data = OneMicrograph(folder)
    network = nn.Conv2d(1, 1, 1)
    nn.init.ones_(network.weight)
    nn.init.zeros_(network.bias or torch.empty(0))
    module = FixMatch(
        network,
        policy,
        cast(CryoDataModule, data),
        StageSettings(
            prior=0.07,
            seed=0,
            first_step=FIRST,
            steps=Steps(stage=STEPS, log_every=4, audit_every=2, audit_first=1),
            teacher=TeacherSettings(kind=teacher),
        ),
    )
    batch = {"labelled": data.tiles(), "unlabelled": data.tiles()}
    trainer = Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        max_epochs=-1,
        val_check_interval=STEPS // 2,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=TensorBoardLogger(folder, name="", version=""),
        callbacks=[*([CollapseGuard()] if policy else []), Dashboard()],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    steps: Any = [batch] * STEPS
    first: Any = [0]
    trainer.fit(module, DataLoader(steps, batch_size=None), DataLoader(first, batch_size=None))
    events = EventAccumulator(str(folder), {"images": 0, "tensors": 0, "histograms": 0})
    events.Reload()
    return events


@pytest.fixture(scope="module")
def fixmatch(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
    return train(tmp_path_factory.mktemp("fixmatch"), Symmetric(0.7))


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
    return train(tmp_path_factory.mktemp("supervised"), None)


def tensor(events: EventAccumulator, tag: str) -> np.ndarray:
    return np.asarray(tensor_util.make_ndarray(events.Tensors(tag)[-1].tensor_proto))


def picture(events: EventAccumulator, tag: str) -> np.ndarray:
    encoded = events.Images(tag)[-1].encoded_image_string
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def test_a_stage_of_fixmatch_writes_every_scalar_of_the_page(fixmatch: EventAccumulator) -> None:
    wanted = {tag for charts in PAGES.values() for tags in charts.values() for tag in tags}
    of_partial_labels = {
        *("validation/student_pixel_estimated_f1", "validation/teacher_pixel_estimated_f1"),
        *("validation/particle_positive_unlabelled_f1", "validation/particle_recall_at_expected"),
    }
    assert wanted - set(fixmatch.Tags()["scalars"]) == of_partial_labels | {KEEP}


@pytest.mark.parametrize("name", ["particle", "background"])
def test_each_keep_rate_is_a_run_so_that_it_has_a_colour_of_its_own(
    fixmatch: EventAccumulator, name: str
) -> None:
    folder = Path(fixmatch.path) / f"mask_keep_{name}"
    beside = EventAccumulator(str(folder)).Reload().Scalars(KEEP)
    logged = fixmatch.Scalars(f"mask/{name}_keep")
    assert [(one.step, one.value) for one in beside] == [(one.step, one.value) for one in logged]


def test_audits_are_logged_when_they_are_made(fixmatch: EventAccumulator) -> None:
    for tag in ("mask/drift", "guard/drift"):
        assert [event.step - FIRST for event in fixmatch.Scalars(tag)] == [1, 2, 4]
    assert [event.step for event in fixmatch.Scalars("loss/total")] == [FIRST + 4]


def test_a_mask_that_keeps_no_particle_has_a_drift_to_draw(tmp_path: Path) -> None:
    starving = train(tmp_path, Symmetric(0.87))
    assert starving.Scalars("mask/particle_keep")[-1].value == 0
    background = starving.Scalars("mask/background_keep")[-1].value
    assert starving.Scalars("mask/drift")[-1].value == pytest.approx(np.log(1e-4 / background))


def test_gradient_shares_of_both_classes_are_all_of_it(fixmatch: EventAccumulator) -> None:
    shares = [
        fixmatch.Scalars(f"mask/gradient_{name}_share")[-1].value
        for name in ("particle", "background")
    ]
    assert sum(shares) == pytest.approx(1)
    assert min(shares) > 0


@pytest.mark.parametrize("stage", ["fixmatch", "supervised"])
def test_the_page_has_its_charts_from_any_stage(stage: str, request: Any) -> None:
    events = request.getfixturevalue(stage)
    page = layout_pb2.Layout()
    page.ParseFromString(tensor(events, "custom_scalars__config__").item())
    assert [category.title for category in page.category] == list(PAGES)
    first = page.category[0]
    assert first.title == "Is it collapsing?"
    assert len(first.chart) == 6
    assert list(first.chart[0].multiline.tag) == [f"{KEEP}$"]


def test_teacher_and_student_are_compared_where_they_differ(
    fixmatch: EventAccumulator, supervised: EventAccumulator, tmp_path: Path
) -> None:
    tag = "validation/teacher_pixel_f1"
    averaged = fixmatch.Scalars("validation/pixel_f1")[-1].value
    assert fixmatch.Scalars(tag)[-1].value == averaged
    assert tag not in supervised.Tags()["scalars"]
    assert tag not in train(tmp_path, Symmetric(0.7), teacher="self").Tags()["scalars"]


def test_histograms_of_p_count_the_audited_pixels(
    fixmatch: EventAccumulator, supervised: EventAccumulator
) -> None:
    counts = {}
    for name in ("unlabelled", "true_particle", "true_background"):
        event = fixmatch.Histograms(f"log_odds_of_p/{name}")[-1]
        assert event.step == FIRST + STEPS
        counts[name] = sum(event.histogram_value.bucket)
    assert counts == {"unlabelled": SIDE**2, "true_particle": 300, "true_background": SIDE**2 - 300}
    unsure = fixmatch.Histograms("log_odds_of_p/true_particle")[-1].histogram_value
    above = np.asarray(unsure.bucket)[np.asarray(unsure.bucket_limit) > 0].sum()
    assert above == 200, "the sure and the unsure particle have p above 0.5"
    assert supervised.Tags()["histograms"] == []


@pytest.mark.parametrize("stage", ["fixmatch", "supervised"])
def test_curves_say_what_the_scores_say(stage: str, request: Any) -> None:
    events = request.getfixturevalue(stage)
    right, wrong, left, missed, precision, recall = tensor(events, "precision_recall/pixels")
    half = 50  # of 100 even steps
    assert (right + wrong + left + missed).tolist() == [SIDE**2] * 101
    assert precision[half] == pytest.approx(events.Scalars("validation/pixel_precision")[-1].value)
    assert recall[half] == pytest.approx(events.Scalars("validation/pixel_recall")[-1].value)
    assert tensor(events, "precision_recall/particles").shape == (6, 101)
    assert right[-1] == wrong[-1] == 0, "nothing has p = 1"
    assert precision[-1] == precision[right > 0][-1] > 0, "no spike at recall 0"


def test_the_overlay_shows_kept_ignored_and_missed_pixels(
    fixmatch: EventAccumulator, supervised: EventAccumulator
) -> None:
    shown = picture(fixmatch, "maps/pseudo_labels")
    assert shown.shape[1] == SIDE
    places = {"sure": (25, 10), "unsure": (25, 30), "missed": (25, 50), "background": (50, 50)}
    red, green, blue = (
        {name: int(shown[place][c]) for name, place in places.items()} for c in range(3)
    )
    assert red["sure"] > blue["sure"] + 50, "orange"
    assert blue["background"] > red["background"] + 50, "blue"
    assert red["missed"] > blue["missed"] + 50 < green["missed"], "yellow"
    assert red["unsure"] == green["unsure"] == blue["unsure"], "the bare micrograph"
    assert sorted(supervised.Tags()["images"]) == ["maps/micrograph_and_truth", "maps/p"]
    assert picture(supervised, "maps/micrograph_and_truth").shape == (SIDE, 2 * SIDE, 3)


def test_what_stays_the_same_is_written_once(fixmatch: EventAccumulator) -> None:
    written = {tag: len(fixmatch.Images(tag)) for tag in fixmatch.Tags()["images"]}
    assert written == {"maps/micrograph_and_truth": 1, "maps/p": 2, "maps/pseudo_labels": 2}


@pytest.mark.parametrize(("columns", "lines"), [(60, 4), (600, 2)])
def test_a_legend_breaks_into_lines_that_fit(columns: int, lines: int) -> None:
    colours = (PARTICLES, BACKGROUND, WRONG, IGNORED)
    legend = [LegendEntry(f"entry {number}", colour, None) for number, colour in enumerate(colours)]
    drawn = with_legend(Overlay(np.zeros((10, columns, 3)), legend))
    assert drawn.shape[1] == columns
    pixels = {tuple(pixel) for pixel in drawn.reshape(-1, 3)}
    for colour in colours:
        assert tuple(bytes.fromhex(colour[1:])) in pixels
    letters = max(11, columns // 22)
    assert (len(drawn) - 10) // (1.6 * letters) == lines
