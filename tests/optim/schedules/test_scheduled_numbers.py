"""Schedules of numbers of a rule, functions as schedules, and the warning of epochs that never begin."""

import copy
import pickle
import re
import warnings
from typing import Any, Literal

import numpy as np
import pytest

import mxtrain
from mxtrain.errors import ConfigError, ScheduleError
from mxtrain.names import normalize
from mxtrain.optim.rules import Time
from mxtrain.optim.rules.scheduled import number_at
from mxtrain.optim.schedules.learning_rate import Exp, Function, Linear, RateSchedule


def halving(t: float) -> float:
    return 0.5**t


def run(config: dict[str, Any], steps: int = 6, **options: Any) -> Any:
    """Return the weights after each step."""
    optimizer = mxtrain.build(config, backend="numpy", **options)
    params = {"W": np.array([1.0, -2.0, 0.5]), "b": np.array([0.25])}
    found = []
    for t in range(steps):
        optimizer.step(params, {"W": np.array([1.0, -3.0, 0.1]) * (t + 1), "b": np.array([-0.5])})
        found.append(np.concatenate([params["W"], params["b"]]))
    return np.array(found)


def linear(end: float, T: int = 5, **more: Any) -> dict[str, Any]:
    return {"kind": "linear", "T": T, "end": end, "per": "iteration", **more}


CASES: list[tuple[dict[str, Any], str, float, dict[str, Any]]] = [
    ({"kind": "adam", "η": 0.1, "λ": 0.01}, "β1", 0.9, linear(0.5)),
    ({"kind": "adam", "η": 0.1, "λ": 0.01}, "β2", 0.999, linear(0.9)),
    ({"kind": "adam", "η": 0.1}, "λ", 0.1, linear(0.3)),
    ({"kind": "adamw", "η": 0.1}, "λ", 0.0, linear(0.3)),
    ({"kind": "sgd", "η": 0.1, "λ": 0}, "μ", 0.0, linear(0.9)),
    ({"kind": "sgd", "η": 0.1, "λ": 0}, "μ", 0.9, linear(0.0)),
    ({"kind": "sgd", "η": 0.1, "λ": 0}, "clip", 2.0, linear(0.1)),
    ({"kind": "rmsprop", "η": 0.1, "λ": 0}, "ρ", 0.9, {"kind": "exp", "per": "iteration"}),
    ({"kind": "lion", "η": 0.1}, "λ", 0.2, {"kind": "step", "T": 2, "per": "iteration"}),
    ({"kind": "adam", "η": 0.1}, "ϵ", 1e-3, linear(1e-8)),
    ({"kind": "sgd", "η": 0.1}, "clip_norm", 2.0, linear(0.1)),
    ({"kind": "adam", "η": 0.1}, "lookahead.slow_step", 0.9, linear(0.2)),
    ({"kind": "sgd", "η": 0.1}, "agc.clipping", 0.5, linear(0.01)),
]


def with_value(config: dict[str, Any], name: str, value: float) -> dict[str, Any]:
    """Return a config with a number at a path."""
    first, _, rest = name.partition(".")
    return config | {first: {"period": 2, rest: value} if first == "lookahead" else {rest: value} if rest else value}


@pytest.mark.parametrize(("config", "name", "base", "schedule"), CASES)
def test_a_scheduled_number_has_its_value_in_each_update(
    config: dict[str, Any], name: str, base: float, schedule: dict[str, Any]
) -> None:
    """The rule with the values of each update, set one after another, gives the same bits."""
    base_config = with_value(config, name, base)
    rule = mxtrain.build(base_config | {"schedules": {name: schedule}}, backend="numpy").rule
    values = [number_at(rule.at(Time(t, t)), ".".join(map(normalize, name.split(".")))) for t in range(1, 7)]
    assert values[0] == base
    found = run(base_config | {"schedules": {name: schedule}})
    weights = {"W": np.array([1.0, -2.0, 0.5]), "b": np.array([0.25])}
    # A momentum of 0 has no slot, so all rules of the comparison have a positive one in their first value.
    state: Any = None
    for t, value in enumerate(values):
        optimizer = mxtrain.build(with_value(config, name, value or 1e-300), backend="numpy")
        if state is not None:
            optimizer.load_state_dict(state)
        optimizer.step(weights, {"W": np.array([1.0, -3.0, 0.1]) * (t + 1), "b": np.array([-0.5])})
        state = optimizer.state_dict()
        np.testing.assert_allclose(found[t], np.concatenate([weights["W"], weights["b"]]), rtol=1e-15, atol=1e-300)


def test_a_rule_without_schedules_is_its_own_value_at_any_time() -> None:
    rule = mxtrain.Adam(η_sched=Exp())
    assert rule.at(Time(3, 3)) is rule
    assert "schedules" not in rule.to_dict()
    assert "schedules" not in repr(rule)


def test_names_of_scheduled_numbers_are_those_of_fields() -> None:
    rules = [mxtrain.Adam(schedules={name: {"kind": "exp"}}) for name in ("β2", "beta2", "beta_2")]
    assert rules[0] == rules[1] == rules[2]
    assert hash(rules[0]) == hash(rules[1])
    assert mxtrain.Adam(**rules[0].to_dict()) == rules[0]
    assert copy.deepcopy(rules[0]) == pickle.loads(pickle.dumps(rules[0])) == rules[0]
    with pytest.raises(ConfigError, match="schedules.beta2: beta2 and β2 are two names of one value; keep one"):
        mxtrain.Adam(schedules={"β2": {"kind": "exp"}, "beta2": {"kind": "exp"}})


def test_a_group_sets_the_first_value_of_a_schedule_and_0_ends_it() -> None:
    config = {"kind": "adamw", "λ": 0.1, "schedules": {"λ": linear(0.5)}, "η_sched": linear(1.0)}
    optimizer = mxtrain.build(config | {"groups": {"a*": {"λ": 0.2}, "b*": {"λ": 0}, "c*": {"η": 0}}})
    rules = {name: optimizer._groups.all[optimizer._groups.number(name, (2,))].rule for name in "abcd"}
    first, last = Time(1, 1), Time(6, 6)
    assert [rules[name].at(first).λ for name in "abcd"] == [0.2, 0, 0.1, 0.1]
    assert [rules[name].at(last).λ for name in "abcd"] == [0.5, 0, 0.5, 0.5]
    assert [rules[name].learning_rate_at(last) for name in "abcd"] == [1, 1, 0, 1]


def test_a_function_is_a_schedule_of_finished_iterations() -> None:
    times: list[float] = []

    def rate(t: float) -> float:
        times.append(t)
        return 0.1 / (1 + t)

    found = run({"kind": "sgd", "η": 9, "λ": 0, "η_sched": rate}, steps=3)
    assert times[-1] == 2
    expected = run({"kind": "sgd", "λ": 0, "η_sched": {"kind": "piecewise", "per": "iteration", "times": [0, 1, 2],
                    "values": [0.1, 0.05, 0.1 / 3], "interpolate": "none"}}, steps=3)  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    both = run({"kind": "sgd", "λ": 0, "μ_sched": lambda t: 1 - 1 / t, "schedules": {"λ": halving}}, steps=3)
    assert np.isfinite(both).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"η_sched": lambda t: 1 - t},
            r"optimizer\.η_sched: the value at t = 2 \(iteration 3\) must be at least 0, got -1",
        ),
        ({"η_sched": lambda t: None}, r"optimizer\.η_sched: <lambda>\(0\) must be a finite number, got null"),
        ({"schedules": {"β2": lambda t: 0.9 + t / 20}}, r"schedules\.β2: the value at t = 2 .* at least 0 and below 1"),
        ({"schedules": {"ϵ": lambda t: 1.0 - t}}, r"schedules\.ϵ: the value at t = 1 .* above 0"),
        ({"schedules": {"λ": lambda t: float("nan")}}, r"schedules\.λ: <lambda>\(0\) must be a finite number, got nan"),
        ({"schedules": {"β1": Function(function=lambda t: 2.0)}}, r"schedules\.β1: the value at t = 0"),
    ],
)
def test_a_value_out_of_bounds_is_an_error_before_anything_changes(settings: dict[str, Any], message: str) -> None:
    optimizer = mxtrain.build({"kind": "adam", **settings})
    params = {"W": np.ones(2)}
    problem = ""
    for _ in range(4):
        before, steps = params["W"].copy(), optimizer.state.curr_iter
        try:
            optimizer.step(params, {"W": np.ones(2)})
        except ScheduleError as error:
            problem = str(error)
            break
    assert re.search(message, problem)
    assert optimizer.state.curr_iter == steps
    np.testing.assert_array_equal(params["W"], before)


def raising(t: float) -> float:
    if t >= 2:
        raise LookupError("no value\nfor this time")
    return 0.5


class Raising(RateSchedule):
    kind: Literal["raising_schedule"] = "raising_schedule"

    def after_warmup(self, η: float, t: float) -> float:
        return 1 / 0


FIELDS = {"η_sched": "η_sched", "μ_sched": "μ_sched", "λ": "schedules.λ"}
FAILURES = [
    ("η_sched", raising, "raising(2) raised LookupError: no value for this time", LookupError),
    ("μ_sched", raising, "raising(2) raised LookupError: no value for this time", LookupError),
    ("λ", raising, "raising(2) raised LookupError: no value for this time", LookupError),
    ("η_sched", lambda: 1, "<lambda>() must take one argument, the time; got <lambda>(0)", TypeError),
    ("μ_sched", lambda a, b: 1, "<lambda>(a, b) must take one argument, the time; got <lambda>(1)", TypeError),
    ("λ", lambda *, t: 1, "<lambda>(*, t) must take one argument, the time; got <lambda>(0)", TypeError),
    ("λ", Raising(), "Raising raised ZeroDivisionError: division by zero at iteration 1", ZeroDivisionError),
    ("μ_sched", lambda t: -1.0, "<lambda>(1) must be at least 0, got -1.0", type(None)),
]


@pytest.mark.parametrize(("field", "function", "message", "cause"), FAILURES)
def test_an_exception_of_a_function_is_located_and_changes_nothing(
    field: str, function: Any, message: str, cause: type
) -> None:
    settings = {field: function} if field.endswith("_sched") else {"schedules": {field: function}}
    optimizer = mxtrain.build({"kind": "sgd", "μ": 0.5, **settings}, backend="numpy")
    params = {"W": np.ones(2)}
    states: list[bytes] = []

    def train() -> None:
        for _ in range(4):
            states.append(pickle.dumps((params, optimizer.state_dict())))
            optimizer.step(params, {"W": np.ones(2)})

    with pytest.raises(ScheduleError) as caught:
        train()
    assert str(caught.value) == f"optimizer.{FIELDS[field]}: {message}; nothing has changed"
    assert isinstance(caught.value.__cause__, cause)
    assert pickle.dumps((params, optimizer.state_dict())) == states[-1]


def test_a_function_is_not_plain_data() -> None:
    rule = mxtrain.SGD(η_sched=halving, λ=0)
    with pytest.raises(ConfigError, match="the function halving cannot be written as plain values"):
        rule.to_dict()
    optimizer = mxtrain.build(rule)
    assert pickle.loads(pickle.dumps(optimizer)).rule.learning_rate_at(Time(3, 3)) == 0.25
    config = {"data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy"}
    with pytest.raises(ConfigError, match="optimizer.η_sched: a run is saved, and a function cannot be"):
        mxtrain.fit(config | {"optimizer": {"kind": "sgd", "η_sched": halving}})
    with pytest.raises(ConfigError, match="optimizer.μ_sched: a run is saved, and a function cannot be"):
        mxtrain.fit(config | {"optimizer": {"kind": "sgd", "μ_sched": halving}})


@pytest.mark.parametrize(
    ("config", "begins", "warns"),
    [
        ({"η_sched": {"kind": "exp"}}, 0, "optimizer.η_sched counts epochs"),
        ({"η_sched": {"kind": "exp"}}, 10**6, None),
        ({"η_sched": {"kind": "exp"}}, 700, None),
        ({"η_sched": {"kind": "exp", "per": "iteration"}}, 0, None),
        ({"η_sched": {"kind": "fixed"}}, 0, None),
        ({"η_sched": {"kind": "fixed", "warmup": 5}}, 0, "optimizer.η_sched counts epochs"),
        ({"schedules": {"β2": {"kind": "linear", "T": 3, "end": 0.5}}}, 0, "optimizer.schedules.β2 counts epochs"),
        ({}, 0, None),
    ],
)
def test_a_loop_that_never_begins_an_epoch_is_warned_once(
    config: dict[str, Any], begins: int, warns: str | None
) -> None:
    optimizer = mxtrain.build({"kind": "adam", **config}, backend="numpy")
    params, grads = {"W": np.zeros(1)}, {"W": np.ones(1)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(1100):
            if begins and i % begins == 0:
                optimizer.state.begin_epoch()
            optimizer.step(params, grads)
    found = [str(each.message) for each in caught]
    assert len(found) == (warns is not None)
    if warns is not None:
        assert found[0].startswith(warns)
        assert caught[0].filename == __file__


def test_the_largest_values_choose_program_and_slots() -> None:
    rule = mxtrain.SGD(λ=0, schedules={"μ": Linear(T=3, end=0.9), "λ": Linear(T=3, end=0.2)})
    largest = rule.with_largest_numbers()
    assert (largest.μ, largest.λ) == (0.9, 0.2)
    assert largest.active_slots() == ("v",)
    assert largest.at(Time(1, 1)).μ == 0


class Sawtooth(RateSchedule):
    """A kind that a user defines: `η·(1 + t mod 2)`."""

    kind: Literal["sawtooth_of_a_test"] = "sawtooth_of_a_test"

    def after_warmup(self, η: float, t: float) -> float:
        """`η·(1 + t mod 2)`."""
        return η * (1 + t % 2)


def test_a_kind_of_a_user_schedules_any_number_and_is_checked_at_each_step() -> None:
    config = {"kind": "adam", "schedules": {"β1": Sawtooth(per="iteration")}, "β1": 0.4}
    rule = mxtrain.build(config).rule
    assert [rule.at(Time(t, t)).β1 for t in (1, 2, 3)] == [0.4, 0.8, 0.4]
    assert mxtrain.Adam(**rule.to_dict()) == rule
    with pytest.raises(ScheduleError, match=r"schedules\.β1: the value at t = 1 .* below 1, got 1\.8"):
        mxtrain.Adam(β1=0.9, schedules={"β1": {"kind": "sawtooth_of_a_test", "per": "iteration"}}).at(Time(2, 2))


def test_what_is_no_function_is_not_a_schedule() -> None:
    for value in (Exp, 0.1, "exp", [halving]):
        with pytest.raises(ConfigError, match="η_sched: must be a mapping such as"):
            mxtrain.build({"kind": "sgd", "η_sched": value})
    with pytest.raises(ScheduleError, match=r"μ_sched: the value at t = 1 must be below 1, got 1\.0"):
        run({"kind": "nadam", "μ_sched": lambda t: 1.0}, steps=1)
