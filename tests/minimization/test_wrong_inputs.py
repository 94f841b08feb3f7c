"""Wrong inputs of `minimize`: one line each, before anything changes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.errors import ArrayError, ArrayTypeError, ConfigError, MxtrainError, NonFiniteError, StateError
from mxtrain.minimization import checkpoint
from tests.minimization.functions import quadratic

X0 = np.zeros(3)
ADAM = {"kind": "adam", "η": 0.1}


def fun(x: Any) -> Any:
    return quadratic(x)


def with_gradient(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: (1.0, make(x))


def with_value(value: Any) -> Callable[[Any], Any]:
    return lambda x: (value, np.zeros_like(x))


def endless_list() -> Any:
    tree: list[Any] = []
    tree.append(tree)
    return tree


Case = tuple[type[MxtrainError], str, dict[str, Any]]
KINDS = "lbfgs, cg, sgd, adam, adamw"
CASES: list[Case] = [
    # arguments
    (ConfigError, "fun: must be a function, got 3", {"fun": 3}),
    (
        ConfigError,
        "jac: must be a function that returns the gradient, got '2-point'; let fun return (value, gradient), because mxtrain",
        {"jac": "2-point"},
    ),
    (ConfigError, "callback: must be a function, got a list", {"callback": [print]}),
    (ConfigError, "history: must be true or false, got 'all'", {"history": "all"}),
    (ConfigError, "progress: must be true or false, got 1", {"progress": 1}),
    (ConfigError, f"method: must be one of {KINDS}", {"method": "newton"}),
    (ConfigError, "method: must be a name, a mapping with a kind, a rule or a list of stages, got 3", {"method": 3}),
    (ConfigError, "method: must name at least one stage, got an empty list", {"method": []}),
    (ConfigError, f"method.kind: required; one of {KINDS}", {"method": {"η": 0.1}}),
    (ConfigError, "method.β1: must be at least 0 and below 1, got 2", {"method": {"kind": "adam", "β1": 2}}),
    (
        ConfigError,
        "method.memory: must be a whole number at least 1, got 0",
        {"method": {"kind": "lbfgs", "memory": 0}},
    ),
    (
        ConfigError,
        "method: has no bounds; use lbfgs or a rule, such as adam, got bounds with cg",
        {"method": "cg", "bounds": (0, 1)},
    ),
    (
        ConfigError,
        "method.1.lr: must be above 0, got -1",
        {"method": [{"kind": "adam", "max_iterations": 3}, {"kind": "sgd", "lr": -1}]},
    ),
    (
        ConfigError,
        "method.0: needs a condition that ends the stage, such as max_iterations: 500",
        {"method": ["adam", "sgd"]},
    ),
    (
        ConfigError,
        "method.η_sched.per: a minimization has no epochs; set per: iteration, or fraction",
        {"method": ADAM | {"η_sched": {"kind": "exp", "γ": 0.9}}},
    ),
    (
        ConfigError,
        "method.1.groups.x*.schedules.λ.per: a minimization has no epochs; set per: iteration, or fraction",
        {
            "method": [
                ADAM | {"max_iterations": 3},
                ADAM | {"groups": {"x*": {"λ": 0.1, "schedules": {"λ": {"kind": "exp", "γ": 0.9}}}}},
            ]
        },
    ),
    (ConfigError, "until: must be a mapping of stop conditions or a function, got 100", {"until": 100}),
    (ConfigError, "until.gtoll: unknown field; did you mean gtol?", {"until": {"gtoll": 1e-5}}),
    (ConfigError, "until.gtol: must be at least 0, got -1", {"until": {"gtol": -1}}),
    (
        ConfigError,
        "until.when: must be a function of the progress that returns true to stop, got 3",
        {"until": {"when": 3}},
    ),
    (
        ConfigError,
        "until.all_of.1.ftol: must be a number, got 'x'",
        {"until": {"all_of": [{"gtol": 1}, {"ftol": "x"}]}},
    ),
    (
        ConfigError,
        "checkpoint_every: must be auto, or a count and a unit, such as '100 iterations' or '30 seconds', got '5 epochs'",
        {"checkpoint_every": "5 epochs"},
    ),
    (ConfigError, "checkpoint: there is no folder /no/such; create it first", {"checkpoint": "/no/such/file"}),
    (ConfigError, "checkpoint: must be the path of a file, got 3", {"checkpoint": 3}),
    (ConfigError, "checkpoint: cannot be read: File name too long", {"checkpoint": "x" * 300}),
    (ConfigError, "checkpoint: must be the path of a file: embedded null byte", {"checkpoint": "a\0b"}),
    # bounds
    (ConfigError, "bounds: x[1]: the lower bound 2 is above the upper bound 1", {"bounds": [(0, 1), (2, 1), (0, 1)]}),
    (ConfigError, "bounds: must be 3 pairs, one for each element of x0, got 2", {"bounds": [(0, 1), (0, 1)]}),
    (ConfigError, "bounds: must be 3 pairs, one for each element of x0, got 2", {"bounds": np.ones((2, 2))}),
    (
        ConfigError,
        "bounds: must be a pair (low, high), a list or an array of pairs, or an object with lb and ub, got array(",
        {"bounds": np.ones((2, 3))},
    ),
    (ConfigError, "bounds: have shape (2,), x0 has shape (3,)", {"bounds": (np.zeros(2), None)}),
    (ConfigError, "bounds: must be numbers, got nan; use None for no bound", {"bounds": (float("nan"), 1)}),
    (ConfigError, "bounds: must be numbers, got an integer of more than 40 digits", {"bounds": (0, 10**400)}),
    (
        ConfigError,
        "bounds: x[0]: the lower bound is inf, and no number is within it; use None",
        {"bounds": (np.inf, None)},
    ),
    (
        ConfigError,
        "bounds: x[0]: the upper bound is -inf, and no number is within it; use",
        {"bounds": (None, -np.inf)},
    ),
    (
        ConfigError,
        "bounds: x0 has no array c; its arrays are a, b",
        {"x0": {"a": X0, "b": X0}, "bounds": {"c": (0, 1)}},
    ),
    (
        ConfigError,
        "bounds: x0 has no array a.1; its arrays are a.0",
        {"x0": {"a": [X0]}, "bounds": {"a": [(0, 1), None]}},
    ),
    (ConfigError, "bounds: x0 has no array 1; its arrays are 0", {"x0": [X0], "bounds": [(0, 1), (0, 1)]}),
    (ConfigError, "bounds: need real variables, and x0 is complex; remove bounds", {"x0": X0 * 1j, "bounds": (0, 1)}),
    (
        ConfigError,
        "bounds: the rule adam has bounds of its own; keep one",
        {"method": ADAM | {"bounds": [0, 1]}, "bounds": (0, 1)},
    ),
    # x0
    (ArrayTypeError, "x0 must be a NumPy or CuPy array, got 'abc'", {"x0": "abc"}),
    (
        ArrayTypeError,
        "x0 must be float32, float64, complex64 or complex128, got dtype float16",
        {"x0": np.zeros(3, "float16")},
    ),
    (
        ArrayTypeError,
        "x0 must be a NumPy or CuPy array, got masked_array(data=[1.0, --], mask=",
        {"x0": np.ma.array([1.0, 2.0], mask=[0, 1])},
    ),
    (
        NonFiniteError,
        "x0 has an element that is nan; pass numbers",
        {"x0": X0 * np.nan, "method": "lbfgs", "bounds": (0, 1)},
    ),
    (ArrayError, "x0[0][0][0][0][0][0][0][0][0][0][0][0][0... has more than 100 levels", {"x0": endless_list()}),
    (ArrayError, "x0 has no elements, its shape is (0,)", {"x0": np.zeros(0)}),
    (ArrayError, "x0 is a list of rows of different lengths", {"x0": [[1.0, 2.0], [3.0]]}),
    (
        ArrayTypeError,
        "x0 mixes float64 (a) and float32 (b); pass b.astype('float64')",
        {"x0": {"a": X0, "b": np.zeros(2, "float32")}},
    ),
    # what fun returns
    (
        ArrayTypeError,
        "fun must return (value, gradient), got 1.0; a gradient function goes to jac=",
        {"fun": lambda x: 1.0},
    ),
    (
        ArrayTypeError,
        "fun must return (value, gradient), got None; a gradient function goes to jac=",
        {"fun": lambda x: None},
    ),
    (ConfigError, "fun: must be a function, got None", {"fun": None}),
    (
        ConfigError,
        "method: must be a name, a mapping with a kind, a rule or a list of stages, got None",
        {"method": None},
    ),
    (ArrayTypeError, "the value of fun must be one real number, got None", {"fun": with_value(None)}),
    (
        ArrayTypeError,
        "the value of fun must be one real number, got an array of shape (2,)",
        {"fun": with_value(X0[:2])},
    ),
    (ArrayTypeError, "the value of fun must be one real number, got 1j", {"fun": with_value(1j)}),
    (NonFiniteError, "the value at the starting point is nan; start where it is finite", {"fun": with_value(np.nan)}),
    (
        NonFiniteError,
        "the gradient at the starting point has an element that is nan; start where it is finite",
        {"fun": with_gradient(lambda x: x * np.nan)},
    ),
    (ArrayError, "the gradient has shape (2,), x has shape (3,)", {"fun": with_gradient(lambda x: x[:2])}),
    (
        ArrayTypeError,
        "the gradient has dtype float32, x has dtype float64; return gradient.astype('float64')",
        {"fun": with_gradient(lambda x: x.astype("float32"))},
    ),
    (ArrayTypeError, "the gradient must be an array, got None", {"fun": with_gradient(lambda x: None)}),
    (
        ArrayError,
        "the gradient must have the structure of x0: it has no b",
        {"x0": {"a": X0, "b": X0}, "fun": lambda x: (0.0, {"a": x["a"]})},
    ),
    (
        ArrayError,
        "the gradient of b.0 has shape (2,), x has shape (3,)",
        {"x0": {"a": X0, "b": [X0]}, "fun": lambda x: (0.0, {"a": x["a"], "b": [np.zeros(2)]})},
    ),
]


@pytest.mark.parametrize(("error", "message", "changes"), CASES, ids=[case[1][:60] for case in CASES])
def test_one_line(error: type[MxtrainError], message: str, changes: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"fun": fun, "x0": X0.copy(), "method": ADAM} | changes
    with pytest.raises(error) as caught:
        mxtrain.minimize(**arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert type(caught.value) is error


def test_bounds_of_an_array_whose_name_has_a_dot() -> None:
    def shifted(x: Any) -> Any:
        difference = x["a.b"] - 3
        return float(difference @ difference), {"a.b": 2 * difference}

    result = mxtrain.minimize(shifted, {"a.b": np.zeros(2)}, bounds={"a.b": (None, 2)})
    assert result.x["a.b"].tolist() == [2.0, 2.0]


@pytest.mark.skipif(os.name == "nt", reason="no such device")
def test_a_device_is_no_checkpoint() -> None:
    with pytest.raises(
        ConfigError, match=r"^checkpoint: must be the path of a file, got the pipe or device /dev/null$"
    ):
        mxtrain.minimize(fun, X0, checkpoint="/dev/null")


@pytest.mark.parametrize("x0", [3.0, 3, np.float32(3), np.float64(3), 3 + 4j])
def test_x0_and_the_gradient_may_be_numbers(x0: Any) -> None:
    def squared(x: Any) -> Any:
        gradient = 2 * (x - 1)
        return float(abs(x - 1) ** 2), gradient if x.dtype == "float32" else gradient.item()

    result = mxtrain.minimize(squared, x0)
    assert result.x.shape == ()
    assert result.x.dtype == ("float64" if isinstance(x0, int) else np.asarray(x0).dtype)
    assert abs(result.x - 1) < 1e-14


def test_shapes_that_change_later() -> None:
    calls = []

    def changing(x: Any) -> Any:
        calls.append(x)
        return 1.0, np.ones(3 if len(calls) < 4 else 2)

    with pytest.raises(ArrayError, match=r"^the gradient has shape \(2,\), x has shape \(3,\)$"):
        mxtrain.minimize(changing, X0, ADAM)


@pytest.mark.parametrize("what", ["value", "gradient"])
def test_numbers_that_become_nonfinite_end_with_the_last_finite_point(what: str) -> None:
    points = []

    def diverging(x: Any) -> Any:
        points.append(x)
        value, gradient = quadratic(x)
        if len(points) > 3:
            return (np.inf, gradient) if what == "value" else (value, gradient * np.nan)
        return value, gradient

    result = mxtrain.minimize(diverging, X0, ADAM)
    assert (result.success, result.status, result.nit, result.nfev) == (False, 3, 2, 4)
    reason = "the value is inf" if what == "value" else "the gradient has an element that is nan"
    assert result.message == f"{reason} after an update of adam; lower η, or bound the steps with clip_norm"
    assert (result.x == points[2]).all()
    assert np.isfinite(result.jac).all()


def test_a_function_that_changes_and_keeps_its_argument_changes_nothing() -> None:
    kept = []

    def writes(x: Any) -> Any:
        value, gradient = quadratic(x)
        x[...] = np.nan
        kept.append(x)
        return value, gradient

    assert (mxtrain.minimize(writes, X0, ADAM).x == mxtrain.minimize(fun, X0, ADAM).x).all()
    assert len({id(x) for x in kept}) == len(kept)


def test_a_buffer_that_the_function_reuses() -> None:
    buffer = np.empty(3)

    def reuses(x: Any) -> Any:
        value, buffer[...] = quadratic(x)
        return value, buffer

    assert (mxtrain.minimize(reuses, X0, ADAM).x == mxtrain.minimize(fun, X0, ADAM).x).all()


MISMATCHES: list[tuple[dict[str, Any], str]] = [
    ({"x0": np.zeros(4)}, "arrays was x (3,) float64, and is now x (4,) float64"),
    ({"x0": np.zeros(3, "float32")}, "arrays was x (3,) float64, and is now x (3,) float32"),
    ({"x0": np.ones(3)}, "x0 has changed"),
    ({"method": ADAM | {"η": 0.2}}, "η was 0.1, and is now 0.2"),
    ({"method": "sgd"}, "kind was adam, and is now sgd"),
    ({"bounds": (0, 1)}, "bounds has changed"),
]


@pytest.mark.parametrize(("changes", "message"), MISMATCHES, ids=[str(list(case[0])) for case in MISMATCHES])
def test_checkpoints_of_other_problems(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "state"
    arguments: dict[str, Any] = {
        "fun": fun,
        "x0": X0,
        "method": ADAM,
        "checkpoint": file,
        "until": {"max_iterations": 3},
    }
    mxtrain.minimize(**arguments)
    content = file.read_bytes()
    with pytest.raises(StateError) as caught:
        mxtrain.minimize(**arguments | changes)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{file} is a checkpoint of another problem: ")
    assert str(caught.value).endswith("; use another file, or remove it to start again")
    assert file.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"text", b"\x02\0\0\0\0\0\0\0{}"])
def test_files_that_are_not_checkpoints(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(content)
    with pytest.raises(StateError, match=r"is not a checkpoint of minimize.*; remove it to start again$"):
        mxtrain.minimize(fun, X0, ADAM, checkpoint=file)
    assert file.read_bytes() == content


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state"
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    mxtrain.minimize(fun, X0, ADAM, checkpoint=file, until={"max_iterations": 3})
    monkeypatch.undo()
    with pytest.raises(StateError, match=r"is not a checkpoint of minimize \(format 2, expected 1\); remove it"):
        mxtrain.minimize(fun, X0, ADAM, checkpoint=file)
