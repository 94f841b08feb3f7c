"""Learning-rate schedules, compared with the documented formulas of other libraries."""

import math
from typing import Any

import pytest

import mxtrain
from mxtrain.optim.rules import Time
from mxtrain.optim.schedules.learning_rate import Cosine, Exp, Fixed, Inv, MultiStep, RateSchedule, Step

AFTER: list[RateSchedule] = [
    Fixed(), Exp(γ=0.5), Inv(), Cosine(T=7, α=0.2), Step(T=3), MultiStep(milestones=(2, 5)),
]  # fmt: skip
every_kind = pytest.mark.parametrize("schedule", AFTER, ids=lambda schedule: schedule.kind)


def with_warmup(schedule: RateSchedule, warmup: int, **changes: Any) -> Any:
    return type(schedule)(**schedule.to_dict() | {"warmup": warmup} | changes)


def test_cosine_is_the_formula_of_pytorch() -> None:
    """`η_min + (η - η_min)·(1 + cos(π·t/T)) / 2`, as in the documentation of `CosineAnnealingLR`."""
    η, η_min, T = 0.3, 0.06, 50
    for t in range(T + 1):
        expected = η_min + (η - η_min) * (1 + math.cos(math.pi * t / T)) / 2
        assert Cosine(η=η, T=T, α=η_min / η).value(t) == pytest.approx(expected, rel=1e-14)


def test_cosine_starts_at_eta_and_is_constant_after_its_end() -> None:
    for α in (0.0, 0.1, 1 / 3):
        schedule = Cosine(η=0.7, T=13, α=α)
        assert schedule.value(0) == 0.7
        assert schedule.value(13) == schedule.value(14) == schedule.value(10**9) == 0.7 * α
        values = [schedule.value(t) for t in range(14)]
        assert values == sorted(values, reverse=True)


def test_step_and_multistep_decay_where_those_of_pytorch_do() -> None:
    """The tables in the documentation of `StepLR` and `MultiStepLR`: lr = 0.05, step_size = 30; milestones = [30, 80]."""
    step, multistep = Step(η=0.05, T=30), MultiStep(η=0.05, milestones=(30, 80))
    for first, last, drops in ((0, 29, 0), (30, 59, 1), (60, 89, 2)):
        assert step.value(first) == step.value(last) == pytest.approx(0.05 * 0.1**drops)
    for first, last, drops in ((0, 29, 0), (30, 79, 1), (80, 10**6, 2)):
        assert multistep.value(first) == multistep.value(last) == pytest.approx(0.05 * 0.1**drops)


@every_kind
@pytest.mark.parametrize("warmup", [1, 4, 1000])
def test_a_warm_up_rises_in_equal_steps_from_above_zero_to_eta(schedule: RateSchedule, warmup: int) -> None:
    warm = with_warmup(schedule, warmup)
    values = [warm.value(t, 0.5) for t in range(warmup + 1)]
    assert values[0] == pytest.approx(0.5 / (warmup + 1))
    assert values[-1] == 0.5
    assert {round(after - before, 12) for before, after in zip(values, values[1:], strict=False)} == {
        round(0.5 / (warmup + 1), 12)
    }


@every_kind
def test_a_warm_up_only_delays_a_schedule(schedule: RateSchedule) -> None:
    warm = with_warmup(schedule, 6)
    assert [warm.value(6 + t, 0.5) for t in range(20)] == [schedule.value(t, 0.5) for t in range(20)]


@every_kind
@pytest.mark.parametrize("per", ["epoch", "iteration"])
def test_schedules_count_epochs_or_iterations(schedule: RateSchedule, per: str) -> None:
    rule = mxtrain.SGD(η=0.5, η_sched=with_warmup(schedule, 2, per=per))
    for epochs in range(5):
        for iteration in range(1, 12):
            finished = epochs if per == "epoch" else iteration - 1
            assert rule.η_sched
            assert rule.learning_rate_at(Time(1, iteration, epochs)) == rule.η_sched.value(finished, 0.5)


@every_kind
def test_the_eta_of_a_schedule_overrides_that_of_the_optimizer(schedule: RateSchedule) -> None:
    own = with_warmup(schedule, 3, η=0.25)
    assert [own.value(t, 99.0) for t in range(9)] == [with_warmup(schedule, 3).value(t, 0.25) for t in range(9)]


@every_kind
def test_without_eta_there_is_an_error(schedule: RateSchedule) -> None:
    with pytest.raises(ValueError, match=f"^{type(schedule).__name__}.value needs a base value"):
        schedule.value(0)
