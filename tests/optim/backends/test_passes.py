"""Programs with reductions: the passes that move the fewest bytes, and equal bits on every backend and layout."""

from typing import Any, ClassVar, Literal

import numpy as np
import pytest

import mxtrain
from mxtrain.errors import ArrayError, NonFiniteError, TraceError
from mxtrain.optim.backends.compiled.numba_backend import NumbaBackend
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from mxtrain.optim.backends.passes import MultiPassUpdate, run_passes
from mxtrain.optim.ir import (
    GradientStage,
    MultiPassProgram,
    dot,
    max_abs,
    maximum,
    mean,
    norm,
    sqrt,
    total_max_abs,
    total_norm,
    total_sum,
    trace,
    update_program,
    where,
)
from mxtrain.optim.ir import sum as sum_of
from mxtrain.optim.ir.summation import reduce_array
from mxtrain.optim.rules import Rule
from mxtrain.types import NonNegative, Positive
from tests.tables import special_arrays


class Ratio(Rule):
    """A rule with sums over one parameter at a time, in two passes."""

    slots: ClassVar = ("m",)
    kind: Literal["ratio"] = "ratio"
    η: Positive = 0.1
    λ: NonNegative = 0.0

    def coefficients(self, time: Any, scalars: Any) -> dict[str, float]:
        return {}

    @staticmethod
    def update(W: Any, g: Any, m: Any, *, η: Any) -> tuple[Any, ...]:
        m = 0.9 * m + 0.1 * g
        size, length = norm(W), norm(m)
        ratio = where(length <= 0, 1, size / length)
        return W + (-η * ratio / (1 + max_abs(g))) * m, m


class Distance(Rule):
    """A rule with sums over all parameters, and scalar slots that it computes."""

    slots: ClassVar = ("W0",)
    scalar_slots: ClassVar = {"d": 0.01, "count": 0.0}
    computed_scalars: ClassVar = ("d", "count")
    kind: Literal["distance"] = "distance"
    η: Positive = 0.5
    λ: NonNegative = 0.0

    def slot_starts(self) -> Any:
        return {"W0": "W"}

    def coefficients(self, time: Any, scalars: Any) -> dict[str, float]:
        return {}

    @staticmethod
    def update(W: Any, g: Any, W0: Any, *, d: Any, count: Any, η: Any) -> tuple[Any, ...]:
        d = maximum(d, total_norm(W - W0))
        return W + (-η * d / (total_norm(g) + total_max_abs(g))) * g, W0, d, count + 1


def all_programs() -> dict[str, MultiPassProgram]:
    """Return programs that reduce in every way."""

    def chain(W: Any, g: Any) -> dict[str, Any]:
        first = mean(g)
        second = sum_of((g - first) * (g - first))
        return {"W": W - g / sqrt(1 + second + total_sum(W))}

    def bounded(W: Any, g: Any) -> dict[str, Any]:
        return {"W": W * (1 / (1 + max_abs(g))), "g": g * dot(W, g)}

    programs = {name: trace(name, each, ("W", "g"), ()) for name, each in (("chain", chain), ("bounded", bounded))}
    assert all(isinstance(each, MultiPassProgram) for each in programs.values())
    return programs  # type: ignore[return-value]


def run(backend: Any, program: MultiPassProgram, arrays: list[tuple[np.ndarray, ...]]) -> None:
    positions = list(range(len(arrays)))
    run_passes(backend, [MultiPassUpdate(program, arrays, program.evaluate_scalars({}), {}, positions)])


def view_of(array: np.ndarray, layout: int) -> np.ndarray:
    """Return an array with the same values in another memory layout."""
    match layout:
        case 1:
            return np.asfortranarray(array)
        case 2:
            wide = np.zeros((*array.shape, 2), dtype=array.dtype)
            wide[..., 0] = array
            return wide[..., 0]
        case 3:
            return array[::-1].copy()[::-1] if array.ndim else array
    return array


def test_random_shapes_strides_threads_and_cuts_give_equal_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(11)
    programs = list(all_programs().values())
    for number in range(300):
        dtype = ("float32", "float64")[number % 2]
        program = programs[number // 2 % 2]
        shapes = [
            tuple(generator.integers(0, [9, 40, 700][generator.integers(3)], size=generator.integers(0, 3)))
            for _ in range(generator.integers(1, 5))
        ]
        first = [tuple(np.asarray(generator.standard_normal(shape), dtype=dtype) for _ in range(2)) for shape in shapes]
        expected = [tuple(array.copy() for array in arrays) for arrays in first]
        run(NumPyBackend(), program, expected)
        monkeypatch.setattr(
            "mxtrain.optim.backends.compiled.numba_tasks.MIN_PARALLEL_SIZE", int(generator.integers(1, 9000))
        )
        monkeypatch.setattr(
            "mxtrain.optim.backends.compiled.numba_tasks._MIN_CHUNK", 4096 * int(generator.integers(1, 4))
        )
        found = [tuple(view_of(array.copy(), int(generator.integers(4))) for array in arrays) for arrays in first]
        run(NumbaBackend(threads=int(generator.integers(1, 4))), program, found)
        for arrays, others in zip(found, expected, strict=True):
            for array, other in zip(arrays, others, strict=True):
                assert np.ascontiguousarray(array).tobytes() == other.tobytes(), (number, shapes, dtype, program.name)


@pytest.mark.parametrize("rule", [Ratio, Distance])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_threads_and_flat_parameters_give_equal_bits(rule: Any, dtype: str) -> None:
    generator = np.random.default_rng(2)
    shapes = {"a": (), "b": (0, 3), "c": (4096,), "d": (123, 457), "e": (131_075,), "f": (2, 500)}
    start = {name: np.asarray(generator.standard_normal(shape), dtype=dtype) for name, shape in shapes.items()}
    gradients = [
        {name: np.asarray(generator.standard_normal(shape), dtype=dtype) for name, shape in shapes.items()}
        for _ in range(3)
    ]
    results = []
    for backend in (NumPyBackend(), NumbaBackend(1), NumbaBackend(2)):
        for is_flat in (False, True):
            optimizer = mxtrain.Optimizer(rule(), backend)
            params: Any = {name: value.copy() for name, value in start.items()}
            params = mxtrain.FlatParameters(params) if is_flat else params
            for grads in gradients:
                optimizer.step(params, mxtrain.FlatParameters(grads) if is_flat else grads)
            states = optimizer.state_dict()["parameters"]
            results.append(
                {
                    name: (params[name].tobytes(), [slot.tobytes() for slot in each["slots"].values()], each["scalars"])
                    for name, each in states.items()
                }
            )
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("rule", [Ratio, Distance])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_give_equal_bits(rule: Any, dtype: str) -> None:
    weight, *gradients = special_arrays(9000, dtype, count=3)
    other = weight.copy()
    numpy = mxtrain.Optimizer(rule(), NumPyBackend(), "ignore")
    compiled = mxtrain.Optimizer(rule(), NumbaBackend(2), "ignore")
    for gradient in gradients:
        numpy.step({"W": weight}, {"W": gradient})
        compiled.step({"W": other}, {"W": gradient})
    both_nan = np.isnan(weight) & np.isnan(other)
    assert (both_nan | (weight.view(f"u{weight.itemsize}") == other.view(f"u{other.itemsize}"))).all()


def test_an_update_with_totals_follows_the_order_of_the_parameters() -> None:
    generator = np.random.default_rng(5)
    params = {name: generator.standard_normal(500) for name in "cab"}
    grads = {name: generator.standard_normal(500) for name in "cab"}
    optimizer = mxtrain.Optimizer(Distance(groups={"a": {"η": 0.25}}), NumPyBackend())
    expected = np.sqrt(np.float64(_in_order([float(reduce_array("dot", grads[name], grads[name])) for name in "cab"])))
    largest = max(float(np.abs(grads[name]).max()) for name in "cab")
    before = {name: value.copy() for name, value in params.items()}
    optimizer.step(params, grads)
    for name, η in {"c": 0.5, "a": 0.25, "b": 0.5}.items():
        assert (params[name] == before[name] + (-η * 0.01 / (expected + largest)) * grads[name]).all()


def _in_order(values: list[float]) -> float:
    first, second, third = values
    return (first + third) + (second + 0.0)


def test_a_rule_with_totals_refuses_a_single_array() -> None:
    optimizer = mxtrain.Optimizer(Distance(), NumPyBackend())
    with pytest.raises(ArrayError, match=r"^distance has sums over all parameters.*call optimizer.step"):
        optimizer.update(0, np.ones(3), np.ones(3))
    with pytest.raises(ArrayError, match="sums over all parameters"):
        mxtrain.get_updater(optimizer)


def test_computed_scalars_are_saved_and_restored() -> None:
    def make() -> tuple[Any, dict[str, np.ndarray]]:
        return mxtrain.Optimizer(Distance(), NumPyBackend()), {"W": np.arange(5.0), "b": np.ones(2)}

    grads = [{"W": np.full(5, value), "b": np.full(2, -value)} for value in (1.0, 2.0, -0.5, 3.0)]
    whole, params = make()
    for each in grads:
        whole.step(params, each)
    first, resumed = make()
    for each in grads[:2]:
        first.step(resumed, each)
    second, _ = make()
    second.load_state_dict(first.state_dict())
    for each in grads[2:]:
        second.step(resumed, each)
    assert all((params[name] == resumed[name]).all() for name in params)
    assert second.state_dict()["parameters"]["W"]["scalars"] == whole.state_dict()["parameters"]["b"]["scalars"]
    assert whole.state_dict()["parameters"]["W"]["scalars"]["count"] == 4


@pytest.mark.parametrize("action", ["raise", "skip"])
def test_nonfinite_gradients_change_nothing(action: Any) -> None:
    optimizer = mxtrain.Optimizer(Ratio(), NumPyBackend(), action)
    params, good = {"W": np.ones(4), "b": np.ones(2)}, {"W": np.full(4, 0.1), "b": np.full(2, 0.3)}
    optimizer.step(params, good)
    before = {name: value.copy() for name, value in params.items()}
    bad = good | {"b": np.array([np.nan, 1.0])}
    if action == "raise":
        with pytest.raises(NonFiniteError, match="weight 'b'"):
            optimizer.step(params, bad)
    else:
        with pytest.warns(RuntimeWarning, match="skipped: .*weight 'b'"):
            optimizer.step(params, bad)
    assert all((params[name] == before[name]).all() for name in params)


def _step(W: Any, g: Any, m: Any, v: Any, *, β: Any) -> tuple[Any, ...]:
    m, v = β * m + g, v + g * g
    return W - norm(W) / (1 + norm(m / sqrt(v))) * m, m, v


def test_slots_are_stored_where_that_moves_fewer_bytes() -> None:
    program = update_program("stored", _step, ("m", "v"), GradientStage(False, False, False))
    assert isinstance(program, MultiPassProgram)
    moved = [(each.program.arrays, len(each.program.read), len(each.program.outputs)) for each in program.passes]
    assert [sum(each[1:]) for each in moved] == [6, 3]  # W, g, m, v to m, v; then W, m to W
    text = str(program)
    assert "pass 1 of 2: reads W, g, m, v; writes m, v; 24 bytes per element in float32" in text
    assert "r0 = dot(W, W)    (float64)" in text


def test_values_are_computed_again_where_that_moves_fewer_bytes() -> None:
    def update(W: Any, g: Any, p: Any) -> tuple[Any, ...]:
        c = g + 0.5 * (g - p)
        return W - c / maximum(norm(c), 1), g

    program = update_program("again", update, ("p",), GradientStage(False, False, False))
    assert isinstance(program, MultiPassProgram)
    assert [each.program.arrays_moved for each in program.passes] == [2, 5]  # g, p; then g, p, W to W, p


def test_old_content_is_read_before_it_is_overwritten() -> None:
    def update(W: Any, g: Any, m: Any) -> tuple[Any, ...]:
        return W - norm(g) * m, m + g  # the old m is needed with the norm of g

    program = update_program("old", update, ("m",), GradientStage(False, False, False))
    assert isinstance(program, MultiPassProgram)
    assert [len(each.program.outputs) for each in program.passes] == [0, 2]


def test_a_reduction_of_a_scalar_is_refused() -> None:
    with pytest.raises(TraceError, match="needs arrays"):
        trace("test", lambda W, *, η: {"W": W * norm(η)}, ("W",), ("η",))


def test_powers_of_scalars_are_traced() -> None:
    program = trace("test", lambda W, *, β, t: {"W": W * β**t}, ("W",), ("β", "t"))
    assert program.evaluate_scalars({"β": 0.9, "t": 3}) == (0.9**3,)
    squared = trace("test", lambda W: {"W": W * norm(W) ** 2}, ("W",), ())
    weight = np.array([3.0, 4.0])
    assert isinstance(squared, MultiPassProgram)
    run(NumPyBackend(), squared, [(weight,)])
    assert weight.tolist() == [75.0, 100.0]
    with pytest.raises(TraceError, match="whole exponent"):
        trace("test", lambda W: {"W": W * norm(W) ** 0.5}, ("W",), ())


def test_a_changed_coefficient_compiles_nothing() -> None:
    first, second = Ratio(η=0.1).program(), Ratio(η=0.7).program()
    assert first is second


class Forgotten(Distance):
    """`Distance` without the names of its computed scalars."""

    computed_scalars: ClassVar = ()
    kind: Literal["forgotten"] = "forgotten"  # type: ignore[assignment]


class Unnamed(Distance):
    """`Distance` with a computed scalar that has no first value."""

    scalar_slots: ClassVar = {"d": 0.01}
    kind: Literal["unnamed"] = "unnamed"  # type: ignore[assignment]


class Unknown(Ratio):
    """`Ratio` with a coefficient that nothing computes."""

    kind: Literal["unknown"] = "unknown"  # type: ignore[assignment]

    @staticmethod
    def update(W: Any, g: Any, m: Any, *, speed: Any) -> tuple[Any, ...]:
        return W - speed * g, m


class Misplaced(Ratio):
    """`Ratio` that evaluates a slot which it lacks."""

    evaluation_slot: ClassVar = "x"
    kind: Literal["misplaced"] = "misplaced"  # type: ignore[assignment]


MISUSED = {
    Forgotten: "a tuple of W and the slots W0; got a tuple of 4; .* name them in computed_scalars$",
    Unnamed: r"test_passes\.py:\d+: computed_scalars of unnamed names count, which is not in scalar_slots$",
    Unknown: r"test_passes\.py:\d+: the coefficients of unknown lack speed, .* not a field; return it, or name it in ",
    Misplaced: r"test_passes\.py:\d+: evaluation_slot of misplaced is 'x', which is not in its slots$",
}


@pytest.mark.parametrize(("rule", "message"), MISUSED.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_rule_whose_names_do_not_match_is_refused_in_one_line(rule: type[Rule], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        mxtrain.build(rule()).step({"W": np.ones(2)}, {"W": np.ones(2)})


@pytest.mark.parametrize("reduce", [norm, total_norm, total_max_abs, total_sum])
def test_the_error_names_the_reduction_that_was_called(reduce: Any) -> None:
    with pytest.raises(TraceError, match=f"^{reduce.__name__} needs arrays, such as W or g; got the scalar <η>$"):
        trace("test", lambda W, *, η: {"W": W * reduce(η)}, ("W",), ("η",))
