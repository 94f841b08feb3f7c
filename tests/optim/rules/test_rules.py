"""Properties of all rules, in one table."""

import inspect
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin

import mxtrain
from mxtrain.optim.ir import MultiPassProgram, summation
from mxtrain.optim.rules import RULES, Rule, Time
from tests.tables import CONFIGS, MATRIX_CONFIGS, SHAPES, STAGES, WITHOUT_SCHEDULE, update_one, with_stage

every_rule = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
every_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def test_the_table_has_every_rule() -> None:
    assert {config["kind"] for config in (CONFIGS | MATRIX_CONFIGS).values()} == {
        rule.model_fields["kind"].default for rule in RULES
    }


def reference(rule: Rule, weight: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
    """Compute the formula of a rule as a plain array expression: without tracing and blocks, with new arrays."""
    rule = rule.for_vectors() if weight.ndim < 2 else rule
    dtype, scalars, starts = weight.dtype.type, rule.initial_scalars(), rule.slot_starts()
    slots = [
        weight.copy() if starts.get(name) == "W" else np.full_like(weight, starts.get(name, 0))
        for name in rule.active_slots()
    ]
    for t, g in enumerate(gradients, start=1):
        values = {name: getattr(rule, name) for name in type(rule).model_fields}
        values |= scalars | rule.coefficients(Time(update=t, iteration=t), scalars)
        scalars = {name: values[name] for name in scalars}
        if rule.scale != 0:
            g = dtype(rule.scale) * g
        if rule.clip > 0:
            g = np.minimum(np.maximum(g, dtype(-rule.clip)), dtype(rule.clip))
        if rule.λ > 0 and not rule.decouples_decay():
            g = g + dtype(rule.λ) * weight
        parameters = inspect.signature(type(rule).update).parameters.values()
        names = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        coefficients = {name: values[name] if name in rule.options else Exact(values[name], dtype) for name in names}
        with np.errstate(all="ignore"), patch.object(summation, "reduce_array", exact_reduction(dtype)):
            weight, *results = type(rule).update(weight, g, *slots, **coefficients)
        slots = results[: len(slots)]
        for name, value in zip(rule.computed_scalars, results[len(slots) :], strict=True):
            scalars[name] = value.value if isinstance(value, Exact) else float(value)
    return weight


def exact_reduction(dtype: Any) -> Any:
    """Return `reduce_array` with results that are rounded when they are combined with an array."""
    reduce_array = summation.reduce_array
    return lambda *given: Exact(float(reduce_array(*given)), dtype)


class Exact(NDArrayOperatorsMixin):
    """Coefficient or sum in float64 that is rounded to the dtype of an array when it is combined with one."""

    def __init__(self, value: float, dtype: Any) -> None:
        self.value, self.dtype = value, dtype

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any) -> Any:
        return self._compute(ufunc, inputs)

    def __array_function__(self, function: Any, types: Any, inputs: Any, settings: Any) -> Any:
        return self._compute(function, inputs)

    def _compute(self, function: Any, inputs: Any) -> Any:
        if any(isinstance(each, np.ndarray | self.dtype) for each in inputs):  # an element of a scalar array is a dtype
            return function(*(self.dtype(each.value) if isinstance(each, Exact) else each for each in inputs))
        return Exact(float(function(*(each.value if isinstance(each, Exact) else each for each in inputs))), self.dtype)


@every_rule
@every_stage
@every_shape
@every_dtype
def test_a_traced_update_has_the_bits_of_the_plain_formula(
    config: Any, stage: Any, shape: Any, dtype: str, arrays: Any
) -> None:
    rule = mxtrain.build(with_stage(config, stage)).rule
    weight, *gradients = arrays(shape, dtype, 4)
    expected = reference(rule, weight.copy(), gradients)
    optimizer = mxtrain.build(rule, backend="numpy")
    for gradient in gradients:
        before = gradient.tobytes()
        update_one(optimizer, gradient, weight)
        assert gradient.tobytes() == before, "the caller's gradient is never written to"
    assert weight.dtype == dtype
    assert weight.tobytes() == expected.tobytes()


@every_rule
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2, 1:8:3],
        lambda a: a[::-1].T,
        lambda a: np.asfortranarray(a)[:, :5],
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(a.dtype, order="F").T,
    ],
    ids=["every other", "reversed and transposed", "part of a Fortran array", "Fortran array", "transposed"],
)
def test_any_layout_gives_the_same_bits(config: Any, view: Any, arrays: Any) -> None:
    base, gradient_base = arrays((9, 9))
    weight, gradient = view(base), view(gradient_base)
    flat_weight, flat_gradient = np.ascontiguousarray(weight), np.ascontiguousarray(gradient)
    strided, flat = mxtrain.build(config, backend="numpy"), mxtrain.build(config, backend="numpy")
    for _ in range(3):
        update_one(strided, gradient, weight)
        update_one(flat, flat_gradient, flat_weight)
    assert np.ascontiguousarray(weight).tobytes() == flat_weight.tobytes()


def test_only_the_viewed_elements_change(arrays: Any) -> None:
    base, gradient = arrays((8, 8))
    before = base.copy()
    mxtrain.build({"kind": "sgd"}).update(0, gradient[::2, ::2], base[::2, ::2])
    changed = base != before
    assert changed[::2, ::2].all()
    assert changed.sum() == 16


@every_rule
def test_every_rule_minimizes_a_quadratic(config: Any) -> None:
    curvature = np.array([1.0, 3.0, 0.3], dtype="float64")
    weight, optimum = np.zeros(3), np.array([1.0, -2.0, 0.5])
    optimizer = mxtrain.build(config | {"λ": 0, "η_sched": {"kind": "inv", "per": "iteration", "γ": 0.01, "p": 0.5}})
    for _ in range(2000):
        update_one(optimizer, curvature * (weight - optimum), weight)
    np.testing.assert_allclose(weight, optimum, atol=0.02)


@every_rule
def test_a_learning_rate_schedule_is_used(config: Any, arrays: Any) -> None:
    weight, gradient = arrays(5)
    scheduled = mxtrain.build(config | {"η_sched": {"kind": "exp", "γ": 0.5, "per": "iteration"}})
    fixed = mxtrain.build(config)
    a, b = weight.copy(), weight.copy()
    for optimizer, w in ((scheduled, a), (fixed, b)):
        update_one(optimizer, gradient, w)
    assert a.tobytes() == b.tobytes(), "nothing is finished at the first update"
    for optimizer, w in ((scheduled, a), (fixed, b)):
        update_one(optimizer, gradient, w)
    assert (a.tobytes() == b.tobytes()) == (config["kind"] in WITHOUT_SCHEDULE)


@every_rule
def test_a_saved_and_loaded_state_continues_exactly(config: Any, arrays: Any) -> None:
    weight, *gradients = arrays((3, 4), count=9)
    config = config | {"η_sched": {"kind": "inv", "per": "iteration"}}
    whole, first, second = (mxtrain.build(config) for _ in range(3))
    uninterrupted = weight.copy()
    for gradient in gradients:
        whole.step({"W": uninterrupted}, {"W": gradient})
    for gradient in gradients[:3]:
        first.step({"W": weight}, {"W": gradient})
    saved = first.state_dict()
    first.step({"W": weight.copy()}, {"W": gradients[0]})
    second.load_state_dict(saved)
    for gradient in gradients[3:]:
        second.step({"W": weight}, {"W": gradient})
    assert weight.tobytes() == uninterrupted.tobytes()
    assert second.state == whole.state


@every_rule
def test_another_learning_rate_needs_no_new_program(config: Any) -> None:
    assert mxtrain.build(config).rule.program() is mxtrain.build(config | {"η": 0.321}).rule.program()


@every_rule
@every_dtype
def test_nan_propagates_without_numpy_warnings(config: Any, dtype: str) -> None:
    weight = np.array([1, np.nan, np.inf, -0.0, 5e-324, 1e-40, 3e38], dtype=dtype)
    gradient = np.array([np.inf, 1, -np.inf, -0.0, np.nan, 1e-40, 3e38], dtype=dtype)
    optimizer = mxtrain.build(config | {"clip": 0.5}, on_nonfinite="ignore")
    update_one(optimizer, gradient, weight)
    assert np.isnan(weight[[1, 4]]).all()
    if isinstance(optimizer.rule.for_vectors().program(), MultiPassProgram):
        assert np.isnan(weight).all(), "a norm with a NaN is NaN"
    else:
        assert np.isfinite(weight[[0, 3, 5]]).all()
