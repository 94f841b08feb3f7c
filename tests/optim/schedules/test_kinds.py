"""Kinds of schedules, compared with independent formulas and with values that other libraries document."""

import math
import random
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import pytest

import mxtrain
from mxtrain.errors import ConfigError
from mxtrain.optim.rules import Time
from mxtrain.optim.schedules.learning_rate import (
    RATE_SCHEDULES,
    Cosine,
    CosineRestarts,
    Exp,
    Fixed,
    InverseSqrt,
    Join,
    Linear,
    OneCycle,
    Piecewise,
    Plateau,
    Polynomial,
    RateSchedule,
    WarmupStableDecay,
)

TIMES = (0, 1, 2, 3, 5, 7, 10, 19, 20, 21, 40, 100, 10**6)


def _linear(t: float, T: float, first: float, last: float) -> float:
    return first + (last - first) * min(t / T, 1)


def _polynomial(t: float, T: float, p: float, first: float, last: float) -> float:
    """`optax.polynomial_schedule`: `(init - end)·(1 - count/steps)^power + end`."""
    return (first - last) * (1 - min(t, T) / T) ** p + last


def _restarts(t: float, T: int, factor: int, first: float, last: float) -> float:
    """`CosineAnnealingWarmRestarts`, by counting steps."""
    length, passed = T, 0
    while t >= passed + length:
        passed, length = passed + length, length * factor
    return last + (first - last) * (1 + math.cos(math.pi * (t - passed) / length)) / 2


def _noam(t: float, warmup: int, peak: float) -> float:
    n = t + 1
    return peak * min(n / warmup, math.sqrt(warmup / n))


def _stable(t: float, T: int, decay: int, share: Callable[[float], float], first: float) -> float:
    u = min(max((t - (T - decay)) / decay, 0), 1)
    return first * share(u)


def _interpolated(t: float, times: list[float], values: list[float]) -> float:
    i = bisect_right(times, t) - 1
    if i == len(times) - 1:
        return values[-1]
    u = (t - times[i]) / (times[i + 1] - times[i])
    return values[i] * (1 - u) + values[i + 1] * u


FORMULAS: list[tuple[RateSchedule, Callable[[float], float]]] = [
    (Linear(η=0.3, T=20), lambda t: _linear(t, 20, 0.3, 0)),
    (Linear(η=0.3, T=7, α=0.25), lambda t: _linear(t, 7, 0.3, 0.075)),
    (Linear(η=0.3, T=7, end=0.9), lambda t: _linear(t, 7, 0.3, 0.9)),
    (Polynomial(η=0.3, T=20), lambda t: _polynomial(t, 20, 1, 0.3, 0)),
    (Polynomial(η=0.3, T=20, p=2.5, end=0.01), lambda t: _polynomial(t, 20, 2.5, 0.3, 0.01)),
    (Cosine(η=0.3, T=20, end=0.5), lambda t: 0.5 - 0.2 * (1 + math.cos(math.pi * min(t / 20, 1))) / 2),
    (CosineRestarts(η=0.3, T=5), lambda t: _restarts(t, 5, 1, 0.3, 0)),
    (CosineRestarts(η=0.3, T=3, T_mult=2, end=0.1), lambda t: _restarts(t, 3, 2, 0.3, 0.1)),
    (CosineRestarts(η=0.3, T=1, T_mult=3, α=0.5), lambda t: _restarts(t, 1, 3, 0.3, 0.15)),
    (InverseSqrt(η=0.3, warmup=3), lambda t: _noam(t, 4, 0.3)),
    (InverseSqrt(η=0.3), lambda t: 0.3 / math.sqrt(t + 1)),
    (InverseSqrt(η=0.3, timescale=100.0), lambda t: 0.3 / math.sqrt(t / 100 + 1)),
    (WarmupStableDecay(η=0.3, T=20, decay=10), lambda t: _stable(t, 20, 10, lambda u: 1 - u, 0.3)),
    (
        WarmupStableDecay(η=0.3, T=20, decay=15, shape="sqrt", α=0.1),
        lambda t: _stable(t, 20, 15, lambda u: 0.1 + 0.9 * (1 - math.sqrt(u)), 0.3),
    ),
    (
        WarmupStableDecay(η=0.3, T=7, decay=7, shape="cosine"),
        lambda t: _stable(t, 7, 7, lambda u: (1 + math.cos(math.pi * u)) / 2, 0.3),
    ),
    (
        Piecewise(η=0.3, times=(2, 10, 20), values=(0.1, 0.5, 0.2)),
        lambda t: _interpolated(t, [0, 2, 10, 20], [0.3, 0.1, 0.5, 0.2]),
    ),
    (
        Piecewise(η=0.3, times=(0, 10), factors=(2.0, 0.5)),
        lambda t: _interpolated(t, [0, 10], [0.6, 0.15]),
    ),
    (
        Piecewise(η=0.3, times=(3, 7), values=(0.1, 0.01), interpolate="none"),
        lambda t: [0.3, 0.1, 0.01][bisect_right([3, 7], t)],
    ),
    (
        Join(η=0.3, parts=({"kind": "linear", "T": 3, "end": 0.6}, {"kind": "exp", "γ": 0.5}), boundaries=(3,)),
        lambda t: _linear(t, 3, 0.3, 0.6) if t < 3 else 0.3 * 0.5 ** (t - 3),
    ),
]


@pytest.mark.parametrize(("schedule", "formula"), FORMULAS, ids=lambda each: getattr(each, "kind", ""))
def test_values_are_those_of_an_independent_formula(schedule: RateSchedule, formula: Callable[[float], float]) -> None:
    assert [schedule.value(t) for t in TIMES] == pytest.approx([formula(t) for t in TIMES], rel=1e-12, abs=1e-15)
    warm = type(schedule)(**schedule.to_dict() | {"warmup": 2})
    if not isinstance(schedule, InverseSqrt):
        assert [warm.value(t + 2) for t in TIMES] == [schedule.value(t) for t in TIMES]
    extremes = [value for _, value in schedule.extreme_values(1.0)]
    low, high = min(extremes), max(extremes)
    falls_towards_0 = isinstance(schedule, InverseSqrt | Join)
    assert all((falls_towards_0 or low - 1e-15 <= schedule.value(t)) and schedule.value(t) <= high for t in TIMES)


def test_linear_has_the_values_in_the_documentation_of_pytorch() -> None:
    """`LinearLR(start_factor=0.5, total_iters=4)` at lr 0.05: 0.025, 0.03125, 0.0375, 0.04375, 0.05."""
    schedule = Linear(η=0.025, T=4, end=0.05)
    assert [schedule.value(t) for t in range(6)] == pytest.approx([0.025, 0.03125, 0.0375, 0.04375, 0.05, 0.05])


def test_polynomial_has_the_values_in_the_documentation_of_pytorch() -> None:
    """`PolynomialLR(total_iters=4, power=1.0)` at lr 0.05: 0.05, 0.0375, 0.025, 0.0125, 0."""
    schedule = Polynomial(η=0.05, T=4)
    assert [schedule.value(t) for t in range(6)] == pytest.approx([0.05, 0.0375, 0.025, 0.0125, 0, 0])


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("T", [2, 10, 33, 100])
def test_one_cycle_follows_the_phases_of_pytorch(anneal: Any, three_phase: bool, T: int) -> None:
    rise, η = 0.3, 0.2
    schedule = OneCycle(η=η, T=T, rise=rise, anneal=anneal, three_phase=three_phase)
    first, last = η / 25, η / 25 / 1e4
    ends = [(rise * T - 1, first, η, 0.95, 0.85)]
    if three_phase:
        ends += [(2 * rise * T - 2, η, first, 0.85, 0.95), (T - 1, first, last, 0.95, 0.95)]
    else:
        ends += [(T - 1, η, last, 0.85, 0.95)]
    for t in range(T):
        begin = 0.0
        for number, (end, start_η, end_η, start_μ, end_μ) in enumerate(ends):
            if t <= end or number == len(ends) - 1:
                u = (t - begin) / (end - begin)
                share = u if anneal == "linear" else (1 - math.cos(math.pi * u)) / 2
                assert schedule.value(t) == pytest.approx(start_η + (end_η - start_η) * share, rel=1e-9)
                assert schedule.momentum(t) == pytest.approx(start_μ + (end_μ - start_μ) * share)
                break
            begin = end
    assert schedule.value(T) == schedule.value(10**6) == pytest.approx(last)
    assert schedule.momentum(T) == 0.95


@pytest.mark.parametrize(
    ("config", "momentum"),
    [
        ({"kind": "sgd"}, "μ"),
        ({"kind": "sgd", "μ": 0.5}, "μ"),
        ({"kind": "adam"}, "β1"),
    ],
)
def test_one_cycle_changes_the_momentum_of_a_rule(config: dict[str, Any], momentum: str) -> None:
    sched = {"kind": "one_cycle", "T": 10, "per": "iteration"}
    rule = mxtrain.build(config | {"η_sched": sched}).rule
    for iteration in range(1, 14):
        time = Time(iteration, iteration)
        assert getattr(rule.at(time), momentum) == OneCycle(T=10).momentum(iteration - 1)
    still = mxtrain.build(config | {"η_sched": sched | {"cycle_momentum": False}}).rule
    assert still.at(Time(5, 5)) is still


def test_continuity_of_pieces() -> None:
    """Neighbouring values of schedules that have no jumps differ little."""
    parts = ({"kind": "linear", "T": 300, "end": 0.8}, {"kind": "cosine", "T": 700, "η": 0.8})
    for schedule in (
        Join(η=0.1, parts=parts, boundaries=(300,)),
        WarmupStableDecay(η=0.5, T=1000, decay=400, shape="cosine", warmup=100),
        Piecewise(η=0.1, times=(100, 500, 900), values=(0.5, 0.2, 0.4), interpolate="cosine"),
        OneCycle(η=0.5, T=1000),
        InverseSqrt(η=0.5, warmup=100),
    ):
        values = [schedule.value(t) for t in range(1100)]
        assert max(abs(b - a) for a, b in zip(values, values[1:], strict=False)) < 0.01


def test_restarts_are_found_at_their_exact_times() -> None:
    for factor in (1.0, 1.1, 1.5, 2.0, 3.0):
        schedule, start = CosineRestarts(η=1.0, T=10, T_mult=factor, γ=0.5), 0.0
        for cycle in range(6):
            first = math.ceil(start - 1e-9)
            assert schedule.value(first) > 0.9 * 0.5**cycle
            if cycle:
                assert schedule.value(first - 1) < 0.5 * 0.5 ** (cycle - 1)
            start += 10 * factor**cycle
    assert CosineRestarts(η=1.0, T=1, T_mult=1.0000001).value(10**6) <= 1


RUN_LENGTHS: list[tuple[dict[str, Any], str, Any]] = [
    ({"kind": "linear", "T": "run"}, "T", 20),
    ({"kind": "linear", "T": "run", "warmup": 4}, "T", 16),
    ({"kind": "linear", "T": "run/3", "warmup": 4}, "T", 6),
    ({"kind": "linear", "T": "run", "per": "iteration"}, "T", 1000),
    ({"kind": "linear", "T": "run", "per": "fraction", "warmup": 0.1}, "T", 0.9),
    ({"kind": "linear", "T": 0.25, "per": "fraction"}, "T", 0.25),
    ({"kind": "warmup_stable_decay", "T": "run", "decay": "run/5", "warmup": 5}, "decay", 3),
    ({"kind": "warmup_stable_decay", "T": "run", "decay": 5, "warmup": 5}, "T", 15),
    ({"kind": "one_cycle", "T": "run"}, "T", 20),
    ({"kind": "cosine_restarts", "T": "run/4"}, "T", 5),
]


@pytest.mark.parametrize(("config", "field", "expected"), RUN_LENGTHS)
def test_lengths_relative_to_a_run(config: dict[str, Any], field: str, expected: Any) -> None:
    rule = mxtrain.build({"kind": "sgd", "η_sched": config}, run=(20, 50)).rule
    assert getattr(rule.η_sched, field) == expected
    needs_run = config.get("per") == "fraction" or "run" in str(config["T"])
    assert needs_run
    with pytest.raises(ConfigError, match=r"run=\(epochs, batches\)"):
        mxtrain.build({"kind": "sgd", "η_sched": config})


def test_the_run_of_a_part_is_what_is_left() -> None:
    parts = [{"kind": "fixed"}, {"kind": "linear", "T": "run"}, {"kind": "cosine", "T": "run", "warmup": 2}]
    join = Join(η=1.0, warmup=1, parts=parts, boundaries=[3, 7]).for_run(20, 5)
    assert [getattr(part, "T", None) for part in join.parts] == [None, 4, 10]
    with pytest.raises(ConfigError, match=r"optimizer\.η_sched\.boundaries\.1: must be below 5, .* got 7"):
        Join(η=1.0, parts=parts, boundaries=[3, 7]).for_run(5, 5)


def test_fractions_of_a_run_are_those_of_its_iterations() -> None:
    rule = mxtrain.build(
        {"kind": "sgd", "η": 1.0, "η_sched": {"kind": "linear", "T": 0.5, "per": "fraction", "warmup": 0.1}},
        run=(4, 25),
    ).rule
    same = mxtrain.SGD(η=1.0, η_sched=Linear(T=50, per="iteration", warmup=10))
    for iteration in range(1, 101):
        time = Time(iteration, iteration, (iteration - 1) // 25)
        assert rule.learning_rate_at(time) == pytest.approx(same.learning_rate_at(time), abs=1e-15)
    with pytest.raises(ConfigError, match="run: must be the numbers of epochs and of batches"):
        mxtrain.build({"kind": "sgd"}, run=(3, 0))


def _torch_reductions(losses: list[float], patience: int, threshold: float, cooldown: int) -> int:
    """The method `step` of `ReduceLROnPlateau`, statement by statement."""
    best, bad, cooling, reductions = math.inf, 0, 0, 0
    for loss in losses:
        if loss < best * (1 - threshold):
            best, bad = loss, 0
        else:
            bad += 1
        if cooling > 0:
            cooling -= 1
            bad = 0
        if bad > patience:
            reductions += 1
            cooling, bad = cooldown, 0
    return reductions


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("cooldown", [0, 2])
def test_plateau_reduces_as_in_pytorch(patience: int, cooldown: int) -> None:
    schedule = Plateau(η=1.0, monitor="loss", factor=0.5, patience=patience, threshold=0.1, cooldown=cooldown)
    generator = random.Random(patience)
    losses = [10 / (t + 1) ** 0.3 + generator.random() for t in range(60)]
    for i in range(61):
        expected = _torch_reductions(losses[:i], patience, 0.1, cooldown)
        assert schedule.reductions([{"loss": loss} for loss in losses[:i]]) == expected
    assert expected > 2


def test_plateau_maximizes_and_counts_an_epoch_without_a_value_as_bad() -> None:
    maximized = Plateau(monitor="val_accuracy", patience=0)
    assert maximized.reductions([{"val_accuracy": value} for value in (0.5, 0.6, 0.6, 0.7, None)]) == 2
    with pytest.raises(ConfigError, match="plateau follows a metric"):
        mxtrain.build({"kind": "sgd", "η_sched": {"kind": "plateau"}}, run=(3, 4))


def test_every_kind_has_an_end_or_is_listed() -> None:
    assert [each.model_fields["kind"].default for each in RATE_SCHEDULES] == [
        *("fixed", "exp", "inv", "cosine", "step", "multistep", "linear", "polynomial", "cosine_restarts"),
        *("inverse_sqrt", "warmup_stable_decay", "piecewise", "one_cycle", "join", "plateau"),
    ]
    assert Fixed(η=0.1).highest(9.0) == 0.1
    assert Exp().highest(9.0) == 9.0
