"""Tracing: recorded programs, and errors for operations that cannot be traced."""

from typing import Any

import numpy as np
import pytest

from mxtrain.errors import TraceError
from mxtrain.optim.backends import select_backend
from mxtrain.optim.backends.compiled.codegen_numba import generate_numba_pass_source
from mxtrain.optim.ir import (
    GradientStage,
    MultiPassProgram,
    absolute,
    maximum,
    minimum,
    norm,
    sign,
    sqrt,
    trace,
    update_program,
    where,
)


def run(formula: Any, arrays: dict[str, np.ndarray], **scalars: float) -> dict[str, np.ndarray]:
    program = trace("test", formula, tuple(arrays), tuple(scalars))
    arrays = {name: array.copy() for name, array in arrays.items()}
    select_backend("numpy").run(program, [tuple(arrays.values())], program.evaluate_scalars(scalars))
    return arrays


def test_scalars_are_computed_in_float64_and_rounded_once() -> None:
    weight = np.ones(1, dtype="float32")
    result = run(lambda W, *, β2: {"W": (1 - β2) * W}, {"W": weight}, β2=0.9999)["W"]
    assert result == np.float32(1 - 0.9999)
    assert result != np.float32(1) - np.float32(0.9999)


@pytest.mark.parametrize("bound", [float("inf"), float("-inf"), float("nan")])
def test_a_constant_may_be_infinite_or_nan(bound: float) -> None:
    weight = np.ones(1)
    np.testing.assert_array_equal(
        run(lambda W: {"W": minimum(W, bound)}, {"W": weight})["W"], np.minimum(weight, bound)
    )


def test_equal_expressions_are_computed_once() -> None:
    program = trace("test", lambda W, g: {"W": (W + g) * (W + g)}, ("W", "g"), ())
    assert [step.operation for step in program.instructions] == ["add", "multiply"]


def test_a_chain_of_squares_traces_in_linear_time() -> None:
    def formula(W: Any) -> dict[str, Any]:
        for _ in range(200):
            W = W * W
        return {"W": W}

    assert len(trace("test", formula, ("W",), ()).instructions) == 200


def test_a_program_prints_as_mathematics() -> None:
    program = trace("step", lambda W, g, *, η: {"W": W - η * 2 * sqrt(g)}, ("W", "g"), ("η",))
    assert str(program) == (
        "step(W, g)\n  s0 = η * 2    (host, float64)\n  t0 = sqrt(g)\n  t1 = s0 * t0\n  t2 = W - t1\n  W ← t2"
    )


W, V = np.array([3.0, -1.0, 2.0]), np.array([10.0, 20.0, 30.0])
FORMULAS: dict[str, tuple[Any, Any, Any]] = {
    "where": (lambda W, V: {"W": where(W < 0, -W, V), "V": V}, [10.0, 1.0, 30.0], V),
    "where, greater or equal": (lambda W, V: {"W": where(W >= 2.0, W, 0.0)}, [3.0, 0.0, 2.0], V),
    "where on what it overwrites": (lambda W, V: {"W": where(W > 0, W * 2, W)}, [6.0, -1.0, 4.0], V),
    "exchange": (lambda W, V: {"W": V, "V": W}, V, W),
    "a copy and a new value": (lambda W, V: {"W": W + V, "V": W}, [13.0, 19.0, 32.0], W),
    "one value for both": (lambda W, V: {"W": W + V, "V": W + V}, [13.0, 19.0, 32.0], [13.0, 19.0, 32.0]),
    "unchanged": (lambda W, V: {"W": W, "V": V}, W, V),
    "unary": (lambda W, V: {"W": sqrt(absolute(-W)) + abs(V)}, np.sqrt(np.abs(W)) + V, V),
    "bounds": (lambda W, V: {"W": minimum(maximum(W, 0.0), 2.5)}, [2.5, 0.0, 2.0], V),
    "old values after new ones": (lambda W, V: {"V": V * 2, "W": V * 2 + V + W}, W + V * 3, V * 2),
    "a constant": (lambda W, V: {"W": 0.0 * W, "V": V}, W * 0.0, V),
    "a comparison as a number": (lambda W, V: {"W": W + (W > 0) * V, "V": V}, [13.0, -1.0, 32.0], V),
    "signs": (lambda W, V: {"W": sign(W - 2.0), "V": V}, [1.0, -1.0, 0.0], V),
}


@pytest.mark.parametrize(("formula", "new_w", "new_v"), FORMULAS.values(), ids=FORMULAS.keys())
def test_outputs_are_what_the_formula_says(formula: Any, new_w: Any, new_v: Any) -> None:
    result = run(formula, {"W": W, "V": V})
    np.testing.assert_array_equal(result["W"], new_w)
    np.testing.assert_array_equal(result["V"], new_v)


def _branches(W: Any) -> Any:
    return {"W": W if W > 0 else -W}


REFUSED: dict[str, tuple[Any, str]] = {
    "a branch": (_branches, "use where"),
    "chained comparison": (lambda W: {"W": where(0 < W < 1, W, W)}, "use where"),
    "the builtin max": (lambda W: {"W": max(W, 0)}, "use where"),
    "a number as a condition": (lambda W: {"W": where(W, W, W)}, "needs a comparison"),
    "equality": (lambda W: {"W": where(W == 0, W, W)}, "cannot compare with =="),
    "a power": (lambda W: {"W": W**2}, "write x \\* x"),
    "float": (lambda W: {"W": float(W)}, "cannot convert a value to a number"),
    "an array": (lambda W: {"W": W + np.ones(3)}, "symbols and numbers"),
    "a number for an output": (lambda W: {"W": 1.0}, "must return symbols"),
    "a condition for an output": (lambda W: {"W": W > 0}, "must return symbols"),
}


@pytest.mark.parametrize(("formula", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_traced_is_refused_with_a_remedy(formula: Any, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        trace("test", formula, ("W",), ())


@pytest.mark.parametrize("returned", [lambda W, m: (W,), lambda W, m: (W, m, m), lambda W, m: [W, m], lambda W, m: W])
def test_an_update_must_return_the_weight_and_every_slot(returned: Any) -> None:
    with pytest.raises(TraceError, match="^the update of mine must return a tuple of W and the slots m; got "):
        update_program("mine", lambda W, g, m: returned(W, m), ("m",), GradientStage(False, False, False))


def test_scalars_that_share_parts_are_traced_and_printed_in_linear_time() -> None:
    def formula(W: Any, g: Any, *, a: Any) -> dict[str, Any]:
        size = norm(g)
        for _ in range(60):  # as trees, these have 2**60 leaves
            a, size = a + a, size + size
        return {"W": W - (a * size) * g + a}

    program = trace("test", formula, ("W", "g"), ("a",))
    assert isinstance(program, MultiPassProgram)
    assert len(str(program)) < 20_000
    assert sum(len(generate_numba_pass_source(program, each, "float32")) for each in program.passes) < 20_000
    assert 2.0**59 in program.evaluate_scalars({"a": 0.5})
