"""All methods: exact resume, equal bits, failures of the function, and wrong states."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mxtrain.minimization.lbfgsb as lbfgsb_module
import mxtrain.minimization.vectors as vectors_module
from mxtrain.errors import ArrayError, NonFiniteError, StateError
from mxtrain.minimization.conjugate_gradient import ConjugateGradient
from mxtrain.minimization.lbfgs import LBFGS
from mxtrain.minimization.lbfgsb import LBFGSB
from mxtrain.minimization.method import Method, StopEvaluation
from tests.minimization.problems import rosenbrock

LOWER, UPPER = np.array([-2.0, 0.3] * 5), np.array([0.8, 3.0] * 5)
METHODS: dict[str, Callable[[], Method]] = {
    "lbfgs": lambda: LBFGS(memory=4),
    "cg": ConjugateGradient,
    "lbfgsb": lambda: LBFGSB(LOWER, UPPER, memory=4),
}
X0 = np.array([-1.2, 1.0, -0.5, 2.0, 0.1, 0.4, -1.9, 0.9, 0.7, 0.5])

methods = pytest.mark.parametrize("name", METHODS)


def function(x: Any) -> tuple[float, Any]:
    r, jacobian = rosenbrock(x.astype(np.float64))
    scale = np.arange(1, len(r) + 1)
    return float(np.sum(scale * r * r)), (2 * jacobian.T @ (scale * r)).astype(x.dtype)


def iterates(method: Method, count: int, x0: Any = X0) -> list[Any]:
    method.start(x0, *function(x0))
    return [np.array(method.iterate(function).x) for _ in range(count)]


@methods
def test_resume_continues_to_the_byte(name: str) -> None:
    expected = iterates(METHODS[name](), 30)
    assert len({x.tobytes() for x in expected}) > 12
    for stop in (0, 1, 2, 5, 9, 14):
        method = METHODS[name]()
        iterates(method, stop)
        state = method.state_dict()
        assert all(isinstance(each, np.ndarray | float | int | str | bool) for each in state.values())
        iterates(method, 3)  # the state is a copy
        resumed = METHODS[name]()
        last = resumed.load_state_dict(state)
        assert last.f == function(last.x)[0]
        for x in expected[stop:]:
            assert np.array(resumed.iterate(function).x).tobytes() == x.tobytes()


@methods
def test_a_stopped_iteration_is_repeated(name: str) -> None:
    expected = iterates(METHODS[name](), 20)
    method, remaining = METHODS[name](), 0

    def stopping(x: Any) -> tuple[float, Any]:
        nonlocal remaining
        remaining -= 1
        if remaining == 0:
            raise StopEvaluation
        return function(x)

    method.start(X0, *function(X0))
    stops = 0
    for number, x in enumerate(expected):
        remaining = 1 + number % 3
        try:
            result = method.iterate(stopping)
        except StopEvaluation:
            stops += 1
            state, method = method.state_dict(), METHODS[name]()
            method.load_state_dict(state)
            result = method.iterate(stopping)
        assert np.array(result.x).tobytes() == x.tobytes()
    assert stops > 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@methods
def test_compiled_and_numpy_operations_give_equal_iterates(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x0 = X0.astype(dtype)
    compiled = iterates(METHODS[name](), 20, x0)
    monkeypatch.setattr(vectors_module, "is_worth_compiling", lambda seconds: False)
    monkeypatch.setattr(vectors_module, "select_backend", lambda name: select_numpy())
    plain = iterates(METHODS[name](), 20, x0)
    assert [x.tobytes() for x in plain] == [x.tobytes() for x in compiled]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_steps_with_bounds_have_the_bits_of_single_operations(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 300
    scale, minimum = np.linspace(1, 50, size), np.cos(np.arange(size))
    lower = np.where(np.arange(size) % 3 == 0, -np.inf, -0.25).astype(dtype)

    def quartic(x: Any) -> tuple[float, Any]:
        r = x.astype(np.float64) - minimum
        return float((0.5 * scale * r * r + 0.25 * r**4).sum()), (scale * r + r**3).astype(dtype)

    results = []
    for largest_size in (4096, 0):
        monkeypatch.setattr(lbfgsb_module, "SUM_BLOCK", largest_size)
        method, x0 = LBFGSB(lower, np.full(size, 0.5, dtype), memory=3), np.zeros(size, dtype)
        method.start(x0, *quartic(x0))
        points = [np.array(method.iterate(quartic).x).tobytes() for _ in range(10)]
        assert (method._steps is not None) == (largest_size > 0)
        state = {key: np.asarray(each).tobytes() for key, each in method.state_dict().items()}
        results.append((points, state))
    assert len(set(results[0][0])) > 5
    assert results[0] == results[1]


def select_numpy() -> Any:
    from mxtrain.optim.backends.numpy_backend import NumPyBackend

    return NumPyBackend()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@methods
def test_steps_with_values_that_are_not_finite_are_shortened(name: str, bad: float) -> None:
    def walled(x: Any) -> tuple[float, Any]:
        f, g = function(x)
        return (bad, g * np.nan) if np.abs(x).max() > 2.05 else (f, g)

    method = METHODS[name]()
    last = method.start(X0, *walled(X0))
    for _ in range(60):
        last = method.iterate(walled)
        if last.status != "ok":
            break
    assert last.f < 0.3 * function(X0)[0]
    assert np.abs(last.x).max() <= 2.05


@methods
def test_a_function_that_is_finite_only_at_the_start_is_reported(name: str) -> None:
    method = METHODS[name]()
    f, g = function(X0)
    method.start(X0, f, g)
    result = method.iterate(lambda x: (np.nan, g))
    assert (result.status, result.f, result.step) == ("nonfinite", f, 0.0)
    assert "NaN or infinite at every step" in result.message
    assert np.array_equal(result.x, X0)


@methods
def test_a_wrong_gradient_is_reported(name: str) -> None:
    method = METHODS[name]()
    f, g = function(X0)
    method.start(X0, f, -g)
    result = method.iterate(lambda x: (function(x)[0], -function(x)[1]))
    assert (result.status, result.f) == ("no_progress", f)
    assert result.message == (
        "no step along the negative gradient lowers the value; check the gradient against finite differences"
    )
    assert np.array_equal(result.x, X0)


@pytest.mark.parametrize(
    ("f", "element", "message"),
    [
        (np.nan, 1.0, "the value at the starting point is nan"),
        (np.inf, 1.0, "the value at the starting point is inf"),
        (1.0, np.nan, "gradient at the starting point has an element that is nan"),
        (1.0, np.inf, "gradient at the starting point has an element that is inf"),
    ],
)
@methods
def test_a_start_that_is_not_finite_is_refused(name: str, f: float, element: float, message: str) -> None:
    with pytest.raises(NonFiniteError, match=message):
        METHODS[name]().start(X0, f, np.full(10, element))


@methods
def test_a_zero_gradient_ends_without_evaluations(name: str) -> None:
    method = METHODS[name]()
    assert method.start(X0, 1.0, np.zeros(10)).gradient_norm == 0.0
    result = method.iterate(lambda x: pytest.fail("evaluated"))
    projected = "projected " if name.startswith("lbfgsb") else ""
    assert (result.status, result.message) == ("converged", f"the {projected}gradient is zero")


@methods
def test_wrong_states_are_refused(name: str) -> None:
    method = METHODS[name]()
    iterates(method, 3)
    state = method.state_dict()
    changes: dict[str, tuple[Any, str]] = {
        "method": ("other", "is of the method 'other'"),
        "memory": (7, "memory 7, the method 4"),
        "g": (np.zeros(3), r"g in the state has shape \(3,\)"),
        "steps": (np.zeros((2, 10)), "in the state has shape"),
        "x": (X0.astype(np.float32), "in the state has dtype float64, expected float32"),
        "sy": (np.zeros((1, 1)), "sy in the state has shape"),
    }
    for key, (value, message) in changes.items():
        if key in state:
            with pytest.raises(StateError, match=message):
                METHODS[name]().load_state_dict({**state, key: value})
    with pytest.raises(StateError, match="incomplete: 'g'"):
        METHODS[name]().load_state_dict({key: value for key, value in state.items() if key != "g"})


def test_a_buffer_that_the_function_reuses_is_copied() -> None:
    buffer = np.empty(10)

    def reusing(x: Any) -> tuple[float, Any]:
        f, buffer[:] = function(x)
        return f, buffer

    method = LBFGS(memory=4)
    method.start(X0, *reusing(X0))
    points = [np.array(method.iterate(reusing).x) for _ in range(10)]
    assert [x.tobytes() for x in points] == [x.tobytes() for x in iterates(LBFGS(memory=4), 10)]


def test_bounds_must_fit_x() -> None:
    with pytest.raises(ArrayError, match="the bounds have shape"):
        LBFGSB(np.zeros(3), None).start(X0, *function(X0))
    with pytest.raises(ArrayError, match="outside of the bounds"):
        LBFGSB(X0 + 1, None).start(X0, *function(X0))
