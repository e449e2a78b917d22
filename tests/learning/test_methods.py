"""Methods and pieces on the one loop: each has an effect, and each can be interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from cryofix import masking
from cryofix.config import build, config_folder, to_plain
from cryofix.data.batches import batched
from cryofix.data.intensity import change_intensity
from cryofix.experiment.progress import Display
from cryofix.experiment.sharing import stage_folder
from cryofix.experiment.stages import Experiment
from cryofix.learning.checkpoint import load_checkpoint
from cryofix.learning.prior import estimate_prior
from cryofix.learning.views import LABELLED_VIEW
from cryofix.reporting.console import quieten
from support import SMALL, results, run_train

PIECES = {
    "ge_kl": ["regulariser=ge_kl"],
    "nnpu": ["regulariser=nnpu"],
    "less_supervised": ["regulariser=nnpu", "regulariser.supervised_weight=0"],
    "noise2void": ["auxiliary=noise2void"],
    "cutmix": ["augment.cutmix.probability=1"],
    "feature_dropout": ["augment.feature_dropout.share=0.5"],
    "own_view": ["augment.feature_dropout.share=0.5", "augment.feature_dropout.view=own"],
    "two_views": ["augment.strong_views=2"],
    "frozen": ["teacher=frozen", "teacher.share=1"],
    "fewer_micrographs": ["teacher=frozen"],
    "mse": ["unlabelled.loss=mse"],
    "clipping": ["trainer.gradient_clip_val=0.001"],
}
METHODS = {
    "mean_teacher": ["method=mean_teacher", "regulariser=ge_kl"],
    # A round of two steps, interrupted after the third.
    "self_training": ["method=self_training", "teacher.round_steps=2", "regulariser=nnpu"],
    "unimatch": ["method=unimatch", "mask=quota"],
    "bf16": [
        "augment.feature_dropout.share=0.5",
        "unlabelled.batch_norm=shared",
        "regulariser=nnpu",
        "auxiliary=noise2void",
        "trainer.precision=bf16-mixed",
    ],
}


def experiment(folder: Path, *overrides: str) -> Experiment:
    """Return an experiment whose stages can be trained one by one."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        fixed = ["names={data: a, mask: b}", "output=none", "ratio=0.5"]
        # Soft targets follow the teacher where hard ones of a model this young are all background.
        fixed += ["unlabelled.ramp=constant", "mask.target=soft"]
        config = compose("train", overrides=[*fixed, *SMALL, *overrides])
    made = Experiment(
        config=to_plain(config),
        folder=folder,
        shared=None,
        data=build(config.data),
        policy=build(config.mask),
        display=Display(quiet=True),
        guard=build(config.guard),
        regulariser=build(config.regulariser),
        auxiliary=build(config.auxiliary),
    )
    made.prior = estimate_prior(made.data, config.prior.value)
    return made


def trained(folder: Path, steps: int, *overrides: str, masked: bool = True) -> dict[str, Any]:
    """Train the FixMatch stage up to a step, from where the folder's checkpoint is."""
    quieten()
    made = experiment(folder, *overrides)
    return load_checkpoint(
        made.train_stage("fixmatch", None, steps, made.policy if masked else None)
    )


def different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    states = one["state_dict"], other["state_dict"]
    assert states[0].keys() == states[1].keys()
    return [key for key, value in states[0].items() if not torch.equal(value, states[1][key])]


@pytest.fixture(scope="module")
def fixmatch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return trained(tmp_path_factory.mktemp("fixmatch"), 2)


@pytest.mark.parametrize("piece", PIECES)
def test_every_piece_changes_what_is_learnt(
    fixmatch: dict[str, Any], tmp_path: Path, piece: str
) -> None:
    found = trained(tmp_path, 2, *PIECES[piece])["state_dict"]
    key = "network.segmentation_head.0.weight"
    assert not torch.equal(found[key], fixmatch["state_dict"][key])
    assert all(torch.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize("method", METHODS)
def test_a_method_goes_on_where_it_was_interrupted(tmp_path: Path, method: str) -> None:
    straight = trained(tmp_path / "straight", 4, *METHODS[method])
    first = trained(tmp_path / "twice", 3, *METHODS[method])
    again = trained(tmp_path / "twice", 4, *METHODS[method])
    assert (first["global_step"], again["global_step"]) == (3, 4)
    assert different(first, again)
    assert not different(straight, again)


def test_no_further_view_moves_the_running_statistics(tmp_path: Path) -> None:
    still = ["optimiser.learning_rate=0"]  # so that all see the same weights
    control = trained(tmp_path / "control", 3, *still, masked=False)["state_dict"]
    views = trained(tmp_path / "views", 3, *still, "method=unimatch", "regulariser=ge_kl")
    running = [key for key in control if "network" in key and "running" in key]
    assert len(running) > 10
    for key in running:
        assert torch.equal(views["state_dict"][key], control[key]), key


def test_a_run_records_method_prior_and_regulariser(tmp_path: Path) -> None:
    run = tmp_path / "run"
    overrides = ("method=self_training", "mask=quota", "regulariser=nnpu", "prior.value=0.05")
    run_train(*SMALL, "ratio=0.25", *overrides, f"output={run}")
    content = results(run)
    assert content["method"] == "self_training"
    assert content["prior"] == 0.05
    assert content["prior_estimate"]["source"] == "given"
    assert "only labelled micrograph" in content["prior_estimate"]["labels"]["resampled"]
    status = json.loads((run / "status.json").read_text())
    assert status["prior"] == content["prior_estimate"]
    state = load_checkpoint(run / "checkpoints/fixmatch/last.ckpt")["state_dict"]
    assert int(state["frozen.chosen"].sum()) == -(-len(state["frozen.chosen"]) // 2)
    control = load_checkpoint(run / "checkpoints/supervised/last.ckpt")["state_dict"]
    assert not [key for key in control if key.startswith("frozen")]


def test_a_given_prior_changes_neither_burn_in_nor_control(tmp_path: Path) -> None:
    keys = {
        stage_folder(tmp_path, experiment(tmp_path, *overrides).config)
        for overrides in (
            [],
            ["prior.value=0.1"],
            ["method=unimatch"],
            ["method=self_training", "regulariser=nnpu"],
            ["augment.strong.noise=2", "augment.cutout.holes=0", "unlabelled.weight=3"],
        )
    }
    assert len(keys) == 1
    others = {
        stage_folder(tmp_path, experiment(tmp_path, override).config)
        for override in ("augment.weak.noise=0.2", "teacher.decay=0.9", "data.tile_px=32")
    }
    assert len(others | keys) == 4
    biases = [
        experiment(tmp_path, *value)
        ._module(None, 0)
        .network.state_dict()["segmentation_head.0.bias"]
        for value in ([], ["prior.value=0.3"])
    ]
    assert torch.equal(*biases)


def test_the_guard_knows_what_is_thought_of_the_prior(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ForkError(Exception):
        pass

    def stage(*_: object) -> None:
        raise ForkError

    made = experiment(tmp_path)
    monkeypatch.setattr(Experiment, "train_stage", stage)
    with pytest.raises(ForkError):
        made.run()
    assert made.guard.prior is made.prior


def test_a_switch_starts_from_the_average_and_can_be_interrupted(
    tmp_path: Path, unhealthy: None
) -> None:
    overrides = (
        "guard.action=switch",
        "guard.switch_to={_target_:cryofix.masking.Quota}",
        "guard.warm_up=2",
        "guard.patience=1",
    )
    switched = trained(tmp_path / "halves", 3, *overrides)
    state = switched["state_dict"]
    assert state["switched"]
    assert not trained(tmp_path / "before", 2, *overrides)["state_dict"]["switched"]
    average = {
        key: value for key, value in state.items() if key.startswith("average.average.module.")
    }
    assert average
    for key, value in average.items():
        assert torch.equal(value, state[key.replace("average.average.module.", "network.")]), key
    moments = switched["optimizer_states"][0]["state"].values()
    assert not any(one["exp_avg"].any() for one in moments)
    assert any(one["exp_avg_sq"].any() for one in moments)
    second = trained(tmp_path / "halves", 5, *overrides)
    assert different(second, trained(tmp_path / "whole", 5, *overrides)) == []


@pytest.mark.parametrize(("kind", "after"), [("self", "ema"), ("ema", "ema"), ("frozen", "frozen")])
def test_no_student_teaches_itself_after_a_switch(tmp_path: Path, kind: str, after: str) -> None:
    made = experiment(tmp_path, f"teacher={kind}")
    made.data.setup()
    module = made._module(made.policy, 0)
    assert module.teacher.kind == kind
    module.switched.fill_(True)
    module.on_train_start()
    assert module.teacher.kind == after
    weak = torch.randn(2, 1, 32, 32)
    module.network.requires_grad_(False)
    for weights in module.average.network.parameters():
        weights.add_(0.1)
    teacher = {"ema": module.average, "frozen": module.frozen}[after]
    assert teacher is not None
    assert torch.equal(module.teacher(weak), teacher(weak))
    if kind == "self":
        assert not torch.equal(module.teacher(weak), module.network.eval()(weak))


@pytest.mark.parametrize(
    ("mask", "state", "share"),
    [("adamatch", "labelled", 0.5), ("bernoulli", "learnt", 0.5), ("adamatch", "labelled", 0.0)],
)
def test_means_on_labels_are_the_teachers_on_tiles_placed_without_regard_to_particles(
    tmp_path: Path, mask: str, state: str, share: float
) -> None:
    tiling = ("data.batch_labelled=8", "data.tile_px=96", f"data.centred_share={share}")
    overrides = (f"mask={mask}", *tiling)
    made = experiment(tmp_path / "expected", *overrides)
    teacher = made._module(made.policy, 0).average.eval()  # before the first step: the student's
    stream = made.data.stream("labelled")
    tiles = [stream[index] for index in range(8)]
    uniform = torch.tensor([share == 0 or tile["uniform"] for tile in tiles])
    assert uniform.any()
    assert uniform.all() == (share == 0)
    batch = batched(tiles)
    weak = change_intensity(
        batch["image"], made._module(None, 0).settings.views.weak, 0, LABELLED_VIEW, batch["index"]
    )
    with torch.no_grad():
        p = torch.sigmoid(teacher(weak))[uniform]
    valid, particle = batch["valid"][uniform], batch["target"][uniform] > 0.5
    expected = {
        "adamatch": [p[valid].mean(), torch.maximum(p, 1 - p)[valid].mean()],
        "bernoulli": [1 - p[valid & ~particle].mean(), p[valid & particle].mean()],
    }[mask]
    prefix = f"policy.{state}"
    found = trained(tmp_path / "one", 1, *overrides)["state_dict"]
    torch.testing.assert_close(found[f"{prefix}.value"], torch.stack(expected))
    for steps, updates in ((masking.LABELS_EVERY, 1), (masking.LABELS_EVERY + 1, 2)):
        found = trained(tmp_path / "one", steps, *overrides)["state_dict"]
        assert found[f"{prefix}.updates"].tolist() == [updates, updates]
