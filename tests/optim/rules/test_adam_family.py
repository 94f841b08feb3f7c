"""Rules of the family of Adam: properties in which they differ from each other and from other libraries."""

from typing import Any

import numpy as np
import pytest

import mxtrain


def run(rule: Any, gradients: list[Any], start: Any = 0.0) -> np.ndarray:
    """Return the weight of one parameter after an update with each gradient, in float64."""
    optimizer = mxtrain.build(rule, on_nonfinite="ignore")
    weight = np.array(start, dtype="float64")
    for gradient in gradients:
        optimizer.update("W", np.broadcast_to(np.array(gradient, dtype="float64"), weight.shape).copy(), weight)
    return weight


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_without_amsgrad_there_is_no_third_slot(kind: str) -> None:
    plain, amsgrad = (mxtrain.build({"kind": kind, "amsgrad": value}).rule for value in (False, True))
    assert plain.active_slots() == ("m", "v")
    assert amsgrad.active_slots() == ("m", "v", "x")
    assert plain.program() is mxtrain.build({"kind": kind}).rule.program()


def test_amsgrad_takes_the_maximum_of_the_uncorrected_moment() -> None:
    """`optax.amsgrad` takes the maximum of the corrected one, which is 1 after the first of these updates."""
    rule = mxtrain.AdamW(η=1, β1=0, β2=0.5, λ=0, ϵ=1e-30, amsgrad=True)
    first = run(rule, [1.0])
    second = run(rule, [1.0, 0.5]) - first
    assert first == pytest.approx(-1)
    v = max(0.5, 0.5 * 0.5 + 0.5 * 0.25)
    assert second == pytest.approx(-0.5 / np.sqrt(v / 0.75), rel=1e-14)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_amsgrad_remembers_the_largest_gradient(kind: str) -> None:
    gradients = [1000.0, *[1.0] * 3000]
    short, long = (
        run({"kind": kind, "λ": 0, "amsgrad": value}, [*gradients, 1.0])
        - run({"kind": kind, "λ": 0, "amsgrad": value}, gradients)
        for value in (True, False)
    )
    assert abs(short) < abs(long) / 4


@pytest.mark.parametrize(
    ("settings", "largest"),
    [
        ({"η": 0.1}, 0.1),
        ({"η": 0.1, "η_sched": {"kind": "exp", "γ": 0.5, "per": "iteration"}}, 0.1),
        ({"η": 0.1, "η_sched": {"kind": "exp", "η": 0.4, "γ": 0.5, "per": "iteration"}}, 0.4),
        ({"η": 0.1, "η_sched": {"kind": "fixed", "warmup": 9, "per": "iteration"}}, 0.1),
    ],
)
def test_the_corrected_decay_is_relative_to_the_peak_of_the_schedule(settings: Any, largest: float) -> None:
    optimizer = mxtrain.build({"kind": "adamw", "λ": 0.5, "corrected": True, **settings})
    weight = np.ones(1)
    for iteration in range(1, 6):
        η = optimizer.rule.learning_rate_at(mxtrain.optim.rules.Time(iteration, iteration))
        expected = weight - η * 0.5 * (η / largest) * weight
        optimizer.update("W", np.zeros(1), weight)
        np.testing.assert_allclose(weight, expected, rtol=1e-15)


def test_the_corrected_decay_follows_the_learning_rate_of_a_group() -> None:
    config = {"kind": "adamw", "η": 0.1, "λ": 0.5, "corrected": True, "groups": {"a": {"η": 0}, "b": {"η": 0.4}}}
    schedule = {"kind": "exp", "η": 9, "γ": 0.5, "per": "iteration"}
    optimizer = mxtrain.build(config | {"η_sched": schedule})
    params = {name: np.ones(1) for name in ("a", "b")}
    for _ in range(2):
        optimizer.step(params, {name: np.zeros(1) for name in params})
    assert params["a"] == 1
    assert params["b"] == pytest.approx((1 - 0.4 * 0.5) * (1 - 0.2 * 0.5 * 0.5), rel=1e-15)


@pytest.mark.parametrize(("form", "factor"), [("dozat", 1 + 0.9 / 1.9), ("algoperf", 1.9)])
def test_the_first_step_of_nadamw(form: str, factor: float) -> None:
    assert run(mxtrain.NadamW(η=0.1, λ=0, form=form), [3.0]) == pytest.approx(-0.1 * factor, rel=1e-7)  # type: ignore[arg-type]


def test_radam_is_not_rectified_before_update_six() -> None:
    weights = [float(run(mxtrain.RAdam(η=0.1), [7.0] * count)) for count in range(1, 7)]
    steps = -np.diff([0.0, *weights])
    np.testing.assert_allclose(steps[:5], 0.7, rtol=1e-12)
    assert 0 < steps[5] < 0.01


@pytest.mark.parametrize("β2", [0.0, 0.5, 2 / 3])
def test_radam_with_a_small_decay_is_never_rectified(β2: float) -> None:
    assert run(mxtrain.RAdam(η=0.1, β2=β2), [1.0] * 30) == pytest.approx(-3)


def test_radam_decays_the_gradient_or_the_weight() -> None:
    coupled, decoupled = (run(mxtrain.RAdam(η=0.1, λ=0.5, decoupled=value), [1.0], 2.0) for value in (False, True))
    assert coupled == pytest.approx(2 - 0.1 * (1 + 0.5 * 2))
    assert decoupled == pytest.approx(2 - 0.1 - 0.1 * 0.5 * 2)
    assert mxtrain.RAdam().program() is not mxtrain.RAdam(decoupled=True).program()


def test_a_steady_gradient_gets_long_steps_from_adabelief() -> None:
    rule = mxtrain.AdaBelief(η=1e-3, β1=0.5, β2=0.9, ϵ=1e-8)
    gradients = [1.0] * 400
    step = run(rule, [*gradients, 1.0]) - run(rule, gradients)
    assert step == pytest.approx(-1e-3 * np.sqrt((1 - 0.9) / 1e-8), rel=1e-3)


def test_both_slots_of_yogi_start_at_a_value() -> None:
    optimizer = mxtrain.build(mxtrain.Yogi(η=0.1, start=0.25, β1=0.5, β2=0.75))
    weight = np.zeros(1)
    optimizer.update("W", np.ones(1), weight)
    slots = optimizer.state_dict()["parameters"]["W"]["slots"]
    assert slots["m"] == 0.5 * 0.25 + 0.5
    assert slots["v"] == 0.25 + 0.25 * 1.0
    assert weight == pytest.approx(-0.1 * (0.5 / 0.5) * 0.625 / (np.sqrt(0.5) + 1e-3 * 0.5))


def test_the_second_moment_of_yogi_falls_by_the_squared_gradient() -> None:
    optimizer = mxtrain.build(mxtrain.Yogi(start=1))
    weight = np.zeros(2)
    optimizer.update("W", np.array([0.1, 0.0]), weight)
    slots = optimizer.state_dict()["parameters"]["W"]["slots"]
    np.testing.assert_allclose(slots["v"], [1 - 0.001 * 0.01, 1], rtol=1e-15)


def test_the_slow_average_of_ademamix_has_no_bias_correction() -> None:
    assert run(mxtrain.AdEMAMix(η=0.1, α=4, β3=0.75), [3.0]) == pytest.approx(-0.1 * (1 + 4 * 0.25), rel=1e-7)


def test_the_warm_ups_of_ademamix_end_at_the_fields() -> None:
    rule = mxtrain.AdEMAMix(α=5, α_warmup=4, β3=0.999, β3_warmup=8)
    seen = [rule.coefficients(mxtrain.optim.rules.Time(t, t), {}) for t in range(1, 10)]
    assert [each["α"] for each in seen] == [1.25, 2.5, 3.75, 5, 5, 5, 5, 5, 5]
    assert [each["β3"] for each in seen[7:]] == [0.999, 0.999]
    half_lives = [np.log(0.5) / np.log(each["β3"]) for each in seen]
    np.testing.assert_allclose(np.diff(half_lives)[:7], np.diff(half_lives)[0], rtol=1e-3)
    assert half_lives[0] > np.log(0.5) / np.log(0.9)


def test_ademamix_refuses_a_decay_without_half_life() -> None:
    mxtrain.AdEMAMix(β3=1 - 1e-9)
    with pytest.raises(mxtrain.ConfigError, match=r"β3: must be below 0.99999999 with β3_warmup, got 0.999999999"):
        mxtrain.AdEMAMix(β3=1 - 1e-9, β3_warmup=10)


def test_a_falling_learning_rate_shrinks_the_whole_step_of_laprop() -> None:
    """The authors' code has η inside of m, so that the second step would keep a part of the first η."""
    schedule = mxtrain.learning_rate.Exp(γ=1e-9, per="iteration")
    rule = mxtrain.LaProp(η=0.1, η_sched=schedule)
    assert run(rule, [1.0, 1.0]) == pytest.approx(-0.1, rel=1e-8)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "nadamw", "form": "nesterov"}, "form: must be one of dozat, algoperf, got 'nesterov'"),
        ({"kind": "radam", "decoupled": 1}, "decoupled: must be true or false, got 1"),
        ({"kind": "adam", "amsgrad": "yes"}, "amsgrad: must be true or false, got 'yes'"),
        ({"kind": "adabelief", "ϵ": 0}, "ϵ: must be above 0, got 0"),
        ({"kind": "yogi", "start": -1}, "start: must be at least 0, got -1"),
        ({"kind": "ademamix", "α": -1}, "α: must be at least 0, got -1"),
        ({"kind": "ademamix", "β3": 1}, "β3: must be at least 0 and below 1, got 1"),
        ({"kind": "ademamix", "α_warmup": 0.5}, "α_warmup: must be a whole number, got 0.5"),
        ({"kind": "ademamix", "beta3_warmup": -1}, "beta3_warmup: must be a whole number at least 0, got -1"),
        ({"kind": "laprop", "β1": 1}, "β1: must be at least 0 and below 1, got 1"),
        ({"kind": "mars", "γ": -0.1}, "γ: must be at least 0, got -0.1"),
        ({"kind": "stable_adamw", "β2": -0.1}, "β2: must be at least 0 and below 1, got -0.1"),
        ({"kind": "lamb", "vectors": None}, "vectors: must be true or false, got null"),
        ({"kind": "lars", "trust": 0}, "trust: must be above 0, got 0"),
        ({"kind": "lars", "μ": 1}, "μ: must be at least 0 and below 1, got 1"),
        ({"kind": "lars", "ϵ": -1}, "ϵ: must be at least 0, got -1"),
    ],
)
def test_values_out_of_bounds_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build(config)
    assert str(caught.value).endswith(f"optimizer.{message}")
