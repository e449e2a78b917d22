import csv
import io
import json
import math
import shlex
from pathlib import Path

import hydra
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from cryofix.config import config_folder, to_plain
from cryofix.diagnosis.diagnosis import Diagnosis, diagnose
from cryofix.diagnosis.diagnosis_figures import write_figures
from cryofix.diagnosis.map_figure import map_figure
from cryofix.diagnosis.observation import FIXMATCH, Example, Observation
from cryofix.diagnosis.policies import apply_policy, build_policy
from cryofix.diagnosis.remedy import NO_DRIFT
from cryofix.diagnosis.terminal import show
from cryofix.diagnosis.verdict import words
from cryofix.diagnosis.written_tables import write_files
from cryofix.errors import CryofixError
from cryofix.masking import (
    ClassAware,
    FreeMatch,
    InverseKeep,
    MaskingPolicy,
    NoMask,
    Quota,
    SoftWeight,
    Symmetric,
)
from cryofix.metrics.histogram import ProbabilityHistogram

Teacher = tuple[NDArray[np.float32], NDArray[np.bool_]]


def observed(
    p: NDArray[np.float32],
    truth: NDArray[np.bool_] | None = None,
    prior: float | None = None,
    example: Example | None = None,
) -> Observation:
    histogram = ProbabilityHistogram.from_arrays(p, truth)
    prior = histogram.prior() if prior is None else prior
    return Observation("test.npy", histogram, example, prior, histogram, histogram, FIXMATCH)


@pytest.fixture
def collapsing(reference: NDArray[np.float32]) -> Diagnosis:
    return diagnose(observed(reference, prior=0.04), Symmetric(0.7))


def training_policy(overrides: str) -> MaskingPolicy:
    """Build the policy that the training command would, with a line pasted behind it."""
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("train", shlex.split(overrides))
    return build_policy(to_plain(config.mask))


def test_the_reference_run_is_explained_in_words(collapsing: Diagnosis) -> None:
    said = words(collapsing)
    assert said["finding"] == (
        "the mask symmetric keeps 24.2 % of what is predicted as particle against 82.9 % of"
        " background: drift \N{MINUS SIGN}1.23"
    )
    assert "falls below 10 % after 2 teacher generations" in said["outlook"]
    assert "3.3 % of all pixels are predicted as particle, 0.82 times the prior" in said["note"]
    assert "0.24 times the prior, which is not healthy" in said["note"]


@pytest.mark.parametrize(
    "policy",
    [Symmetric(0.7), ClassAware(0.9, 0.3), SoftWeight(), FreeMatch()],
    ids=lambda policy: policy.describe(),
)
def test_the_remedy_can_be_pasted_and_has_no_drift(policy: MaskingPolicy, teacher: Teacher) -> None:
    diagnosis = diagnose(observed(*teacher), policy)
    remedy = diagnosis.remedy
    assert remedy is not None
    assert remedy.overrides in words(diagnosis)["remedy"]
    pasted = training_policy(remedy.overrides)
    masked = apply_policy(pasted, diagnosis.histogram, diagnosis.context)
    drift = masked.rates(None)["drift"]
    assert drift == remedy.rates["drift"]
    assert drift == pytest.approx(0, abs=NO_DRIFT)


def test_every_alternative_is_a_configuration_of_the_training_command(
    collapsing: Diagnosis,
) -> None:
    names = {training_policy(change.overrides).name for change in collapsing.changes}
    assert names == {"class_aware", "adsh", "quota", "none"}


def test_the_remedy_is_the_smallest_change(collapsing: Diagnosis) -> None:
    remedy = collapsing.remedy
    assert remedy is not None
    assert remedy.overrides.startswith("mask=class_aware mask.particle_threshold=0.5")
    assert remedy.overrides.endswith("mask.background_threshold=0.3")
    # Of 3.27 % particles the keep rate goes from 24.2 to 82.9 %.
    assert remedy.changed == pytest.approx(0.0327 * (0.829 - 0.242), rel=0.02)
    assert all(remedy.changed <= each.changed + 1e-4 for each in collapsing.changes if each.cures)


def test_saturated_teachers_get_enough_decimals() -> None:
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(9, 1, 4000), rng.normal(-11, 2, 96_000)])
    p = (1 / (1 + np.exp(-logits))).astype(np.float32)
    diagnosis = diagnose(observed(p, prior=0.04), ClassAware(0.9999, 0.01))
    assert diagnosis.remedy is not None
    assert abs(diagnosis.remedy.rates["drift"] or 1) <= NO_DRIFT


def test_a_mask_without_drift_needs_no_change(teacher: Teacher) -> None:
    said = words(diagnose(observed(*teacher), NoMask()))
    assert "no change is needed" in said["remedy"]
    assert "changes nothing" in said["outlook"]
    # DESIGN fact 3: what no mask does not cure is said all the same.
    over = words(diagnose(observed(teacher[0], prior=0.02), NoMask()))
    assert "no threshold alone cures that" in over["note"]


def test_equivalences_are_found_by_trying(teacher: Teacher) -> None:
    def found(policy: MaskingPolicy) -> str:
        return "; ".join(diagnose(observed(*teacher), policy).equivalents)

    assert "symmetric" in found(ClassAware(0.8, 0.2))
    assert "0.8" in found(ClassAware(0.8, 0.2))
    assert "keeps every pixel" in found(Symmetric(0.5))
    assert found(ClassAware(0.6, 0.2)) == ""


def test_what_relabels_is_said_to(teacher: Teacher) -> None:
    timid = teacher[0] / (teacher[0] + 6 * (1 - teacher[0]))  # log-odds lowered by log 6
    diagnosis = diagnose(observed(timid, teacher[1]), Quota())
    assert "changes labels or weighs pixels" in words(diagnosis)["finding"]
    assert diagnosis.rates["drift"] != pytest.approx(diagnosis.step, abs=NO_DRIFT)
    assert diagnosis.step > 0
    assert "what the mask teaches raises it" in words(diagnosis)["outlook"]
    assert "no change is needed" in words(diagnosis)["remedy"]
    # A quota that starts near the prior comes to rest there, so nothing is to be changed either.
    assert "corrects itself" in words(diagnose(observed(*teacher), Quota()))["remedy"]


def test_a_teacher_that_still_falls_after_the_last_generation_is_not_said_to_rest(
    teacher: Teacher,
) -> None:
    diagnosis = diagnose(observed(*teacher), Symmetric(0.502))
    recalls = [one.recall or 0.0 for one in diagnosis.course.generations]
    assert len(recalls) == 51
    assert recalls[0] == pytest.approx(0.61, abs=0.01)
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[-1] == pytest.approx(0.22, abs=0.01)
    said = words(diagnosis)
    assert "recall is still falling, in steps that grow (61." in said["outlook"]
    assert "no change is needed" not in said["remedy"]
    assert "corrects itself" not in said["remedy"]


def test_teachers_that_take_turns_are_not_said_to_rest(teacher: Teacher) -> None:
    diagnosis = diagnose(observed(*teacher), Quota(share_end=0.5))
    assert abs(diagnosis.course.generations[-1].step) > 0.01
    assert "swings" in words(diagnosis)["outlook"]


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (np.full(50, 0.1), "no pixel is predicted to be a particle"),
        (np.full(50, 0.9), "every pixel is predicted to be a particle"),
        (np.linspace(0.4, 0.6, 50), "keeps no pixel of either class"),
        (np.array([0.51, 0.01] * 20), "drift minus infinity"),
        (np.array([0.99, 0.49] * 20), "drift infinity"),
        (np.array([0.0, 1.0] * 20), "100.0 % of what is predicted"),
    ],
)
@pytest.mark.parametrize("labelled", [False, True])
def test_empty_classes_are_said_drawn_and_written(
    p: NDArray[np.float64], said: str, labelled: bool, tmp_path: Path
) -> None:
    truth = np.arange(len(p)) % 7 == 0 if labelled else None
    diagnosis = diagnose(observed(p.astype(np.float32), truth), Symmetric(0.7))
    assert said in words(diagnosis)["finding"]
    write_files(diagnosis, tmp_path)
    if labelled:
        write_figures(diagnosis, tmp_path)
    show(diagnosis, tmp_path, Console(file=io.StringIO()))
    json.loads((tmp_path / "diagnosis.json").read_text(), parse_constant=pytest.fail)


def test_no_pixels_and_wrong_progress_are_refused(teacher: Teacher) -> None:
    with pytest.raises(CryofixError, match=r"test\.npy has no valid pixel"):
        diagnose(observed(np.zeros(0, np.float32)), NoMask())
    with pytest.raises(CryofixError, match="progress=2"):
        diagnose(observed(*teacher), NoMask(), progress=2)


def test_a_mask_that_needs_what_is_not_known_says_so(teacher: Teacher) -> None:
    policy = Symmetric(0.7, at_least_precision=True)
    with pytest.raises(CryofixError, match=r"mask\.at_least_precision"):
        diagnose(observed(teacher[0], prior=0.04), policy)
    p, truth = teacher
    precision = truth[p >= 0.5].mean()
    assert precision < 0.7  # the threshold stands
    assert diagnose(observed(p, truth), policy).rates["kept"] == pytest.approx(
        (np.maximum(p, 1 - p) >= np.float32(0.7)).mean()
    )


def test_the_files_hold_the_tables(teacher: Teacher, tmp_path: Path) -> None:
    diagnosis = diagnose(observed(*teacher), InverseKeep(Symmetric(0.7)))
    write_files(diagnosis, tmp_path)
    with (tmp_path / "keep_rates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["threshold"] for row in rows] == [
        *("0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95", "")
    ]
    assert rows[-1]["mask"] == "inverse_keep"
    content = json.loads((tmp_path / "diagnosis.json").read_text())
    assert {
        *("schema", "source", "pixels", "pixels_with_truth", "prior", "mask", "verdict"),
        *("keep_rates", "mask_keep_rates", "generations", "outcome", "remedy", "alternatives"),
        *("equivalent_to", "scores", "outcome_after_generations"),
    } <= set(content)
    for row, kept in zip(rows, content["keep_rates"], strict=False):
        for key in ("kept", "drift", "pseudo_precision", "share_over_prior"):
            assert row[key] == ("" if kept[key] is None else str(kept[key]))
    assert content["scores"]["recall"] == pytest.approx((teacher[0][teacher[1]] >= 0.5).mean())


def test_the_terminal_shows_the_reference_table(collapsing: Diagnosis, tmp_path: Path) -> None:
    stream = io.StringIO()
    show(collapsing, tmp_path, Console(file=stream, width=110))
    text = stream.getvalue()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    table = {row[0]: row[1:5] for row in cells if len(row) == 7}
    assert table["0.50"] == ["100.0", "3.3", "100.0", "100.0"]
    assert table["0.60"] == ["95.5", "1.9", "56.8", "96.8"]
    assert table["0.70"] == ["81.0", "1.0", "24.2", "82.9"]
    assert table["0.80"] == ["47.8", "0.5", "7.4", "49.1"]
    assert table["0.90"] == ["15.1", "0.3", "1.5", "15.6"]
    assert table["this mask"] == table["0.70"]
    assert "\n  mask=class_aware mask.particle_threshold=0.5" in text
    assert "true class" not in text


def test_figures_show_what_there_is(teacher: Teacher, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    p = rng.permutation(teacher[0])[:10_000].reshape(100, 100)
    truth, valid = p > 0.4, np.ones(p.shape, np.bool_)
    valid[:10] = False
    example = Example("m1", rng.normal(size=p.shape).astype(np.float32), p, truth, valid, True)
    diagnosis = diagnose(observed(*teacher, example=example), ClassAware())
    paths = write_figures(diagnosis, tmp_path / "figures")
    names = {"keep_rates", "probabilities", "generations", "calibration", "map"}
    assert {path.stem for path in paths} == names
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) > 400
            assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    bare = diagnose(observed(teacher[0]), ClassAware())
    names = {path.stem for path in write_figures(bare, tmp_path / "bare")}
    assert names == {"keep_rates", "probabilities", "generations"}


def test_the_map_paints_kept_ignored_and_wrong_apart(teacher: Teacher, tmp_path: Path) -> None:
    p = np.full((40, 40), 0.1, np.float32)  # kept as background
    p[:20, :20] = 0.9  # kept as particle
    p[20:, :20] = 0.6  # ignored
    p[:20, 20:] = 0.8  # kept as particle, and wrong
    truth = np.zeros(p.shape, np.bool_)
    truth[:, :20] = True
    example = Example("m", np.zeros_like(p), p, truth, np.ones(p.shape, np.bool_), True)
    diagnosis = diagnose(observed(*teacher), Symmetric(0.7))
    figure = map_figure(diagnosis, example)
    painted = np.asarray(figure.axes[1].images[0].get_array())
    colours = [tuple(painted[row, column]) for row in (5, 35) for column in (5, 35)]
    assert len(set(colours)) == 4
    assert colours[2] == (0.5, 0.5, 0.5)  # bare ground
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "kept as particle, 50.0 %",
        "kept as background, 25.0 %",
        "kept and wrong, 25.0 %",
        "ignored, 25.0 %",
    ]


def test_a_step_of_minus_infinity_is_null_in_the_file(tmp_path: Path) -> None:
    p = np.array([0.51, 0.01] * 20, np.float32)
    diagnosis = diagnose(observed(p), Symmetric(0.7))
    assert diagnosis.step == -math.inf
    write_files(diagnosis, tmp_path)
    assert json.loads((tmp_path / "diagnosis.json").read_text())["balance_step"] is None
