"""The guard's judgement, on made-up audits."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from cryofix.errors import CryofixError
from cryofix.experiment import guard as collapse
from cryofix.experiment.guard import CollapseGuard, advice
from cryofix.experiment.judgement import measures
from cryofix.learning.prior import Prior
from cryofix.learning.settings import StageSettings, Steps, TeacherSettings, Unlabelled
from cryofix.masking import MaskingPolicy, Quota, Symmetric
from cryofix.metrics.rates import Rates

PRIOR = 0.04
HEALTHY = {"drift": 0.0, "kept share": 0.0, "predicted share": 0.0}
HIGH = {**HEALTHY, "kept share": 0.6}
NOTHING = dict.fromkeys(
    ("particle_keep", "background_keep", "particle_share", "predicted_positive")
)


def audit(
    particle: float | None, background: float, share: float, positive: float
) -> dict[str, float | None]:
    return {
        "particle_keep": particle,
        "background_keep": background,
        "particle_share": share,
        "predicted_positive": positive,
    }


def pair(average: float, student: float, score: str = "pixel_f1") -> dict[str, float]:
    return {score: average, f"student_{score}": student}


def predicting(guard: CollapseGuard, share: float = 0.0) -> CollapseGuard:
    """Let a guard see ten audits of a model that predicts e^share times the prior."""
    for step in range(10):
        assert not guard.judge({**HEALTHY, "predicted share": share}, step)
    return guard


def steps_until_change(guard: CollapseGuard, measured: dict[str, float], most: int = 100) -> int:
    for step in range(1, most + 1):
        if guard.judge(measured, step):
            return step
    return 0


def test_the_reference_run_is_measured_as_its_table_says() -> None:
    measured = measures(audit(0.242, 0.829, 0.010, 0.033), (0.033, 0.033))
    assert measured["drift"] == pytest.approx(-1.23, abs=0.005)
    assert measured["kept share"] == pytest.approx(math.log(0.010 / 0.033))
    assert measured["predicted share"] == pytest.approx(0)


def test_the_reference_run_raises_the_alarm_once_its_predictions_follow_the_drift() -> None:
    guard = CollapseGuard()
    measured = measures(audit(0.242, 0.829, 0.010, 0.033), (0.033, 0.033))
    assert steps_until_change(guard, measured) == 0  # all that is predicted is still predicted
    assert guard.record.min_drift == pytest.approx(-1.23, abs=0.005)
    fewer = measures(audit(0.2, 0.829, 0.0045, 0.018), (0.033, 0.033))
    assert steps_until_change(guard, fewer) > 0
    assert "towards background" in guard.cause() or "kept as particle" in guard.cause()


@pytest.mark.parametrize("threshold", [(-1.25, -1.6), (-1.9, -2.4)], ids=["0.90", "0.95"])
def test_a_strict_threshold_whose_predictions_stay_is_healthy(
    threshold: tuple[float, float],
) -> None:
    drift, kept = threshold
    guard = CollapseGuard()
    for step in range(300):
        share = -0.35 + 0.2 * math.sin(step / 9)  # as tiles have more particles or fewer
        measured = {"drift": drift, "kept share": kept, "predicted share": share}
        assert not guard.judge(measured, step, early=step < 100)
    assert not guard.record.alarmed


def test_a_collapse_at_a_strict_threshold_is_said_before_half_of_the_predictions_are_gone() -> None:
    guard, drift = predicting(CollapseGuard()), -1.9
    for step in range(1, 200):
        share = -0.02 * step  # a fiftieth less at each step
        if guard.judge({"drift": drift, "kept share": drift + share, "predicted share": share}, 0):
            break
    assert math.exp(share) > 0.4


@pytest.mark.parametrize(
    ("share", "times"), [(0.01, 0.5), (0.02, 1), (0.03, 1), (0.04, 1), (0.2, 5)]
)
def test_shares_are_compared_with_the_nearer_end_of_what_is_thought_of_the_prior(
    share: float, times: float
) -> None:
    measured = measures(audit(1.0, 1.0, share, share), (0.02, 0.04))
    assert measured["kept share"] == measured["predicted share"] == pytest.approx(math.log(times))


@pytest.mark.parametrize(
    "measured",
    [
        {"drift": -2.0, "kept share": -0.6, "predicted share": -0.6},
        {**HEALTHY, "drift": 2.0, "kept share": 0.6},
        {**HEALTHY, "kept share": -3.0, "predicted share": -0.6},
        {**HEALTHY, "predicted share": 2.0},
    ],
)
def test_each_number_can_raise_it_by_itself(measured: dict[str, float]) -> None:
    guard = predicting(CollapseGuard())
    assert steps_until_change(guard, measured) > 0


def test_a_drift_without_harm_to_what_is_kept_is_none() -> None:
    assert steps_until_change(CollapseGuard(), {**HEALTHY, "drift": -2.0, "kept share": -0.5}) == 0


def test_audits_of_neighbouring_steps_are_averaged_longer() -> None:
    """A few bad batches in a row are one bad draw of tiles where each step is audited."""
    bad = {**HEALTHY, "kept share": 2.0}
    early, late = CollapseGuard(warm_up=0), CollapseGuard(warm_up=0)
    early.judge(HEALTHY, 0, early=True)
    late.judge(HEALTHY, 0)
    assert not any(early.judge(bad, step, early=True) for step in range(1, 9))
    assert any(late.judge(bad, step) for step in range(1, 9))


@pytest.mark.parametrize("side", [-1, 1])
def test_a_drift_back_to_the_prior_heals(side: int) -> None:
    """Quota keeps .46 of predicted particles and .81 of background where too many are seen."""
    guard = CollapseGuard()
    measured = {**HEALTHY, "drift": -2.0 * side, "kept share": 0.5 * side}
    assert steps_until_change(guard, measured) == 0


def test_a_healthy_run_with_noise_stays_silent() -> None:
    guard = CollapseGuard()
    for step in range(200):
        noise = 0.8 * math.sin(1.7 * step)
        assert not guard.judge({**HEALTHY, "drift": noise, "kept share": noise}, step)
    assert not guard.record.alarmed


def test_one_bad_audit_is_not_sustained() -> None:
    guard = CollapseGuard()
    for step in range(60):
        drift = -4.0 if step % 20 == 10 else 0.0
        assert not guard.judge({**HEALTHY, "drift": drift}, step)


def test_the_alarm_needs_more_than_the_edge_to_end() -> None:
    guard = CollapseGuard(drift=1.0)
    assert steps_until_change(guard, {**HIGH, "drift": 1.5}) > 0
    assert steps_until_change(guard, {**HIGH, "drift": 0.8}) == 0
    assert steps_until_change(guard, HEALTHY) > 0
    assert guard.record.alarmed  # it was


def test_no_kept_particle_at_all_is_finite_and_alarms() -> None:
    measured = measures(audit(0.0, 0.9, 0.0, 0.02), (PRIOR, PRIOR))
    assert math.isfinite(sum(measured.values()))
    assert steps_until_change(predicting(CollapseGuard()), measured) > 0


def test_nothing_predicted_is_a_collapse_too() -> None:
    measured = measures(audit(None, 1.0, 0.0, 0.0), (PRIOR, PRIOR))
    assert 0 < steps_until_change(predicting(CollapseGuard()), measured) < 10


def test_a_young_model_that_predicts_few_is_healthy_while_it_predicts_no_fewer() -> None:
    """A burn-in of 250 steps predicts a third of the prior, in one batch more, in others less."""
    guard = CollapseGuard()
    for step in range(300):
        share = -1.15 + 0.25 * math.cos(step / 9)
        measured = {"drift": -0.4, "kept share": share - 0.4, "predicted share": share}
        assert not guard.judge(measured, step, early=step < 100)
    assert guard.learnt


def test_a_model_that_has_not_learnt_to_predict_particles_has_none_to_lose() -> None:
    nothing = measures(audit(None, 1.0, 0.0, 0.0), (PRIOR, PRIOR))
    few = measures(audit(0.1, 0.9, 0.001, 0.004), (PRIOR, PRIOR))
    guard = CollapseGuard()
    assert steps_until_change(guard, nothing) == steps_until_change(guard, few) == 0
    assert steps_until_change(guard, {**HEALTHY, "predicted share": -0.9}, 20) == 0
    assert steps_until_change(guard, nothing) > 0


def test_a_model_that_has_not_learnt_may_flood() -> None:
    guard = CollapseGuard()
    guard.judge(measures(audit(None, 1.0, 0.0, 0.0), (PRIOR, PRIOR)), 1)
    assert steps_until_change(guard, {**HEALTHY, "predicted share": 2.0}) > 0


def test_where_no_pixel_reaches_a_half_the_student_is_judged_by_rank() -> None:
    guard = CollapseGuard(lost_patience=2)
    ranks = "pixel_average_precision"
    for step, student in enumerate((0.3, 0.35, 0.25), start=1):
        scores = pair(0.0, 0.0) | pair(0.4, student, ranks)
        assert not guard.judge_student(scores, step)
    lost = pair(0.02, 0.0) | pair(0.4, 0.1, ranks)
    assert [guard.judge_student(lost, step) for step in (4, 5)] == [False, True]
    assert "student's pixel average precision on validation is 0.10" in guard.cause()
    assert "best, 0.40" in guard.cause()


def test_ranks_that_are_as_good_as_chance_say_nothing() -> None:
    guard = CollapseGuard()
    scores = pair(0.0, 0.0) | pair(0.05, 0.01, "pixel_average_precision")
    assert not any(guard.judge_student(scores, step) for step in range(10))


def test_a_student_that_loses_its_particles_on_validation_alarms_whatever_the_shares() -> None:
    guard = CollapseGuard(lost_patience=2)
    steps_until_change(guard, HEALTHY, 5)
    scores = [(0.6, 0.55), (0.7, 0.34), (0.7, 0.36), (0.6, 0.3), (0.6, 0.34)]
    alarms = [guard.judge_student(pair(*f1), 10 * step) for step, f1 in enumerate(scores, 1)]
    assert alarms == [False, False, False, False, True]
    assert guard.record.first_step == 50
    assert (
        "is 0.34, in 2 validations in a row, below half of the average's best, 0.70"
        in guard.cause()
    )
    assert steps_until_change(guard, HEALTHY) == 0  # it stays until the student is back
    assert not guard.judge_student(pair(0.6, 0.5), 60)
    assert steps_until_change(guard, HEALTHY) == guard.patience


def test_an_alarm_of_the_shares_is_not_raised_again_by_the_student() -> None:
    guard = CollapseGuard()
    assert steps_until_change(guard, {**HEALTHY, "kept share": 3.0}) > 0
    assert not guard.judge_student(pair(0.6, 0.1), 20)
    assert "kept as particle" in guard.cause()


def test_a_collapse_before_the_first_validation_is_measured_against_the_fork() -> None:
    guard = CollapseGuard()
    guard.best = {"pixel_f1": 0.6}  # as the experiment sets it
    assert guard.judge_student(pair(0.0, 0.0), 100)
    assert "0.00, below half of the average's best, 0.60" in guard.cause()


@dataclass
class Module:
    """Stands for the module in training, whatever its class."""

    audited: Rates
    validated: dict[str, float]
    policy: Any = None
    prior: float = 0.08
    first_step: int = 0
    steps: Steps = field(default_factory=lambda: Steps(audit_every=1))
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    settings: StageSettings = field(default_factory=lambda: StageSettings(prior=0.08, seed=0))
    switched: Tensor = field(default_factory=lambda: torch.tensor(False))
    switches: int = 0

    def log_scalars(self, *_: Any) -> None:
        """Keep nothing."""

    def switch(self) -> None:
        self.switched.fill_(True)
        self.switches += 1


class TrainerStub:
    """Stands for Lightning's."""

    loggers: tuple[()] = ()
    is_global_zero = True
    should_stop = False
    global_step = 0


@pytest.fixture
def run_callback(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what hands audits and validations to a guard, as training does."""
    monkeypatch.setattr(collapse, "FixMatch", Module)

    def run(guard: CollapseGuard, module: Module, steps: int, validate: bool = False) -> Any:
        guard.console = Console(quiet=True)
        trainer: Any = TrainerStub()
        for step in range(1, steps + 1):
            trainer.global_step = step
            guard.on_train_batch_end(trainer, module, None, None, step)  # type: ignore[arg-type]
            if validate:
                guard.on_validation_end(trainer, module)  # type: ignore[arg-type]
        return trainer

    return run


def test_a_batch_without_a_pixel_that_counts_says_nothing(run_callback: Callable[..., Any]) -> None:
    """In self-training a batch may hold no tile of a micrograph of the round."""
    guard, empty = CollapseGuard(), Module({**audit(0.5, 0.5, 0.04, 0.04), **NOTHING}, {})
    run_callback(guard, Module(audit(0.9, 0.9, 0.08, 0.08), {}), 20)
    before = guard.state_dict()
    run_callback(guard, empty, 50)
    assert guard.state_dict() == before
    assert not guard.alarm


def test_what_is_thought_of_the_prior_decides_in_training(run_callback: Callable[..., Any]) -> None:
    """The labels say 2 %, validation says 8 %, and so does the model: it is right."""
    module = Module(audit(1.0, 1.0, 0.08, 0.08), {}, prior=0.02)
    guards = CollapseGuard(), CollapseGuard()
    guards[1].prior = Prior(0.02, None, "", 0.08)
    for guard in guards:
        run_callback(guard, module, 10)
    assert [guard.record.alarmed for guard in guards] == [True, False]


@pytest.mark.parametrize(("particles", "alarmed"), [(0.04, True), (0.0, False)])
def test_a_student_that_is_lost_on_validation_makes_the_guard_act_once(
    run_callback: Callable[..., Any], particles: float, alarmed: bool
) -> None:
    module = Module(audit(1.0, 1.0, 0.04, 0.04), {"pixel_f1": 0.6, "student_pixel_f1": 0.1})
    guard = CollapseGuard(action="switch", switch_to=Quota())
    guard.prior = Prior(0.04, None, "", particles)
    run_callback(guard, module, 4, validate=True)
    assert (module.switches, guard.record.first_step) == ((1, 1) if alarmed else (0, None))
    module.validated["student_pixel_f1"] = 0.6
    run_callback(guard, module, 20, validate=True)  # the alarm ends
    module.validated["student_pixel_f1"] = 0.1
    said: list[dict[str, Any]] = []
    guard.listener = said.append
    run_callback(guard, module, 4, validate=True)
    assert module.switches == alarmed
    assert ["took over at an earlier alarm" in alarm["text"] for alarm in said] == [True] * alarmed


def test_a_checkpoint_of_before_the_student_was_watched_is_read() -> None:
    state = CollapseGuard().state_dict()
    for key in ("best", "lost", "student"):
        del state[key]
    guard = CollapseGuard()
    guard.best = {"pixel_f1": 0.6}
    guard.load_state_dict(state)
    assert guard.best == {"pixel_f1": 0.6}


def test_its_memory_survives_a_checkpoint() -> None:
    whole, first = CollapseGuard(), CollapseGuard()
    for step in range(7):
        for guard in (whole, first):
            guard.judge({**HEALTHY, "drift": -1.3}, step)
            guard.judge_student(pair(0.6, 0.1 if step == 6 else 0.5), step)
    second = CollapseGuard()
    second.load_state_dict(first.state_dict())
    for step in range(7, 20):
        assert whole.judge({**HEALTHY, "drift": -1.3}, step) == second.judge(
            {**HEALTHY, "drift": -1.3}, step
        )
    assert whole.state_dict() == second.state_dict()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"action": "pray"}, r"guard\.action=pray"),
        ({"action": "switch"}, r"guard\.switch_to"),
        ({"drift": 0.0}, r"guard\.drift=0"),
        ({"share": 0.5}, r"guard\.share=0\.5"),
    ],
)
def test_settings_that_make_no_sense_are_said(options: dict[str, Any], named: str) -> None:
    with pytest.raises(CryofixError, match=named):
        CollapseGuard(**options)


def test_a_class_that_no_pixel_is_predicted_to_be_is_kept_at_0_percent() -> None:
    guard = predicting(CollapseGuard())
    guard.latest = audit(None, 0.829, 0.010, 0.0)
    steps_until_change(guard, measures(audit(0.01, 0.829, 0.001, 0.016), (0.033, 0.033)))
    said = guard.cause()
    assert "keeps 0.0 % of predicted particles and 82.9 % of background" in said
    assert "towards background" in said


@pytest.mark.parametrize(
    ("teacher", "policy", "weight", "said"),
    [
        ("self", Symmetric(0.7), 200.0, "teacher=ema mask=quota unlabelled.weight=1"),
        ("ema", Symmetric(0.7), 1.0, "mask=quota"),
        ("self", Quota(), 1.0, "teacher=ema"),
        ("ema", Quota(), 1.0, "steps.burn_in=1400 or more labels, for a better teacher"),
    ],
)
def test_the_advice_is_what_the_run_has_not(
    teacher: str, policy: MaskingPolicy, weight: float, said: str
) -> None:
    settings = StageSettings(
        prior=0.04,
        seed=0,
        teacher=TeacherSettings(kind=teacher),
        unlabelled=Unlabelled(weight=weight),
    )
    module: Any = Module({}, {}, policy, settings=settings)
    assert advice(module) == said
